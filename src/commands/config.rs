//! `riskgate config`: lists all variables with values and meanings, and reports all faults.

use std::{fmt::Write as _, io::Write as _, time::Duration};

use jiff::Timestamp;

use crate::commands::{
    Failure,
    history::{store_failure, with_repository},
};
use riskgate_config::{Config, Setting, env::ProcessEnv, history::StoreConfig};
use riskgate_history::repository::keys::KeyDependents;
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::{clock, mode::RuntimeMode};

/// How long the command waits for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// Lists all variables with value (secrets masked), default and meaning. Exits with 2 and lists all faults if the configuration is faulty.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate config
  RISKGATE_DENY_AT=eighty riskgate config   exits with 2 and shows the fault
  riskgate config --markdown                the table in the README")]
pub struct Args {
    /// Prints JSON.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Prints the README's table, without values.
    #[arg(long)]
    markdown: bool,
}

/// Runs the command.
///
/// # Errors
///
/// The configuration is faulty. The text lists all faults.
pub fn run(args: &Args) -> Result<(), Failure> {
    if args.markdown {
        let _ = write!(std::io::stdout(), "{}", markdown());
        return Ok(());
    }
    let settings = riskgate_config::settings(&ProcessEnv);
    let (config, faults) = Config::read(&ProcessEnv);
    let text = if args.json {
        serde_json::to_string_pretty(&settings).map_err(|error| Failure::Run(error.to_string()))?
    } else {
        format_table(&settings) + &format_notes(&config) + &pseudonym_key_usage(&config, faults.is_empty())
    };
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Instance::strict(config, faults, RuntimeMode::Command).map(|_| ()).map_err(|faults| Failure::Usage(format!("the configuration is faulty\n{faults}")))
}

fn format_notes(config: &Config) -> String {
    config.history.notes().iter().map(|note| format!("\nnote: {note}")).collect()
}

/// Lists the data that depends on each pseudonym key, if the store is shared.
fn pseudonym_key_usage(config: &Config, is_valid: bool) -> String {
    let is_shared = !matches!(config.history.store, StoreConfig::Memory);
    if !is_valid || !is_shared || config.history.pseudonym_keys.is_empty() && !config.is_secret_pending("PSEUDONYM_KEY") {
        return String::new();
    }
    let now = clock::read().wall;
    let mut text = String::from("\n\n# pseudonym keys in the store\n");
    let result = with_repository(async |repository| {
        let keys =
            tokio::time::timeout(STORE_TIMEOUT, repository.count_key_dependents(now)).await.map_err(|_| Failure::Run("the store did not answer".to_owned()))?;
        Ok((keys.map_err(store_failure)?, repository.history_ttl()))
    });
    match result {
        Ok((keys, ttl)) => keys.iter().enumerate().for_each(|(index, key)| text += &format_key_usage(&keys, index, key, ttl, now)),
        Err(Failure::Usage(problem) | Failure::Run(problem)) => {
            let _ = writeln!(text, "not known: {problem}");
        }
    }
    text
}

/// Formats the use of one key, with advice on whether it can be removed.
fn format_key_usage(keys: &[KeyDependents], index: usize, key: &KeyDependents, ttl: Duration, now: Timestamp) -> String {
    let used = match &key.used {
        Some(used) => format!("in use since {}, last recorded {}", used.since, used.seen),
        None => "not in use by any serving process".to_owned(),
    };
    let blocks = key.persons + key.named;
    let advice = if key.kid.is_empty() {
        return format!("unknown key: {blocks} blocks of an earlier version, which may depend on any key; add them again before you drop an old key\n");
    } else if index == 0 {
        "newest"
    } else if blocks > 0 {
        "do not drop it: these blocks move to the newest key when their subjects sign in again, or add them again"
    } else if keys.iter().any(|key| key.kid.is_empty()) {
        "do not drop it: blocks of an earlier version may depend on it"
    } else if keys[0].used.as_ref().is_some_and(|newest| newest.since.checked_add(ttl).is_ok_and(|end| end <= now)) {
        "it can be dropped"
    } else {
        "do not drop it: histories depend on it until HISTORY_TTL after the newest key came into use"
    };
    format!("{}: {used}; {} blocks of persons, {} of devices and tenants; {advice}\n", key.kid, key.persons, key.named)
}

fn format_table(settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut group = "";
    for setting in settings {
        if setting.group != group {
            group = setting.group;
            let _ = writeln!(text, "\n# {group}");
        }
        let value = match (&setting.value, setting.default) {
            (Some(value), _) => format!("{value}  (set)"),
            (None, "") => "(unset)".to_owned(),
            (None, default) => default.to_owned(),
        };
        let _ = writeln!(text, "{} = {value}\n    {}", setting.name, setting.meaning);
    }
    text
}

/// The README's table of variables.
pub fn markdown() -> String {
    let mut text = String::from("| variable | default | meaning |\n| --- | --- | --- |\n");
    for variable in riskgate_config::variables::VARIABLES {
        let marker = if variable.scope == riskgate_config::variables::Scope::PerClient { "*" } else { "" };
        let default = if variable.default.is_empty() { String::new() } else { format!("`{}`", variable.default) };
        let _ = writeln!(text, "| `{}`{marker} | {default} | {} |", variable.name, variable.meaning);
    }
    for (suffix, default, meaning) in riskgate_config::variables::PER_SERVICE {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let _ = writeln!(text, "| `<NAME>_{suffix}` | {default} | {meaning} |");
    }
    text
}
