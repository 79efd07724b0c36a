//! `riskgate config`: lists all variables with values and meanings, and reports all faults.

use std::{fmt::Write as _, io::Write as _, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::commands::{
    Failure, config_page,
    history::{store_failure, with_repository},
    variable_text,
};
use riskgate_config::{Config, Setting, env::ProcessEnv, history::StoreConfig, notices::Notice};
use riskgate_history::{block_list::SessionFinding, repository::keys::KeyDependents};
use riskgate_network::Networks;
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::{clock, health::Health, mode::RuntimeMode, session_health::SessionProblem};

/// How long the command waits for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// Lists all variables with value (secrets masked), default and meaning. Exits with 2 and lists all faults if the configuration is faulty.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate config
  riskgate config --changed                 only what differs from the defaults
  riskgate config --explain DENY_AT         meaning, accepted values and current value
  RISKGATE_DENY_AT=eighty riskgate config   exits with 2 and shows the fault
  riskgate config --markdown                docs/CONFIGURATION.md")]
pub struct Args {
    /// Prints JSON.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Prints docs/CONFIGURATION.md: all variables in groups, without values.
    #[arg(long)]
    markdown: bool,
    /// Lists only the variables whose value differs from the default, with the source of the value.
    #[arg(long, conflicts_with = "markdown")]
    changed: bool,
    /// Explains one variable: meaning, accepted values, default, current value and related variables. The prefix may be left out.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["markdown", "changed", "json"])]
    explain: Option<String>,
}

/// Runs the command.
///
/// # Errors
///
/// The configuration is faulty. The text lists all faults.
pub fn run(args: &Args) -> Result<(), Failure> {
    if args.markdown {
        let _ = write!(std::io::stdout(), "{}", config_page::markdown());
        return Ok(());
    }
    let mut settings = riskgate_config::settings(&ProcessEnv);
    let (config, faults) = Config::read(&ProcessEnv);
    if let Some(name) = &args.explain {
        let explanation = riskgate_config::explain::explain(name).map_err(Failure::Usage)?;
        let _ = write!(std::io::stdout(), "{}", variable_text::explain(&explanation, &settings, &faults));
        return Ok(());
    }
    if args.changed {
        settings = variable_text::changed(settings);
    }
    let text = if args.json {
        serde_json::to_string_pretty(&settings).map_err(|error| Failure::Run(error.to_string()))?
    } else if args.changed {
        variable_text::list_changed(&settings)
    } else {
        format_table(&settings) + &format_notes(&config) + &pseudonym_key_usage(&config, faults.is_empty()) + &session_findings(&config, faults.is_empty())
    };
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Instance::strict(config, faults, RuntimeMode::Command).map(|_| ()).map_err(|faults| Failure::Usage(format!("the configuration is faulty\n{faults}")))
}

fn format_notes(config: &Config) -> String {
    let health = Arc::new(Health::default());
    let _ = Networks::open(&config.networks, &health);
    let now = u64::try_from(clock::read().wall.as_second()).unwrap_or_default();
    let outdated = health.outdated_data(now).map(|(part, days)| {
        format!("the bundled network data ({}) is {days} days old: update riskgate, or set CITY_DB, ASN_DB or ANONYMOUS_DB", part.as_label())
    });
    let notices = Notice::all(&ProcessEnv, config).into_iter().map(|notice| notice.to_string());
    let notes = config.history.notes().into_iter().map(str::to_owned).chain(notices).chain(outdated);
    notes.map(|note| format!("\nnote: {note}")).collect()
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

/// Lists why sessions of user pools cannot be looked up, as the session function last found, if sessions are on.
fn session_findings(config: &Config, is_valid: bool) -> String {
    if !is_valid || config.sessions.queue.is_none() {
        return String::new();
    }
    let now = clock::read().wall;
    let result = with_repository(async |repository| {
        let findings = tokio::time::timeout(STORE_TIMEOUT, repository.read_session_findings(now)).await;
        findings.map_err(|_| Failure::Run("the store did not answer".to_owned()))?.map_err(store_failure)
    });
    let lines = match result {
        Ok(findings) if findings.is_empty() => "no session look-up was refused in the last day\n".to_owned(),
        Ok(findings) => findings.iter().map(|(pool, finding)| format_finding(pool, finding)).collect(),
        Err(Failure::Usage(problem) | Failure::Run(problem)) => format!("not known: {problem}\n"),
    };
    format!("\n\n# verified sessions\n{lines}")
}

fn format_finding(pool: &str, SessionFinding { problem, at }: &SessionFinding) -> String {
    let help = SessionProblem::from_label(problem).map(|problem| format!(": {}", problem.help())).unwrap_or_default();
    format!("{pool}: {problem}, last found {at}{help}\n")
}

/// Formats the use of one key, with advice on whether it can be removed.
fn format_key_usage(keys: &[KeyDependents], index: usize, key: &KeyDependents, ttl: Duration, now: Timestamp) -> String {
    let used = match &key.used {
        Some(used) => format!("in use since {}, last recorded {}", used.since, used.seen),
        None => "not in use by any serving process".to_owned(),
    };
    let blocks = key.users + key.named;
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
    format!("{}: {used}; {} blocks of persons, {} of devices and tenants; {advice}\n", key.kid, key.users, key.named)
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
