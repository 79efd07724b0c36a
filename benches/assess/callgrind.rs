//! Instruction counts. They do not depend on the load of the machine, so they can be compared within a few per cent.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use super::steps::{Bench, STEPS, SUCCESS, Work};

/// The largest relative change that is not reported.
const TOLERANCE: f64 = 0.03;

/// The number of people.
const PEOPLE: u64 = 512;

/// The number of repetitions under callgrind.
const COUNT: usize = 256;

/// Runs one step with prepared inputs and warm caches. Callgrind counts the instructions of `counted` only.
pub fn run(step: &str) {
    let bench = Bench::new(PEOPLE, &[]);
    bench.warm_up(step);
    bench.prepare(step, COUNT)();
    counted(bench.prepare(step, COUNT));
}

#[inline(never)]
fn counted(work: Work<'_>) {
    work();
}

/// Counts the instructions of each step and compares them with the stored counts. Stores the new counts if `accept` is set.
pub fn compare(accept: bool) -> ExitCode {
    let stored = read_counts();
    let mut counts = BTreeMap::new();
    let mut grown = Vec::new();
    let steps = || STEPS.into_iter().chain([SUCCESS]);
    for step in steps() {
        let count = count_instructions(step, Path::new("/dev/null"));
        counts.insert(step, count);
        let Some(before) = stored.get(step).copied() else {
            eprintln!("{step:24} {count:9}   no stored count");
            grown.push(format!("{step}: {count} instructions, and no stored count"));
            continue;
        };
        let change = count as f64 / before as f64 - 1.0;
        eprintln!("{step:24} {count:9}   {:+.1} %", change * 100.0);
        if change > TOLERANCE {
            grown.push(format!("{step} grew by {:.1} %: {before} -> {count} instructions", change * 100.0));
        } else if change < -TOLERANCE {
            eprintln!("  {step} needs fewer instructions: store the new count with --accept");
        }
    }
    if accept {
        let lines: String = steps().map(|step| format!("{step},{}\n", counts[step])).collect();
        fs::write(counts_path(), format!("step,instructions\n{lines}")).expect("the counts can be written");
        return ExitCode::SUCCESS;
    }
    if grown.is_empty() {
        return ExitCode::SUCCESS;
    }
    for line in grown {
        eprintln!("{line}");
    }
    eprintln!(
        "`cargo bench --bench assess -- --profile STEP` shows the instructions by function; `-- --instructions --accept` stores the new counts (give the reason in the commit)."
    );
    ExitCode::FAILURE
}

/// Shows the instructions of a step by function.
pub fn profile(step: &str) {
    let out = tempfile::NamedTempFile::new().expect("a file for callgrind");
    count_instructions(step, out.path());
    let status = Command::new("callgrind_annotate").arg("--threshold=90").arg(out.path()).status();
    assert!(status.is_ok_and(|status| status.success()), "callgrind_annotate is part of valgrind");
}

/// Reads the stored counts by step.
pub fn read_counts() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(counts_path()).unwrap_or_default();
    text.lines().skip(1).filter_map(|line| line.split_once(',')).filter_map(|(step, count)| Some((step.to_owned(), count.parse().ok()?))).collect()
}

fn counts_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/instructions.csv")
}

/// Returns the instructions of one repetition.
fn count_instructions(step: &str, out: &Path) -> u64 {
    let this = std::env::current_exe().expect("the path of the benchmark is known");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*assess::callgrind::counted*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .args(["--run", step])
        .output()
        .expect("valgrind is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let collected = stderr.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim().parse::<u64>());
    let total = collected.and_then(Result::ok).filter(|total| *total > 0);
    total.unwrap_or_else(|| panic!("callgrind counted nothing: {stderr}")) / COUNT as u64
}
