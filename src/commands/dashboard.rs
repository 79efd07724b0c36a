//! `riskgate dashboard`: shows the decisions that other processes write to a shared store, also those of Lambda.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::net::TcpListener;

use crate::commands::{Failure, history::check_deployment};
use riskgate_config::{
    dashboard::DashboardConfig,
    env::{EnvSource, ProcessEnv},
    history::StoreConfig,
    variables::PREFIX,
};
use riskgate_pipeline::{
    instance::Instance,
    secrets::{self, Secrets},
};
use riskgate_runtime::{clock, mode::RuntimeMode, shutdown};
use riskgate_server::sidecar;
use riskgate_telemetry::subscriber;

/// The store timeout, which may be longer than that of a sign-in.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// Shows the dashboard of the decisions in a shared store. It can run on a server: the pseudonym key stays there, and browsers need only a token.
/// Sidecars and Lambda functions with the same store write the decisions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate dashboard --store redis://127.0.0.1:6379/0
  RISKGATE_STORE=dynamodb://riskgate riskgate dashboard --listen 0.0.0.0:8710
  riskgate dashboard --store dynamodb://riskgate --aggregates

It takes the variables of the deployment: RISKGATE_PSEUDONYM_KEY to find users by name and to act, and who may see and act: RISKGATE_DASHBOARD_VIEW_TOKEN, RISKGATE_DASHBOARD_OPERATORS, RISKGATE_DASHBOARD_PROXY_CIDRS with RISKGATE_DASHBOARD_PROXY_SECRET. On an address other than loopback nothing is shown without a token, except with --aggregates. Put a URL with a password into RISKGATE_STORE: other users of the machine can read arguments.

How long decisions are stored is RISKGATE_ACTIVITY_TTL of the processes that write them.")]
pub struct Args {
    /// The store: redis://.. or dynamodb://TABLE. The default is RISKGATE_STORE.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The address and port of the dashboard.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
    /// Starts without a token or an operator: counts and rankings are shown to everyone who can connect, users and decisions to no one.
    #[arg(long)]
    aggregates: bool,
}

/// The process environment with another store.
#[derive(Debug)]
struct EnvWithStore(Option<String>);

impl EnvSource for EnvWithStore {
    fn value(&self, name: &str) -> Option<String> {
        let store = self.0.as_ref().filter(|_| name.strip_prefix(PREFIX) == Some("STORE"));
        store.cloned().or_else(|| ProcessEnv.value(name))
    }

    fn names(&self) -> Vec<String> {
        let mut names = ProcessEnv.names();
        if self.0.is_some() {
            names.push(format!("{PREFIX}STORE"));
            names.sort_unstable();
            names.dedup();
        }
        names
    }
}

/// Runs the command.
///
/// # Errors
///
/// The configuration is faulty, no one could see users and decisions, the store cannot be reached, or the address cannot be bound.
pub fn run(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    let secrets = Secrets::new(EnvWithStore(args.store.clone()));
    runtime.block_on(secrets.fetch(secrets::WAIT_TIMEOUT, clock::read()));
    let (mut config, faults) = secrets.read_config();
    if matches!(config.history.store, StoreConfig::Memory) && faults.is_empty() {
        return Err(Failure::Usage(
            "--store or RISKGATE_STORE must name a shared store, redis://.. or dynamodb://TABLE: other processes write the decisions".to_owned(),
        ));
    }
    if !has_viewers(&config.dashboard) && !args.aggregates && faults.is_empty() {
        return Err(Failure::Usage(
            "set RISKGATE_DASHBOARD_VIEW_TOKEN, RISKGATE_DASHBOARD_OPERATORS or RISKGATE_DASHBOARD_PROXY_CIDRS: without any, no one could see users and decisions; --aggregates shows only counts"
                .to_owned(),
        ));
    }
    config.sidecar.listen = args.listen;
    config.budget.store = config.budget.store.max(STORE_TIMEOUT);
    if !args.listen.ip().is_loopback() && !args.aggregates && config.sidecar.token.is_none() {
        // No request knows this token, so each needs one of the dashboard's.
        config.sidecar.token = Some(SecretString::from(format!("{:032x}", rand::random::<u128>())));
    }
    subscriber::install(&config.telemetry);
    let instance = Instance::strict(config, faults, RuntimeMode::Sidecar).map_err(|faults| Failure::Usage(faults.to_string()))?;
    instance.set_secrets(secrets);
    runtime.block_on(async {
        if let Some(repository) = instance.engine.enricher().repository() {
            check_deployment(&repository, None, clock::read().wall).await.map_err(|failure| match (failure, repository.store().problem()) {
                (Failure::Run(failure), Some(problem)) => Failure::Run(format!("{failure}: {problem}")),
                (failure, _) => failure,
            })?;
        }
        let failure = |error: std::io::Error| Failure::Run(format!("{}: {error}", args.listen));
        let listener = TcpListener::bind(args.listen).await.map_err(failure)?;
        tracing::info!(address = %listener.local_addr().map_err(failure)?, "the dashboard is listening");
        sidecar::serve_store(listener, Arc::clone(&instance), shutdown::requested()).await.map_err(failure)
    })
}

/// Whether anyone may see users and decisions.
fn has_viewers(config: &DashboardConfig) -> bool {
    config.view_token.is_some() || !config.operators.is_empty() || config.proxy_secret.is_some()
}
