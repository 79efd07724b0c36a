//! Help: examples for each command, text that is wrapped once, completions.

use riskgate_lab::rows::FIELDS;

use super::riskgate;

/// Every command that does something.
const COMMANDS: [&[&str]; 17] = [
    &["assess"],
    &["block", "add"],
    &["block", "remove"],
    &["block", "list"],
    &["completions"],
    &["config"],
    &["demo"],
    &["healthcheck"],
    &["history", "export"],
    &["history", "forget"],
    &["history", "release"],
    &["replay"],
    &["serve"],
    &["watch"],
    &["sign-context"],
    &["synth"],
    &["block"],
];

/// The width of help where no terminal states its own.
const WIDTH: usize = 100;

#[test]
fn every_command_has_examples() {
    for command in COMMANDS {
        let help = riskgate(&[command, &["--help"]].concat(), &[], "");
        assert_eq!(help.code, 0, "{command:?}: {}", help.stderr);
        let examples = help.stdout.split_once("Examples:\n").unwrap_or_else(|| panic!("{command:?} has no examples")).1;
        assert!(examples.contains(&command.join(" ")), "{command:?}: {examples}");
    }
}

#[test]
fn help_is_wrapped_once() {
    for command in COMMANDS.iter().copied().chain([&[] as &[&str]]) {
        let help = riskgate(&[command, &["--help"]].concat(), &[], "").stdout;
        for pair in help.lines().collect::<Vec<_>>().windows(2) {
            assert!(pair[0].len() <= WIDTH, "{command:?}: {}", pair[0]);
            let is_prose = |line: &str| line.starts_with(|c: char| c.is_ascii_alphabetic()) && !line.starts_with("Usage") && !line.ends_with(':');
            if is_prose(pair[0]) && is_prose(pair[1]) {
                // The next word would not have fitted.
                let next = pair[1].split(' ').next().unwrap_or_default();
                assert!(pair[0].len() + 1 + next.len() > WIDTH, "{command:?} breaks a line early: {}", pair[0]);
            }
        }
    }
}

#[test]
fn the_fields_of_map_are_listed() {
    let help = riskgate(&["replay", "--help"], &[], "").stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains(&format!("FIELD is one of {}", FIELDS.join(", "))), "{help}");
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = riskgate(&["completions", shell], &[], "");
        assert_eq!(script.code, 0, "{shell}: {}", script.stderr);
        assert!(COMMANDS.iter().all(|command| script.stdout.contains(command[0])), "{shell}");
    }
    assert_eq!(riskgate(&["completions", "tcsh"], &[], "").code, 2);
}

#[test]
fn usage_errors_exit_with_2() {
    for args in [&["assess", "--jsn"] as &[&str], &["nonsense"], &["replay"], &["config", "--explain", "DENY_ATT"]] {
        let failed = riskgate(args, &[], "");
        assert!(failed.code == 2 && !failed.stderr.is_empty(), "{args:?}: {failed:?}");
    }
}
