//! `riskgate config`: every variable, its value in force and its meaning; all faults at once.

use std::{fmt::Write as _, io::Write as _};

use super::Failure;
use crate::{
    config::{self, Config, Setting, env::ProcessEnv},
    evidence::Face,
    serve::Instance,
};

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
    let text =
        if args.json { serde_json::to_string_pretty(&settings).map_err(|error| Failure::Run(error.to_string()))? } else { table(&settings) + &notes(&config) };
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Instance::strict(config, faults, Face::Command).map(|_| ()).map_err(|faults| Failure::Usage(format!("the configuration is faulty\n{faults}")))
}

fn notes(config: &Config) -> String {
    config.history.notes().iter().map(|note| format!("\nnote: {note}")).collect()
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
