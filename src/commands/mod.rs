//! The commands.
//!
//! Exit codes: 0 success, 1 the input or the run failed, 2 wrong usage or configuration. Only this module and
//! `main` write directly to standard output. Logs go to standard error.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is its purpose")]

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use riskgate_config::{
    Config,
    env::{ConfigError, ProcessEnv},
    variables::PREFIX,
};
use riskgate_engine::evidence::FailureReason;
use riskgate_pipeline::secrets::Secrets;
use riskgate_runtime::clock;
use riskgate_telemetry::subscriber;

pub mod assess;

pub mod block;

mod completions;

pub mod config;

mod config_page;

pub mod dashboard;

mod dashboard_link;

pub mod demo;

pub mod healthcheck;

pub mod history;

mod provider_check;

pub mod replay;

pub mod serve;

#[cfg(feature = "secrets")]
pub mod sessions;

pub mod sign_context;

pub mod synth;

mod user_name;

mod variable_text;

mod verdict_text;

pub mod watch;

/// Scores the risk of sign-ins and decides whether they are allowed.
#[derive(Debug, Parser)]
#[command(name = "riskgate", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Assess(assess::Args),
    Block(Box<block::Args>),
    Completions(completions::Args),
    Config(config::Args),
    Dashboard(dashboard::Args),
    Demo(demo::Args),
    Healthcheck(healthcheck::Args),
    History(history::Args),
    Replay(Box<replay::Args>),
    Serve(serve::Args),
    #[cfg(feature = "secrets")]
    Sessions(sessions::Args),
    Watch(watch::Args),
    SignContext(Box<sign_context::Args>),
    Synth(synth::Args),
}

/// How long a command waits for a secrets service.
const SECRETS_TIMEOUT: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "Examples:
  riskgate demo                     the dashboard with generated sign-ins
  riskgate assess event.json        a verdict with all reasons and their weights
  riskgate config --changed         the variables that differ from their defaults
  riskgate serve                    the HTTP sidecar on 127.0.0.1:8710
  riskgate healthcheck              whether a sidecar on this machine is ready
  riskgate watch audit.jsonl        the dashboard of an audit log
  riskgate dashboard --store URL    the dashboard of a shared store, also of Lambda
  riskgate replay audit.jsonl       what each threshold would have stopped
  riskgate block list               the suspensions and exemptions
  riskgate help replay              the options of a command, with examples

Without a command and with AWS_LAMBDA_RUNTIME_API set, it runs as the Lambda trigger.

Exit codes: 0 success, 1 the input or the run failed, 2 wrong usage or configuration.";

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The input or the run failed: exit 1.
    Run(String),
    /// Wrong usage or configuration: exit 2.
    Usage(String),
}

/// Reads the configuration of a command that needs secrets. A secret that cannot be fetched is a fault.
fn read_config_with_secrets() -> Result<(Config, Vec<ConfigError>), Failure> {
    let secrets = Secrets::new(ProcessEnv);
    if !secrets.failures().is_empty() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
        runtime.block_on(secrets.fetch(SECRETS_TIMEOUT, clock::read()));
        runtime.shutdown_background();
    }
    let (config, mut faults) = secrets.read_config();
    let missing = secrets.failures().into_iter().filter_map(|(variable, cause)| Some((variable, cause?)));
    faults.extend(missing.map(|(variable, cause)| ConfigError {
        variable: format!("{PREFIX}{variable}"),
        problem: match secrets.problem() {
            Some(problem) if cause == FailureReason::NoCredentials => format!("could not be fetched: {}: {problem}", cause.as_label()),
            _ => format!("could not be fetched: {}", cause.as_label()),
        },
    }));
    Ok((config, faults))
}

/// Writes an error to standard error after the pending log lines. Does not block when standard error is not read.
pub fn print_error(problem: &str) {
    subscriber::write(format!("riskgate: {problem}\n").as_bytes());
}

/// Runs the command given by the arguments.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Assess(args) => assess::run(&args),
        Command::Block(args) => block::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Dashboard(args) => dashboard::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::History(args) => history::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Serve(args) => serve::run(&args),
        #[cfg(feature = "secrets")]
        Command::Sessions(args) => sessions::run(&args),
        Command::SignContext(args) => sign_context::run(&args),
        Command::Synth(args) => synth::run(&args),
        Command::Watch(args) => watch::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Run(problem)) => {
            print_error(&problem);
            ExitCode::from(1)
        }
        Err(Failure::Usage(problem)) => {
            print_error(&problem);
            ExitCode::from(2)
        }
    }
}
