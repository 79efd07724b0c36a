//! Starts the function: reads the configuration and secrets, sets up logging, and runs the runtime loop on one thread.

use std::{panic::catch_unwind, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use riskgate_config::env::ProcessEnv;
use riskgate_pipeline::{
    instance::Instance,
    secrets::{self, Secrets},
};
use riskgate_runtime::{clock, shutdown};
use riskgate_telemetry::subscriber;

/// The variables that the runtime client reads. It panics without them.
const REQUIRED_VARIABLES: [&str; 4] = ["AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"];

/// Longest wait for queued log lines when the process ends.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The exit code of a panic in Rust's own runtime.
const PANIC_EXIT_CODE: u8 = 101;

/// Runs a program and writes the remaining log lines, also after a panic.
pub fn run_and_drain(program: impl FnOnce() -> ExitCode + std::panic::UnwindSafe) -> ExitCode {
    let code = catch_unwind(program).unwrap_or_else(|_| ExitCode::from(PANIC_EXIT_CODE));
    subscriber::drain(DRAIN_TIMEOUT);
    code
}

/// Serves invocations until Lambda ends the process. An error is written to standard error.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            subscriber::write(format!("riskgate: {error:#}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Serves invocations until Lambda ends the process.
///
/// # Errors
///
/// A variable that Lambda sets is missing, the engine cannot be built, or the runtime API failed.
fn serve() -> anyhow::Result<()> {
    if let Some(missing) = REQUIRED_VARIABLES.iter().find(|name| std::env::var_os(name).is_none()) {
        bail!("{missing} is not set: Lambda sets it, and this program runs only there");
    }
    // An execution environment handles one sign-in at a time, so a single thread is faster than several that wake each other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot be built")?;
    let secrets = Secrets::new(ProcessEnv);
    runtime.block_on(secrets.fetch(secrets::WAIT_TIMEOUT, clock::read()));
    let (config, faults) = secrets.read_config();
    subscriber::install(&config.telemetry);
    let instance = Instance::lenient(config, faults)?;
    instance.set_secrets(secrets);
    instance.report_notices(&ProcessEnv);
    let served = runtime.block_on(crate::run(instance, shutdown::requested()));
    // A hanging name server blocks a thread of the system resolver. The process exits without waiting for it.
    runtime.shutdown_background();
    served.map_err(|error| anyhow::anyhow!(error))
}
