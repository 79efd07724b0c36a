//! The cost of one assessment by step: `cargo bench --bench assess | cat >/dev/null` (standard output is a pipe for audit lines, as in Lambda).
//!
//! - without arguments: nanoseconds and allocations of each step, and the cost of a sign-in while the stored state grows;
//! - `-- --json FILE`: the same, and writes it to a file;
//! - `-- --instructions`: counts the instructions of each step with callgrind and compares them with `benches/instructions.csv`; fails if a
//!   step needs over 3 % more;
//! - `-- --instructions --accept`: the same, and stores the new counts;
//! - `-- --profile STEP`: the instructions of a step by function.
#![expect(clippy::print_stderr, clippy::panic, reason = "a benchmark prints its results on standard error, and panics when it fails")]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

mod callgrind;

mod risk_service;

mod scaling;

mod steps;

mod timing;

/// Measures the steps of one assessment.
#[derive(Debug, Parser)]
struct Args {
    /// Counts instructions and compares them with the stored counts.
    #[arg(long)]
    instructions: bool,
    /// Stores the new counts.
    #[arg(long, requires = "instructions")]
    accept: bool,
    /// Shows the instructions of a step by function.
    #[arg(long, value_name = "STEP")]
    profile: Option<String>,
    /// Runs one step under callgrind. Used by `--instructions` and `--profile`.
    #[arg(long, value_name = "STEP", hide = true)]
    run: Option<String>,
    /// The file for the results.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leaves out the largest states, which take long.
    #[arg(long)]
    quick: bool,
    /// Passed by cargo to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(step) = &args.run {
        callgrind::run(step);
    } else if let Some(step) = &args.profile {
        callgrind::profile(step);
    } else if args.instructions {
        return callgrind::compare(args.accept);
    } else {
        timing::report(args.json.as_deref(), args.quick);
    }
    ExitCode::SUCCESS
}
