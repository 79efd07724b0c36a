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
        let needs_pool = if who.name.sub.is_some() { Pool::Needed } else { Pool::AsDeployed };
        check(ledger, Some((pool, needs_pool)), now).await?;
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
pub fn with_ledger<T>(work: impl AsyncFnOnce(&Ledger) -> Result<T, Failure>) -> Result<T, Failure> {
    let (mut config, faults) = super::configured()?;
    if !faults.is_empty() {
        return Err(Failure::Usage(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    }
    config.budget.store = config.budget.store.max(PATIENCE);
    let pseudonyms = Arc::new(Pseudonyms::new(&config.history.pseudonym_keys));
    let ledger = history::open(&config, pseudonyms, Face::Command, &Arc::default()).map_err(|fault| Failure::Usage(fault.to_string()))?;
    let Some(ledger) = ledger else {
        return Err(Failure::Usage("RISKGATE_STORE: memory lives in the process that serves; name a shared store".to_owned()));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    runtime.block_on(work(&ledger)).map_err(|failure| match (failure, ledger.store().problem()) {
        (Failure::Run(what), Some(problem)) => Failure::Run(format!("{what}: {problem}")),
        (failure, _) => failure,
    })
}

/// Whether a person cannot be found without their pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// A sub is an account's in a pool.
    Needed,
    /// A name is, where sign-ins name one.
    AsDeployed,
}

/// Refuses what would have no effect: a key that the deployment does not write under, or a person without the pool. Returns the numbers
/// of the configured keys that it writes under.
///
/// # Errors
///
/// What is wrong and what to do, or a store that cannot be reached.
pub async fn check(ledger: &Ledger, person: Option<(&str, Pool)>, now: jiff::Timestamp) -> Result<Vec<usize>, Failure> {
    let deployment = ledger.deployment(now).await.map_err(away)?;
    if let Some(key) = deployment.missing {
        return Err(Failure::Usage(format!(
            "RISKGATE_PSEUDONYM_KEY: the deployment writes under key {} since {}, which is not configured here; use the deployment's list of keys",
            key.kid, key.since
        )));
    }
    if let Some(("", pool)) = person
        && (pool == Pool::Needed || deployment.names_pool == Some(true))
    {
        return Err(Failure::Usage("--pool is needed: the person's record is found by the user pool's id and the name".to_owned()));
    }
    if deployment.in_use.is_empty() { Ok(vec![0]) } else { Ok(deployment.in_use) }
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
