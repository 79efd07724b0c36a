//! `riskgate history`: exports or erases the stored data of one user, or ends a restriction of their tokens.

use std::{io::Write, sync::Arc, time::Duration};

use clap::Subcommand;

use crate::commands::{Failure, user_name::UserName};
use riskgate_config::pseudonym::Pseudonyms;
use riskgate_history::repository::HistoryRepository;
use riskgate_runtime::{clock, mode::RuntimeMode};

/// The store timeout of a command, which may wait longer than a sign-in.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// Exports or erases the stored data of one user, or ends a restriction of their tokens.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate history export --pool eu-west-1_AbCdEf --sub 8b1a4c1e-...
  riskgate history forget --pool eu-west-1_AbCdEf --name ada@example.com

History is stored under the sub if Cognito sends one, otherwise under the name that was typed. Use --name for names without an account and for users of the sidecar.")]
pub struct Args {
    #[command(subcommand)]
    action: HistoryAction,
}

#[derive(Debug, Subcommand)]
enum HistoryAction {
    /// Exports everything that is stored about a user, as JSON.
    #[command(after_help = "Examples:
  riskgate history export --pool eu-west-1_AbCdEf --sub 8b1a4c1e-... > ada.json")]
    Export(UserArgs),
    /// Erases everything that is stored about a user, including blocks.
    #[command(after_help = "Examples:
  riskgate history forget --pool eu-west-1_AbCdEf --name ada@example.com")]
    Forget(UserArgs),
    /// Ends the restriction that a sign-in under review put on a user's tokens.
    #[command(after_help = "Examples:
  riskgate history release --pool eu-west-1_AbCdEf --sub 8b1a4c1e-...")]
    Release(UserArgs),
}

/// Arguments that identify a user.
#[derive(Debug, Clone, clap::Args)]
pub struct UserArgs {
    /// The user pool's id. Leave it out if sign-ins have no pool.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub pool: String,
    #[command(flatten)]
    name: UserName,
}

/// Runs the command.
///
/// # Errors
///
/// The configuration is faulty, or the store is memory or cannot be reached.
pub fn run(args: &Args) -> Result<(), Failure> {
    with_repository(async |repository| {
        let now = clock::read().wall;
        let (HistoryAction::Export(user_args) | HistoryAction::Forget(user_args) | HistoryAction::Release(user_args)) = &args.action;
        let (pool, user) = (user_args.pool.as_str(), user_args.record_name());
        let pool_rule = if user_args.name.sub.is_some() { PoolRule::Required } else { PoolRule::IfDeployed };
        check_deployment(repository, Some((pool, pool_rule)), now).await?;
        let keys: Vec<String> = repository.record_keys(pool, user).iter().map(|key| format!("u#{key}")).collect();
        let keys = keys.join(" ");
        let text = match &args.action {
            HistoryAction::Export(_) => {
                let export = repository.export(pool, user, now).await.map_err(store_failure)?;
                serde_json::to_string_pretty(&export).map_err(|error| Failure::Run(error.to_string()))?
            }
            HistoryAction::Forget(_) => {
                let rows = repository.forget(pool, user, now).await.map_err(store_failure)?;
                format!("forgotten: {keys} and {rows} activity rows")
            }
            HistoryAction::Release(_) => {
                repository.lift_restriction(pool, user, now).await.map_err(store_failure)?;
                format!("released: {keys}")
            }
        };
        // A closed pipe is not an error.
        let _ = writeln!(std::io::stdout(), "{text}");
        Ok(())
    })
}

/// Opens the configured store and runs `work` on it.
///
/// # Errors
///
/// The configuration is faulty, the store is memory, or `work` fails.
pub fn with_repository<T>(work: impl AsyncFnOnce(&HistoryRepository) -> Result<T, Failure>) -> Result<T, Failure> {
    let (mut config, faults) = crate::commands::read_config_with_secrets()?;
    if !faults.is_empty() {
        return Err(Failure::Usage(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    }
    config.budget.store = config.budget.store.max(STORE_TIMEOUT);
    let pseudonyms = Arc::new(Pseudonyms::new(&config.history.pseudonym_keys));
    let repository = riskgate_history::open(&config, pseudonyms, RuntimeMode::Command, &Arc::default()).map_err(|fault| Failure::Usage(fault.to_string()))?;
    let Some(repository) = repository else {
        return Err(Failure::Usage(
            "RISKGATE_STORE: the memory store belongs to the serving process and cannot be read by a command; configure a shared store".to_owned(),
        ));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    runtime.block_on(work(&repository)).map_err(|failure| match (failure, repository.store().problem()) {
        (Failure::Run(failure), Some(problem)) => Failure::Run(format!("{failure}: {problem}")),
        (failure, _) => failure,
    })
}

/// Whether the pool is needed to find a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolRule {
    /// Required for a sub, which is unique only within its pool.
    Required,
    /// Required for a name only if the deployment's sign-ins have a pool.
    IfDeployed,
}

/// Rejects commands without effect: a missing key of the deployment, or a user without the pool.
///
/// Returns the indexes of the configured pseudonym keys that the deployment writes under.
///
/// # Errors
///
/// The command would have no effect, or the store cannot be reached.
pub async fn check_deployment(repository: &HistoryRepository, user: Option<(&str, PoolRule)>, now: jiff::Timestamp) -> Result<Vec<usize>, Failure> {
    let deployment = repository.read_deployment_keys(now).await.map_err(store_failure)?;
    if let Some(key) = deployment.missing {
        return Err(Failure::Usage(format!(
            "RISKGATE_PSEUDONYM_KEY: the deployment writes under key {} since {}, which is not configured here; use the key list of the deployment",
            key.kid, key.since
        )));
    }
    if let Some(("", rule)) = user
        && (rule == PoolRule::Required || deployment.names_pool == Some(true))
    {
        return Err(Failure::Usage("--pool is needed: records are stored under the user pool's id and the user's name".to_owned()));
    }
    if deployment.in_use.is_empty() { Ok(vec![0]) } else { Ok(deployment.in_use) }
}

/// The failure of a store that could not be reached.
pub fn store_failure(cause: riskgate_engine::evidence::FailureReason) -> Failure {
    Failure::Run(format!("the store did not answer: {}", cause.as_label()))
}

impl UserArgs {
    /// The name under which history is stored.
    pub fn record_name(&self) -> &str {
        self.name.text()
    }
}
