//! `riskgate serve`: the HTTP sidecar.

use std::{net::SocketAddr, sync::Arc};

use super::Failure;
use crate::{
    config::env::ProcessEnv,
    event::Now,
    evidence::Face,
    serve::{
        Instance,
        secrets::{self, Secrets},
        shutdown, sidecar,
    },
    telemetry::subscriber,
};

/// Serves the HTTP sidecar until SIGTERM or Ctrl-C; sign-ins in flight are answered first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate serve
  curl -s http://127.0.0.1:8710/v1/assess -H 'Content-Type: application/json' -d '{\"user\":\"ada\",\"ip\":\"8.8.8.8\"}'")]
pub struct Args {
    /// Address and port; RISKGATE_LISTEN when left out.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Runs the command.
///
/// # Errors
///
/// A faulty configuration, or an address that cannot be listened on.
pub fn run(args: &Args) -> Result<(), Failure> {
    // Two threads fight with the load generator on a small machine, and gain nothing: one does until there are cores to spare.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = if cores > 2 { tokio::runtime::Builder::new_multi_thread() } else { tokio::runtime::Builder::new_current_thread() };
    let runtime = builder.enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    let secrets = Secrets::named_by(ProcessEnv);
    runtime.block_on(secrets.ask(secrets::WAIT, Now::read()));
    let (mut config, faults) = secrets.read();
    if let Some(listen) = args.listen {
        config.sidecar.listen = listen;
    }
    subscriber::install(&config.telemetry);
    let instance = Instance::strict(config, faults, Face::Sidecar).map_err(|faults| Failure::Usage(faults.to_string()))?;
    instance.keep(secrets);
    instance.report_notices(&ProcessEnv);
    sidecar::check(&instance).map_err(|fault| Failure::Usage(fault.to_string()))?;
    let listen = instance.config.sidecar.listen;
    let hung_up = Arc::clone(&instance);
    runtime.spawn(shutdown::on_hangup(move || {
        tracing::info!("hangup: the audit file is opened again");
        hung_up.telemetry.reopen();
    }));
    let served = runtime.block_on(sidecar::run(instance, shutdown::requested()));
    // A name server that hangs holds a thread of the system's resolver: not the end of the process.
    runtime.shutdown_background();
    served.map_err(|error| Failure::Run(format!("{listen}: {error}")))
}
