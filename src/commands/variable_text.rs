//! The texts of `riskgate config --explain` and `--changed`.

use std::fmt::Write as _;

use riskgate_config::{Setting, env::ConfigError, explain::Explanation};

/// Explains one variable: meaning, accepted form, default, values in force, and related variables.
pub fn explain(explanation: &Explanation, settings: &[Setting], faults: &[ConfigError]) -> String {
    let Explanation { name, group, meaning, default, accepts, per_client, related } = explanation;
    let mut text = format!("{name}  ({group})\n  {meaning}\n");
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<11} {value}");
    };
    line("accepts", accepts);
    line("default", if default.is_empty() { "none" } else { default });
    let client_prefix = format!("{name}__");
    for setting in settings.iter().filter(|setting| setting.name == *name || setting.name.starts_with(&client_prefix)) {
        let fault = faults.iter().find(|fault| fault.variable == setting.name).map(|fault| format!("; faulty: {}", fault.problem)).unwrap_or_default();
        let value = match &setting.value {
            Some(value) => format!("{value}, {}{fault}", origin(setting)),
            None if default.is_empty() => format!("unset{fault}"),
            None => format!("{default}, the default{fault}"),
        };
        line(if setting.name == *name { "current" } else { setting.name.trim_start_matches(name.as_str()) }, &value);
    }
    if let Some(per_client) = per_client {
        line("per client", &format!("{per_client} sets it for one app client"));
    }
    line("from a file", &format!("{name}_FILE names a file that contains the value"));
    if !related.is_empty() {
        line("related", &related.join(" "));
    }
    text
}

/// The settings whose value differs from the default.
pub fn changed(settings: Vec<Setting>) -> Vec<Setting> {
    settings.into_iter().filter(|setting| setting.value.as_deref().is_some_and(|value| value.trim() != setting.default)).collect()
}

/// Lists changed settings with their defaults and sources.
pub fn list_changed(changed: &[Setting]) -> String {
    if changed.is_empty() {
        return "every variable has its default".to_owned();
    }
    let line = |setting: &Setting| {
        let default = if setting.default.is_empty() { "no default".to_owned() } else { format!("default {}", setting.default) };
        format!("{} = {}\n    {default}; {}\n", setting.name, setting.value.as_deref().unwrap_or_default(), origin(setting))
    };
    changed.iter().map(line).collect()
}

/// Where a value is set.
fn origin(setting: &Setting) -> String {
    match setting.source.as_deref() {
        Some("environment") => "set in the environment".to_owned(),
        Some(path) => format!("set in the file {path}"),
        None => "the default".to_owned(),
    }
}
