//! The structure of the code, where Cargo cannot enforce it: headers, sizes, purity of the engine, folder cycles, names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The longest source file, in lines.
const MAX_LINES: usize = 600;

/// The largest crate, in lines.
const MAX_CRATE_LINES: usize = 6_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files under a folder, with their text.
fn sources_under(folder: PathBuf) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a source folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources were found");
    found
}

/// The source folder of the binary and of each crate.
fn source_folders() -> Vec<PathBuf> {
    let crates = fs::read_dir(root().join("crates")).expect("the crates").map(|entry| entry.expect("an entry").path().join("src"));
    let folders: Vec<PathBuf> = crates.chain([root().join("src")]).collect();
    assert!(folders.len() > 10, "the crates were not found");
    folders
}

fn sources() -> Vec<(PathBuf, String)> {
    source_folders().into_iter().flat_map(sources_under).collect()
}

/// The code of a file before its tests, without comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_file_has_a_header() {
    none(sources().iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| format!("{}: no //! header", path.display())).collect());
}

#[test]
fn files_and_crates_are_short() {
    let mut problems = Vec::new();
    for folder in source_folders() {
        let sizes: Vec<(PathBuf, usize)> = sources_under(folder.clone()).into_iter().map(|(path, text)| (path, text.lines().count())).collect();
        let total: usize = sizes.iter().map(|(_, lines)| lines).sum();
        if total > MAX_CRATE_LINES {
            problems.push(format!("{}: {total} lines", folder.display()));
        }
        problems.extend(sizes.iter().filter(|(_, lines)| *lines > MAX_LINES).map(|(path, lines)| format!("{}: {lines} lines", path.display())));
    }
    none(problems);
}

#[test]
fn the_engine_is_pure() {
    let banned = ["async ", ".await", "Instant::now", "Timestamp::now", "tracing", "std::fs", "std::env", "std::net::Tcp", "println!"];
    let mut problems = Vec::new();
    for (path, text) in sources_under(root().join("crates/engine/src")) {
        // `Tables::read` takes a reader of files and names `std::io` only.
        problems.extend(banned.iter().filter(|word| code(&text).contains(*word)).map(|word| format!("{}: {word}", path.display())));
    }
    none(problems);
}

#[test]
fn the_wall_clock_is_read_at_the_entrance() {
    let entrances = [
        "crates/lambda/",
        "crates/server/",
        "crates/runtime/",
        "crates/pipeline/src/secrets.rs",
        "crates/pipeline/src/triggers.rs",
        "crates/pipeline/src/instance.rs",
    ];
    let mut problems = Vec::new();
    for (path, text) in sources() {
        let path = path.strip_prefix(root()).expect("a path of the repository").display().to_string();
        if path.starts_with("src/") || path.ends_with("tests.rs") || entrances.iter().any(|entrance| path.starts_with(entrance)) {
            continue;
        }
        problems.extend(
            ["clock::read()", "Timestamp::now", "SystemTime::now"].iter().filter(|word| code(&text).contains(*word)).map(|word| format!("{path}: {word}")),
        );
    }
    none(problems);
}

#[test]
fn modules_do_not_import_in_circles() {
    for folder in source_folders() {
        let imports = imports(&folder);
        for start in imports.keys() {
            let (mut reached, mut next) = (BTreeSet::new(), vec![start]);
            while let Some(module) = next.pop() {
                for imported in imports.get(module).into_iter().flatten() {
                    assert!(imported != start, "{}: {start} imports itself by way of {module}", folder.display());
                    if reached.insert(imported) {
                        next.push(imported);
                    }
                }
            }
        }
    }
}

/// Which other top-level modules each top-level module of a crate imports.
fn imports(folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let module_of = |path: &Path| {
        let first = path.strip_prefix(folder).expect("a path of the crate").components().next().expect("a name");
        first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
    };
    let sources = sources_under(folder.to_owned());
    let modules: BTreeSet<String> = sources.iter().map(|(path, _)| module_of(path)).collect();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in &sources {
        let module = module_of(path);
        if matches!(module.as_str(), "lib" | "main") || path.ends_with("tests.rs") {
            continue;
        }
        let code = code(text);
        for (at, found) in code.match_indices("crate::") {
            let rest = &code[at + found.len()..];
            let named = match rest.strip_prefix('{') {
                Some(group) => first_names(group),
                None => vec![name_at(rest)],
            };
            imports.entry(module.clone()).or_default().extend(named.into_iter().filter(|name| *name != module && modules.contains(name)));
        }
    }
    imports
}

/// The first name of each entry of `use crate::{...}`; the text starts after the brace.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut is_start) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            _ if is_start && depth == 0 && c.is_alphabetic() => {
                names.push(name_at(&group[at..]));
                is_start = false;
            }
            _ => {}
        }
    }
    names
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn file_names_say_what_is_inside() {
    let banned = ["util", "utils", "helper", "helpers", "common", "types", "models", "misc"];
    let is_banned = |path: &Path| path.file_stem().is_some_and(|stem| banned.contains(&stem.to_string_lossy().as_ref()));
    none(
        sources()
            .iter()
            .filter(|(path, _)| path.strip_prefix(root()).expect("a path").ancestors().any(is_banned))
            .map(|(path, _)| path.display().to_string())
            .collect(),
    );
}

#[test]
fn the_configuration_page_lists_every_variable() {
    let page = fs::read_to_string(root().join("docs/CONFIGURATION.md")).expect("the page");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_riskgate")).args(["config", "--markdown"]).output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    assert!(page == String::from_utf8(output.stdout).expect("text"), "the page is old: riskgate config --markdown > docs/CONFIGURATION.md");
}

#[test]
fn the_files_that_the_documents_name_exist() {
    let mut problems = Vec::new();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(document)).expect("a document");
        let named = text.split('`').filter(|word| ["crates/", "src/", "data/", "deploy/", "tests/"].iter().any(|folder| word.starts_with(folder)));
        // Placeholders are in capitals; commands have arguments.
        let paths = named.filter(|path| !path.contains(' ') && !path.contains("NAME"));
        problems.extend(paths.filter(|path| !root().join(path).exists()).map(|path| format!("{document}: {path}")));
    }
    none(problems);
}
