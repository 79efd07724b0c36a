//! `bootstrap`, the executable of the Lambda package.

use std::process::ExitCode;

use riskgate_lambda::start;

fn main() -> ExitCode {
    start::run_and_drain(start::run)
}
