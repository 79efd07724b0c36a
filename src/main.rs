//! The binary: the Lambda trigger when Lambda starts it, else a command.

use std::{panic::catch_unwind, process::ExitCode, time::Duration};

use clap::Parser;
use riskgate::{
    commands::{self, Cli},
    config::env::ProcessEnv,
    event::Now,
    serve::{
        Instance, lambda,
        secrets::{self, Secrets},
        shutdown,
    },
    telemetry::subscriber,
};

/// What the runtime client needs from Lambda; it panics without them.
const NEEDED: [&str; 3] = ["AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"];

/// How long the last lines may take to be written when the process ends.
const LAST_LINES: Duration = Duration::from_millis(500);

/// The exit code of a panic, as Rust's own runtime has it.
const PANICKED: u8 = 101;

fn main() -> ExitCode {
    let ended = catch_unwind(run).unwrap_or_else(|_| ExitCode::from(PANICKED));
    subscriber::drain(LAST_LINES);
    ended
}

fn run() -> ExitCode {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() && std::env::args_os().len() == 1 {
        return match serve_lambda() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                commands::print_error(&error.to_string());
                ExitCode::FAILURE
            }
        };
    }
    commands::run(Cli::parse())
}

/// One environment sees one sign-in at a time: a single thread answers sooner than several that wake each other.
fn serve_lambda() -> anyhow::Result<()> {
    if let Some(missing) = NEEDED.iter().find(|name| std::env::var_os(name).is_none()) {
        anyhow::bail!("{missing} is not set although AWS_LAMBDA_RUNTIME_API is; Lambda sets both");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let secrets = Secrets::named_by(ProcessEnv);
    runtime.block_on(secrets.ask(secrets::WAIT, Now::read()));
    let (config, faults) = secrets.read();
    subscriber::install(&config.telemetry);
    let instance = Instance::lenient(config, faults)?;
    instance.keep(secrets);
    instance.report_notices(&ProcessEnv);
    let served = runtime.block_on(lambda::run(instance, shutdown::requested()));
    // A name server that hangs holds a thread of the system's resolver: not the end of the process.
    runtime.shutdown_background();
    served.map_err(|error| anyhow::anyhow!(error))
}
