//! The commands: arguments in, exit code out.
//!
//! 0 done, 1 the input or the run failed, 2 usage or configuration. Only this folder and `main` write to
//! standard output by themselves; logs go to standard error.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is its purpose")]

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use crate::{
    config::{
        Config,
        env::{Fault, ProcessEnv},
        variables::PREFIX,
    },
    event::Now,
    evidence::Cause,
    serve::secrets::Secrets,
    telemetry::subscriber,
};

pub mod assess;

pub mod block;

pub mod config;

pub mod demo;

pub mod history;

pub mod replay;

pub mod serve;

mod trial;

pub mod sign_context;

pub mod watch;

pub mod synth;

/// Decides, while a person is signing in, whether the sign-in may go on.
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
    Config(config::Args),
    Demo(demo::Args),
    History(history::Args),
    Replay(Box<replay::Args>),
    Serve(serve::Args),
    Watch(watch::Args),
    SignContext(Box<sign_context::Args>),
    Synth(synth::Args),
}

/// How long a command waits for a secret that is kept elsewhere.
const PATIENCE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "Examples:
  riskgate assess event.json           one verdict, with every reason and its weight
  riskgate block list                  who is kept out or let in at run time
  riskgate config                      every variable, its value and its meaning
  riskgate demo                        invented sign-ins and the dashboard, without account or network
  riskgate serve                       the HTTP sidecar on 127.0.0.1:8710
  riskgate watch audit.jsonl           the dashboard, fed from an audit log
  riskgate sign-context --help         a signed client context, for tests and for backends to copy

Started with AWS_LAMBDA_RUNTIME_API set, and no command, it is the Lambda trigger.
Exit codes: 0 done, 1 the input or the run failed, 2 usage or configuration.";

/// Why a command ends without having done its work.
#[derive(Debug)]
pub enum Failure {
    /// The input or the run failed: exit 1.
    Run(String),
    /// Usage or configuration: exit 2.
    Usage(String),
}

/// The configuration of a command that needs secrets; one that is kept elsewhere and cannot be had is a fault here.
fn configured() -> Result<(Config, Vec<Fault>), Failure> {
    let secrets = Secrets::named_by(ProcessEnv);
    if !secrets.causes().is_empty() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
        runtime.block_on(secrets.ask(PATIENCE, Now::read()));
        runtime.shutdown_background();
    }
    let (config, mut faults) = secrets.read();
    let missing = secrets.causes().into_iter().filter_map(|(variable, cause)| Some((variable, cause?)));
    faults.extend(missing.map(|(variable, cause)| Fault {
        variable: format!("{PREFIX}{variable}"),
        problem: match secrets.problem() {
            Some(problem) if cause == Cause::NoCredentials => format!("could not be fetched: {}: {problem}", cause.as_label()),
            _ => format!("could not be had where it is kept: {}", cause.as_label()),
        },
    }));
    Ok((config, faults))
}

/// Writes why the program ends to standard error, behind its log lines. A standard error that is not read does not hold up the end.
pub fn print_error(problem: &str) {
    subscriber::write(format!("riskgate: {problem}\n").as_bytes());
}

/// Runs the command that the arguments name.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Assess(args) => assess::run(&args),
        Command::Block(args) => block::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::History(args) => history::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::SignContext(args) => sign_context::run(&args),
        Command::Synth(args) => synth::run(&args),
        Command::Watch(args) => watch::run(&args),
    };
    match done {
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
