//! CPU time and allocations of each step.

use std::{fs, path::Path};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::{
    callgrind,
    scaling::{self, Scaling},
    steps::{Bench, STEPS, Work},
};

/// The number of repetitions per batch. Time is measured per batch.
const BATCH: usize = 500;

/// The number of batches. The result is their median.
const BATCHES: usize = 41;

/// The number of people. Each signs in a few times only.
pub const PEOPLE: u64 = 4096;

#[derive(Serialize)]
struct Report {
    steps: Vec<Step>,
    growth: Vec<Scaling>,
}

#[derive(Serialize)]
struct Step {
    name: &'static str,
    nanos: f64,
    allocations: f64,
    instructions: Option<u64>,
}

/// Measures everything, prints the results on standard error, and writes them to a file if one is given.
pub fn report(json: Option<&Path>, quick: bool) {
    let bench = Bench::new(PEOPLE, &[]);
    let stored_counts = callgrind::read_counts();
    let mut steps = Vec::new();
    for name in STEPS {
        bench.warm_up(name);
        let nanos = nanos(|count| bench.prepare(name, count));
        let work = bench.prepare(name, BATCH);
        let allocations = allocation_counter::measure(work).count_total as f64 / BATCH as f64;
        eprintln!("{name:24} {nanos:9.0} ns {allocations:7.1} allocations");
        steps.push(Step { name, nanos, allocations, instructions: stored_counts.get(name).copied() });
    }
    let growth = scaling::measure(quick);
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&Report { steps, growth }).expect("a report is JSON");
        fs::write(path, text).expect("the report can be written");
    }
}

/// Returns the median CPU time of one repetition in nanoseconds. Unlike wall time, it does not include other processes.
pub fn nanos<'a>(prepare: impl Fn(usize) -> Work<'a>) -> f64 {
    prepare(BATCH)();
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let work = prepare(BATCH);
            let before = cpu_nanos();
            work();
            (cpu_nanos() - before) / BATCH as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[BATCHES / 2]
}

/// Returns the CPU time of this thread, in nanoseconds.
fn cpu_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
