//! The rules of the house that can be checked: headers, sizes, purity, the direction of imports, names, the README's table.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The rooms from the lowest to the highest: a room imports only from rooms before it, and from itself.
const ROOMS: [&str; 13] =
    ["config", "event", "evidence", "signals", "score", "decision", "response", "learn", "claims", "assess", "telemetry", "replay", "serve"];

/// The stages whose code neither waits, nor reads a clock, nor writes.
const PURE: [&str; 3] = ["signals", "score", "decision"];

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// The room of a file: the first part of its path under `src`.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("a path under src");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file before its tests, without comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    none(sources().iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| format!("{}: no //! header", path.display())).collect());
}

#[test]
fn no_file_is_too_long() {
    let sizes = sources().into_iter().map(|(path, text)| (path, text.lines().count()));
    none(sizes.filter(|(_, lines)| *lines > 600).map(|(path, lines)| format!("{}: {lines} lines", path.display())).collect());
}

#[test]
fn stages_introduce_themselves() {
    for (number, room) in ["event", "evidence", "signals", "score", "decision", "response"].iter().enumerate() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room).join("mod.rs");
        let text = fs::read_to_string(&path).expect("a stage");
        assert!(text.starts_with(&format!("//! Stage {} of 6: ", number + 1)), "{}", path.display());
    }
}

#[test]
fn pure_stages_are_pure() {
    let banned = ["async ", ".await", "tokio", "Instant::now", "Timestamp::now", "Now::read", "tracing", "metrics::", "std::fs", "std::net::Tcp", "println!"];
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if PURE.contains(&room(&path).as_str()) {
            faults.extend(banned.iter().filter(|word| code(&text).contains(*word)).map(|word| format!("{}: {word}", path.display())));
        }
    }
    none(faults);
}

#[test]
fn imports_run_down() {
    let rank = |name: &str| ROOMS.iter().position(|room| *room == name);
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let room = room(&path);
        let Some(own) = rank(&room) else { continue };
        let code = code(&text);
        let mut named = BTreeSet::new();
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => named.extend(top_names(group)),
                None => {
                    named.insert(name_at(rest));
                }
            }
        }
        let above = named.iter().filter(|name| name.as_str() == "commands" || rank(name).is_some_and(|other| other > own));
        faults.extend(above.map(|name| format!("{}: {room} imports {name}", path.display())));
    }
    none(faults);
}

/// The first name of each entry of `use crate::{...}`, whose text begins after the brace.
fn top_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut fresh) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if fresh && depth == 0 && c.is_alphabetic() => {
                names.push(name_at(&group[at..]));
                fresh = false;
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
fn the_wall_clock_is_read_at_the_door() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if !matches!(room(&path).as_str(), "serve" | "commands" | "main") && !path.ends_with("event/now.rs") && !path.ends_with("tests.rs") {
            faults.extend(
                ["Now::read", "Timestamp::now", "SystemTime::now"]
                    .iter()
                    .filter(|word| code(&text).contains(*word))
                    .map(|word| format!("{}: {word}", path.display())),
            );
        }
    }
    none(faults);
}

#[test]
fn rooms_have_nouns() {
    let banned = ["util", "utils", "helper", "helpers", "common", "types", "models", "misc"];
    let named = |path: &Path| path.file_stem().is_some_and(|stem| banned.contains(&stem.to_string_lossy().as_ref()));
    none(sources().iter().filter(|(path, _)| path.ancestors().any(named)).map(|(path, _)| path.display().to_string()).collect());
}

#[test]
fn the_readme_lists_every_variable() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let table = riskgate::commands::config::markdown();
    assert!(readme.contains(&table), "the README's table of variables is old; `riskgate config --markdown` prints the new one");
}
