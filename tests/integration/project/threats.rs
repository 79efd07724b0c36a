//! Every test that docs/THREATS.md names exists, and every row of it names one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The text of every Rust file under `folder`, by the name of the file; the texts of files of one name are joined.
pub fn gather(folder: &Path, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path: PathBuf = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
            into.entry(stem).or_default().push_str(&fs::read_to_string(&path).expect("a source file"));
        }
    }
}

/// Whether a text has a test of that name.
pub fn has_test(text: &str, name: &str) -> bool {
    text.match_indices(&format!("fn {name}("))
        .any(|(at, _)| text[..at].lines().rev().take(4).any(|line| line.contains("#[test]") || line.contains("#[tokio::test")))
}

#[test]
fn every_threat_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    for folder in ["crates", "src", "tests/integration", "tests/programs"] {
        gather(&root.join(folder), &mut files);
    }
    let page = fs::read_to_string(root.join("docs/THREATS.md")).expect("the page");
    let (threats, taken_out) = page.split_once("\n## What a bad context costs\n").expect("the threats, then what was measured and tried");
    let rows = threats.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat |") && !line.starts_with("| ---"));
    let mut checked = 0;
    for row in rows {
        let cell = row.replace("\\|", "").split('|').nth(3).expect("a third cell").to_owned();
        let named: Vec<(&str, &str)> = cell.split('`').filter_map(|part| part.split_once("::")).collect();
        assert!(!named.is_empty(), "no test is named: {row}");
        for (file, name) in named {
            assert!(files.get(file).is_some_and(|text| has_test(text, name)), "{file}::{name} does not exist: {row}");
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} tests were found: is the table still read?");
    let failed: Vec<&str> = taken_out.split("→ `").skip(1).filter_map(|rest| rest.split('`').next()).collect();
    assert!(failed.len() > 50, "only {} tests were found to have failed", failed.len());
    for name in failed {
        assert!(threats.contains(&format!("::{name}`")), "{name} is named by no threat");
    }
}
