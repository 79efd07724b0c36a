//! The binary. Lambda starts it as the trigger; otherwise it runs a command.

use std::process::ExitCode;

use clap::Parser;
use riskgate_lambda::start;

use crate::commands::Cli;

mod commands;

fn main() -> ExitCode {
    start::run_and_drain(|| {
        if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() && std::env::args_os().len() == 1 {
            return start::run();
        }
        commands::run(Cli::parse())
    })
}
