//! `riskgate config`: every variable, its value in force and its meaning; all faults at once.

use std::{fmt::Write as _, io::Write as _, time::Duration};

use jiff::Timestamp;

use super::{
    Failure,
    history::{away, with_ledger},
};
use crate::{
    config::{self, Config, Setting, env::ProcessEnv, history::StoreConfig},
    event::Now,
    evidence::{Face, history::ledger::keys::KeyRest},
    serve::Instance,
};

/// What the store says is waited for no longer.
const STORE_PATIENCE: Duration = Duration::from_secs(3);

/// Lists every variable: value in force (secrets masked), default, meaning. Exits 2 with all faults when something is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate config
  RISKGATE_DENY_AT=eighty riskgate config   exits 2 and says what is wrong
  riskgate config --markdown                the table of the README")]
pub struct Args {
    /// As JSON.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// As the README's table, without values.
    #[arg(long)]
    markdown: bool,
}

/// Runs the command.
///
/// # Errors
///
/// Every fault of the configuration.
pub fn run(args: &Args) -> Result<(), Failure> {
    if args.markdown {
        let _ = write!(std::io::stdout(), "{}", markdown());
        return Ok(());
    }
    let settings = config::settings(&ProcessEnv);
    let (config, faults) = Config::read(&ProcessEnv);
    let text = if args.json {
        serde_json::to_string_pretty(&settings).map_err(|error| Failure::Run(error.to_string()))?
    } else {
        table(&settings) + &notes(&config) + &keys(&config, faults.is_empty())
    };
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Instance::strict(config, faults, Face::Command).map(|_| ()).map_err(|faults| Failure::Usage(format!("the configuration is faulty\n{faults}")))
}

fn notes(config: &Config) -> String {
    config.history.notes().iter().map(|note| format!("\nnote: {note}")).collect()
}

/// What rests on each pseudonym key, where there is a store that several processes share.
fn keys(config: &Config, is_valid: bool) -> String {
    let is_shared = !matches!(config.history.store, StoreConfig::Memory);
    if !is_valid || !is_shared || config.history.pseudonym_keys.is_empty() && !config.awaits("PSEUDONYM_KEY") {
        return String::new();
    }
    let now = Now::read().wall;
    let mut text = String::from("\n\n# pseudonym keys in the store\n");
    let read = with_ledger(async |ledger| {
        let rests = tokio::time::timeout(STORE_PATIENCE, ledger.key_rests(now)).await.map_err(|_| Failure::Run("the store did not answer".to_owned()))?;
        Ok((rests.map_err(away)?, ledger.history_ttl()))
    });
    match read {
        Ok((rests, ttl)) => rests.iter().enumerate().for_each(|(at, rest)| text += &rest_line(&rests, at, rest, ttl, now)),
        Err(Failure::Usage(problem) | Failure::Run(problem)) => {
            let _ = writeln!(text, "not known: {problem}");
        }
    }
    text
}

fn rest_line(rests: &[KeyRest], at: usize, rest: &KeyRest, ttl: Duration, now: Timestamp) -> String {
    let used = match &rest.used {
        Some(used) => format!("written under since {}, last recorded {}", used.since, used.seen),
        None => "no serving process has recorded it".to_owned(),
    };
    let blocks = rest.persons + rest.named;
    let advice = if rest.kid.is_empty() {
        return format!("unknown key: {blocks} blocks of an earlier version, which may rest on any key; add them again before an old key is dropped\n");
    } else if at == 0 {
        "newest"
    } else if blocks > 0 {
        "do not drop it: these blocks move when their subjects are seen again, or add them again"
    } else if rests.iter().any(|rest| rest.kid.is_empty()) {
        "do not drop it: blocks of an earlier version may rest on it"
    } else if rests[0].used.as_ref().is_some_and(|newest| newest.since.checked_add(ttl).is_ok_and(|end| end <= now)) {
        "it may be dropped"
    } else {
        "do not drop it: histories rest on it until HISTORY_TTL after the newest key came into use"
    };
    format!("{}: {used}; {} blocks of persons, {} of devices and tenants; {advice}\n", rest.kid, rest.persons, rest.named)
}

fn table(settings: &[Setting]) -> String {
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
    for variable in config::variables::VARIABLES {
        let star = if variable.scope == config::variables::Scope::PerClient { "*" } else { "" };
        let default = if variable.default.is_empty() { String::new() } else { format!("`{}`", variable.default) };
        let _ = writeln!(text, "| `{}`{star} | {default} | {} |", variable.name, variable.meaning);
    }
    for (suffix, default, meaning) in config::variables::PER_SERVICE {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let _ = writeln!(text, "| `<NAME>_{suffix}` | {default} | {meaning} |");
    }
    text
}
