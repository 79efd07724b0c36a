//! The text of `docs/CONFIGURATION.md`, from the table of variables.

use std::fmt::Write as _;

use riskgate_config::variables::{PER_SERVICE, Scope, VARIABLES, Variable};

/// The text above the tables.
const INTRODUCTION: &str = "<!-- `riskgate config --markdown` writes this page, and a test compares it. -->
# Configuration

riskgate reads environment variables. Every name starts with `RISKGATE_`, which the tables omit.

- A variable can also be read from a file: `RISKGATE_NAME_FILE=/run/secrets/name`.
- A secret can also be a reference, `secretsmanager://NAME#FIELD` or `ssm://NAME` ([RUNBOOK](RUNBOOK.md#secrets-in-secrets-manager-or-parameter-store)).
- A variable with * can also be set for one app client: `RISKGATE_NAME__<client id>`.
- An unknown name is an error, and the error names the most similar variable.

`riskgate config` lists the settings in force, with secrets masked, and all errors at once (exit 2). In Lambda an error does not lock users out: see `ON_BAD_CONFIG`.
";

/// The variables that a first deployment sets, with the reason.
const FIRST: [(&str, &str); 8] = [
    ("MODE", "`monitor` until a replay of your own log has shown what the thresholds would deny"),
    ("DENY_AT", "the score from which sign-ins are denied; it sets the share of legitimate users that you stop"),
    ("REVIEW_AT", "the score from which sign-ins are flagged, and `WITHHOLD_GROUPS` applies"),
    ("STORE", "`memory` forgets at a restart; history, blocks and nonces of several processes need Redis or DynamoDB"),
    ("PSEUDONYM_KEY", "the key of all pseudonyms; required with a shared store"),
    ("TRUSTED_CLIENTS", "your backend's app client: its addresses are then trusted"),
    ("CONTEXT_KEYS", "keys of signed contexts, for apps and edges that have no confidential client"),
    ("PROVIDERS", "risk services to call; none is needed"),
];

/// The heading of each group, with an introduction.
const HEADINGS: [(&str, &str, &str); 12] = [
    ("decision", "Decision", "Thresholds, lists and what a denied user sees."),
    ("budget", "Time limits", "Every wait ends at `BUDGET`."),
    ("trust", "Trust in the context", "Whose address and device are trusted ([SIGNED_CONTEXT](SIGNED_CONTEXT.md), [COGNITO](COGNITO.md))."),
    ("history", "History and model", "What is stored ([STORE](STORE.md), [PRIVACY](PRIVACY.md)) and how it is scored ([MODEL](MODEL.md))."),
    ("services", "Risk services", "What each receives and costs: [SERVICES](SERVICES.md). `<NAME>` is the name of a service in capitals, such as `IPQS`."),
    ("cache", "Cache", "Answers of risk services."),
    ("token", "Tokens", "Claims, groups and scopes in the tokens of a pool ([COGNITO](COGNITO.md))."),
    ("challenge", "Codes of custom challenges", "How a challenged user gets a code ([COGNITO](COGNITO.md)). `CHALLENGE_AT` turns challenges on."),
    ("step-up", "Step-up", "Whose tokens end a challenge ([STEP_UP](STEP_UP.md), experimental)."),
    ("networks", "Network databases", "riskgate brings its own; these replace them."),
    ("sidecar", "Sidecar", "`riskgate serve`."),
    ("telemetry", "Logs, audit and metrics", ""),
];

/// The page.
pub fn markdown() -> String {
    let mut page = format!("{INTRODUCTION}\n## Start with these eight\n\n| variable | why |\n| --- | --- |\n");
    for (name, why) in FIRST {
        let _ = writeln!(page, "| `{name}` | {why} |");
    }
    let mut groups: Vec<&str> = HEADINGS.iter().map(|(group, ..)| *group).collect();
    for variable in VARIABLES {
        if !groups.contains(&variable.group) {
            groups.push(variable.group);
        }
    }
    for group in groups {
        let (_, title, introduction) = HEADINGS.iter().find(|(heading, ..)| *heading == group).copied().unwrap_or((group, group, ""));
        let _ = write!(
            page,
            "\n## {title}\n\n{introduction}{}| variable | default | meaning |\n| --- | --- | --- |\n",
            if introduction.is_empty() { "" } else { "\n\n" }
        );
        VARIABLES.iter().filter(|variable| variable.group == group).for_each(|variable| page.push_str(&row(variable)));
        if group == "services" {
            PER_SERVICE.iter().for_each(|(suffix, default, meaning)| page.push_str(&format_row(&format!("`<NAME>_{suffix}`"), default, meaning)));
        }
    }
    page
}

fn row(variable: &Variable) -> String {
    let marker = if variable.scope == Scope::PerClient { "*" } else { "" };
    format_row(&format!("`{}`{marker}", variable.name), variable.default, variable.meaning)
}

fn format_row(name: &str, default: &str, meaning: &str) -> String {
    let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
    format!("| {name} | {default} | {meaning} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_each_variable_once_and_the_first_eight_exist() {
        let page = markdown();
        for variable in VARIABLES {
            let rows = page.lines().filter(|line| line.starts_with(&format!("| `{}`", variable.name)) && line.matches(" | ").count() == 2);
            assert_eq!(rows.count(), 1, "{}", variable.name);
        }
        assert!(FIRST.iter().all(|(name, _)| VARIABLES.iter().any(|variable| variable.name == *name)));
    }
}
