//! `riskgate serve`: the HTTP sidecar.

use std::{net::SocketAddr, sync::Arc};

use crate::commands::Failure;
use riskgate_config::env::ProcessEnv;
use riskgate_pipeline::{
    instance::Instance,
    secrets::{self, Secrets},
};
use riskgate_runtime::{clock, mode::RuntimeMode, shutdown};
use riskgate_server::sidecar;
use riskgate_telemetry::subscriber;

/// Serves the HTTP sidecar until SIGTERM or Ctrl-C. Sign-ins in flight are answered before it exits.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate serve
  riskgate serve --listen 127.0.0.1:9000
  curl -s localhost:8710/v1/assess -H 'Content-Type: application/json' -d @request.json")]
pub struct Args {
    /// Address and port. The default is RISKGATE_LISTEN.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Runs the command.
///
/// # Errors
///
/// The configuration is faulty, or the address cannot be bound.
pub fn run(args: &Args) -> Result<(), Failure> {
    // With one or two cores a single thread is as fast, and leaves a core to other processes.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = if cores > 2 { tokio::runtime::Builder::new_multi_thread() } else { tokio::runtime::Builder::new_current_thread() };
    let runtime = builder.enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    let secrets = Secrets::new(ProcessEnv);
    runtime.block_on(secrets.fetch(secrets::WAIT_TIMEOUT, clock::read()));
    let (mut config, faults) = secrets.read_config();
    if let Some(listen) = args.listen {
        config.sidecar.listen = listen;
    }
    subscriber::install(&config.telemetry);
    let instance = Instance::strict(config, faults, RuntimeMode::Sidecar).map_err(|faults| Failure::Usage(faults.to_string()))?;
    instance.set_secrets(secrets);
    instance.report_notices(&ProcessEnv);
    sidecar::check(&instance).map_err(|fault| Failure::Usage(fault.to_string()))?;
    let listen = instance.config.sidecar.listen;
    let on_hangup = Arc::clone(&instance);
    runtime.spawn(shutdown::on_hangup(move || {
        tracing::info!("reopening the audit file after SIGHUP");
        on_hangup.telemetry.reopen();
    }));
    let result = runtime.block_on(sidecar::run(instance, shutdown::requested()));
    // A hanging name server blocks a resolver thread. The process does not wait for it.
    runtime.shutdown_background();
    result.map_err(|error| Failure::Run(format!("{listen}: {error}")))
}
