//! Measures a cold start: from the start of the process to its first request for an event, and from there to its first response.
//! It does not include the time of the Lambda service.

use std::time::Instant;

use super::{
    Args, Dependencies, events,
    lambda::{FUNCTIONS, Function},
    runtime_api::RuntimeApi,
    sample::Sample,
};

/// The number of starts of each function.
pub const ROUNDS: usize = 50;

/// The times of the starts of one function, in milliseconds.
#[derive(Debug, Default, Clone)]
pub struct Start {
    /// The wall time from the start to the first poll.
    pub wall: Sample,
    /// The CPU time from the start to the first poll.
    pub cpu: Sample,
    /// The wall time from the first event to its response. It includes the first request to the risk service.
    pub answer: Sample,
}

/// Starts all functions in turn, repeatedly.
pub fn compare(args: &Args, dependencies: &Dependencies) -> anyhow::Result<[Start; FUNCTIONS.len()]> {
    let mut starts: [Start; FUNCTIONS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (function, start) in FUNCTIONS.into_iter().zip(&mut starts) {
            let (wall, cpu, answer) = start_once(args, function, dependencies)?;
            start.wall.push(wall);
            start.cpu.push(cpu);
            start.answer.push(answer);
        }
    }
    Ok(starts)
}

fn start_once(args: &Args, function: Function, dependencies: &Dependencies) -> anyhow::Result<(f64, f64, f64)> {
    let api = RuntimeApi::start(vec![events::event(0)])?;
    let started = Instant::now();
    let program = function.start(args, &api, dependencies)?;
    let polled = api.first_poll()?;
    let cpu = program.cpu_ns()?;
    let answer = api.run(1)?.latencies[0];
    Ok((polled.duration_since(started).as_secs_f64() * 1e3, cpu as f64 / 1e6, answer / 1e3))
}
