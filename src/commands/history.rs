//! `riskgate history`: what is kept of one person, out, or gone.

use std::{io::Write, sync::Arc, time::Duration};

use clap::Subcommand;

use super::Failure;
use crate::{
    event::Now,
    evidence::{
        Face,
        history::{self, Ledger, Pseudonyms},
    },
};

/// A command may wait longer for the store than a person signing in.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is kept of one person: export it, erase it, or end a hold on their tokens.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate history export --pool eu-west-1_AbCdEf --sub 8b1a4c1e-...
  riskgate history forget --pool eu-west-1_AbCdEf --name ada@example.com

History is kept under the sub where Cognito sends one, else under the name that was typed; --name is for
names that no account has, and for the sidecar's callers.")]
pub struct Args {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Everything that is kept of a person, as JSON.
    Export(Who),
    /// Erases everything that is kept of a person, blocks included.
    Forget(Who),
    /// Ends the hold that a sign-in under review put on a person's tokens.
    Release(Who),
}

/// Whose record.
#[derive(Debug, Clone, clap::Args)]
pub struct Who {
    /// The user pool's id; leave it out where sign-ins name no pool.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub pool: String,
    #[command(flatten)]
    name: Name,
}

#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
struct Name {
    /// The account's `sub`.
    #[arg(long)]
    sub: Option<String>,
    /// The name that was typed.
    #[arg(long)]
    name: Option<String>,
}

/// Runs the command.
///
/// # Errors
///
/// A store that is memory or cannot be reached, or a faulty configuration.
pub fn run(args: &Args) -> Result<(), Failure> {
    with_ledger(async |ledger| {
        let now = Now::read().wall;
        let (Deed::Export(who) | Deed::Forget(who) | Deed::Release(who)) = &args.deed;
        let (pool, person) = (who.pool.as_str(), who.person());
        let keys: Vec<String> = ledger.keys(pool, person).iter().map(|key| format!("u#{key}")).collect();
        let keys = keys.join(" ");
        let text = match &args.deed {
            Deed::Export(_) => {
                let export = ledger.export(pool, person, now).await.map_err(away)?;
                serde_json::to_string_pretty(&export).map_err(|error| Failure::Run(error.to_string()))?
            }
            Deed::Forget(_) => {
                let rows = ledger.forget(pool, person, now).await.map_err(away)?;
                format!("forgotten: {keys} and {rows} activity rows")
            }
            Deed::Release(_) => {
                ledger.release(pool, person, now).await.map_err(away)?;
                format!("released: {keys}")
            }
        };
        // A closed pipe is the reader's choice.
        let _ = writeln!(std::io::stdout(), "{text}");
        Ok(())
    })
}

/// Does something with the configured store.
///
/// # Errors
///
/// A faulty configuration, a store in memory, or what is done fails.
pub fn with_ledger(work: impl AsyncFnOnce(&Ledger) -> Result<(), Failure>) -> Result<(), Failure> {
    let (mut config, faults) = super::configured()?;
    if !faults.is_empty() {
        return Err(Failure::Usage(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    }
    config.budget.store = config.budget.store.max(PATIENCE);
    let pseudonyms = Arc::new(Pseudonyms::new(&config.history.pseudonym_keys));
    let ledger = history::open(&config, pseudonyms, Face::Command).map_err(|fault| Failure::Usage(fault.to_string()))?;
    let Some(ledger) = ledger else {
        return Err(Failure::Usage("RISKGATE_STORE: memory lives in the process that serves; name a shared store".to_owned()));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    runtime.block_on(work(&ledger))
}

/// The store could not be reached.
pub fn away(cause: crate::evidence::Cause) -> Failure {
    Failure::Run(format!("the store did not answer: {}", cause.as_label()))
}

impl Who {
    /// The name under which history is kept.
    pub fn person(&self) -> &str {
        self.name.sub.as_deref().or(self.name.name.as_deref()).unwrap_or_default()
    }
}
