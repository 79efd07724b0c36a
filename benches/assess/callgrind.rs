//! Instructions: the same on a busy machine as on an idle one, so that a bound of a few per cent means something.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use super::steps::{Bench, STEPS, Work};

/// How much a step may grow, and shrink without the kept count being lowered.
const BOUND: f64 = 0.03;

/// Different people.
const PEOPLE: u64 = 512;

/// Repetitions under callgrind.
const COUNT: usize = 256;

/// Runs one step with its inputs made and its caches warm; callgrind counts inside `counted` only.
pub fn run(step: &str) {
    let bench = Bench::new(PEOPLE, &[]);
    bench.meet(step);
    bench.prepare(step, COUNT)();
    counted(bench.prepare(step, COUNT));
}

#[inline(never)]
fn counted(work: Work<'_>) {
    work();
}

/// Counts each step, says what grew, and keeps the counts if asked to.
pub fn compare(accept: bool) -> ExitCode {
    let kept = kept();
    let mut counts = BTreeMap::new();
    let mut grown = Vec::new();
    for step in STEPS {
        let count = callgrind(step, Path::new("/dev/null"));
        counts.insert(step, count);
        let Some(before) = kept.get(step).copied() else {
            eprintln!("{step:24} {count:9}   not kept yet");
            grown.push(format!("{step}: {count} instructions, and none are kept"));
            continue;
        };
        let change = count as f64 / before as f64 - 1.0;
        eprintln!("{step:24} {count:9}   {:+.1} %", change * 100.0);
        if change > BOUND {
            grown.push(format!("{step} grew by {:.1} %: {before} -> {count} instructions", change * 100.0));
        } else if change < -BOUND {
            eprintln!("  {step} shrank: keep the gain with --accept");
        }
    }
    if accept {
        let lines: String = STEPS.iter().map(|step| format!("{step},{}\n", counts[step])).collect();
        fs::write(kept_path(), format!("step,instructions\n{lines}")).expect("the counts can be written");
        return ExitCode::SUCCESS;
    }
    if grown.is_empty() {
        return ExitCode::SUCCESS;
    }
    for line in grown {
        eprintln!("{line}");
    }
    eprintln!("`cargo bench --bench assess -- --profile STEP` shows where; `-- --instructions --accept` keeps the new counts, with the reason in the commit.");
    ExitCode::FAILURE
}

/// Shows the functions that a step spends its instructions in.
pub fn profile(step: &str) {
    let out = tempfile::NamedTempFile::new().expect("a file for callgrind");
    callgrind(step, out.path());
    let status = Command::new("callgrind_annotate").arg("--threshold=90").arg(out.path()).status();
    assert!(status.is_ok_and(|status| status.success()), "callgrind_annotate comes with valgrind");
}

/// The counts that are kept, by step.
pub fn kept() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(kept_path()).unwrap_or_default();
    text.lines().skip(1).filter_map(|line| line.split_once(',')).filter_map(|(step, count)| Some((step.to_owned(), count.parse().ok()?))).collect()
}

fn kept_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.csv")
}

/// Instructions of one repetition.
fn callgrind(step: &str, out: &Path) -> u64 {
    let this = std::env::current_exe().expect("the bench knows its own path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*assess::callgrind::counted*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .args(["--run", step])
        .output()
        .expect("valgrind is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim().parse::<u64>());
    let total = collected.and_then(Result::ok).filter(|total| *total > 0);
    total.unwrap_or_else(|| panic!("callgrind counted nothing: {said}")) / COUNT as u64
}
