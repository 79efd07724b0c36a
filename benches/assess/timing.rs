//! Nanoseconds of processor time, and allocations.

use std::{fs, path::Path};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::{
    callgrind,
    growth::{self, Growth},
    steps::{Bench, STEPS, Work},
};

/// Repetitions whose time is taken together.
const BATCH: usize = 500;

/// Batches, of which the median counts.
const BATCHES: usize = 41;

/// Different people, so that each signs in a few times only.
pub const PEOPLE: u64 = 4096;

#[derive(Serialize)]
struct Report {
    steps: Vec<Step>,
    growth: Vec<Growth>,
}

#[derive(Serialize)]
struct Step {
    name: &'static str,
    nanos: f64,
    allocations: f64,
    instructions: Option<u64>,
}

/// Measures everything, says it on standard error, and writes it where asked to.
pub fn report(json: Option<&Path>, quick: bool) {
    let bench = Bench::new(PEOPLE, &[]);
    let kept = callgrind::kept();
    let mut steps = Vec::new();
    for name in STEPS {
        bench.meet(name);
        let nanos = nanos(|count| bench.prepare(name, count));
        let work = bench.prepare(name, BATCH);
        let allocations = allocation_counter::measure(work).count_total as f64 / BATCH as f64;
        eprintln!("{name:24} {nanos:9.0} ns {allocations:7.1} allocations");
        steps.push(Step { name, nanos, allocations, instructions: kept.get(name).copied() });
    }
    let growth = growth::measure(quick);
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&Report { steps, growth }).expect("a report is JSON");
        fs::write(path, text).expect("the report can be written");
    }
}

/// The median processor time of one repetition: what else runs on the machine takes no part in it.
pub fn nanos<'a>(prepare: impl Fn(usize) -> Work<'a>) -> f64 {
    prepare(BATCH)();
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let work = prepare(BATCH);
            let before = processor_nanos();
            work();
            (processor_nanos() - before) / BATCH as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[BATCHES / 2]
}

/// What this thread has had of the processor.
fn processor_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
