//! From the start of the process to its first request for an event: the part of a cold start that is the function's own.

use std::time::Instant;

use super::{
    Args, Outside,
    lambda::{FUNCTIONS, Function},
    runtime_api::RuntimeApi,
    sample::Sample,
};

/// Starts of each function, in turn.
const ROUNDS: usize = 15;

/// Milliseconds from start to first poll, and of processor time until then.
#[derive(Debug, Default, Clone)]
pub struct Start {
    /// Wall clock.
    pub wall: Sample,
    /// Processor.
    pub cpu: Sample,
}

/// Starts all functions in turn, again and again.
pub fn compare(args: &Args, outside: &Outside) -> anyhow::Result<[Start; FUNCTIONS.len()]> {
    let mut starts: [Start; FUNCTIONS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (function, start) in FUNCTIONS.into_iter().zip(&mut starts) {
            let (wall, cpu) = once(args, function, outside)?;
            start.wall.push(wall);
            start.cpu.push(cpu);
        }
    }
    Ok(starts)
}

fn once(args: &Args, function: Function, outside: &Outside) -> anyhow::Result<(f64, f64)> {
    let api = RuntimeApi::start(Vec::new())?;
    let started = Instant::now();
    let program = function.start(args, &api, outside)?;
    let polled = api.first_poll()?;
    let cpu = program.cpu_ns()?;
    Ok((polled.duration_since(started).as_secs_f64() * 1e3, cpu as f64 / 1e6))
}
