//! What one assessment costs, step by step: `cargo bench --bench assess | cat >/dev/null` (audit lines go to standard output, a pipe as in Lambda).
//!
//! - without arguments: nanoseconds and allocations of each step, and the same step while what is kept grows;
//! - `-- --json FILE`: the same, into a file;
//! - `-- --instructions`: each step under callgrind, held against `benches/instructions.csv`; fails when one grew by more than 3 %;
//! - `-- --instructions --accept`: the same, and writes what was counted as the new bounds;
//! - `-- --profile STEP`: where a step's instructions go, by function.
#![expect(clippy::print_stderr, clippy::panic, reason = "a bench tells its figures on standard error, and ends where it cannot go on")]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

mod callgrind;

mod growth;

mod outside;

mod steps;

mod timing;

/// Measures the steps of one assessment.
#[derive(Debug, Parser)]
struct Args {
    /// Counts instructions and holds them against those that are kept.
    #[arg(long)]
    instructions: bool,
    /// Keeps what was counted.
    #[arg(long, requires = "instructions")]
    accept: bool,
    /// Shows where a step's instructions go.
    #[arg(long, value_name = "STEP")]
    profile: Option<String>,
    /// Runs one step for callgrind: what the two above start.
    #[arg(long, value_name = "STEP", hide = true)]
    run: Option<String>,
    /// Where the times are written.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leaves out what takes long: the largest states.
    #[arg(long)]
    quick: bool,
    /// What cargo passes to every bench.
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
