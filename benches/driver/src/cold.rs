//! From the start of the process to its first request for an event, and from there to its first answer: the part of a cold
//! start that is the function's own.

use std::time::Instant;

use super::{
    Args, Outside, events,
    lambda::{FUNCTIONS, Function},
    runtime_api::RuntimeApi,
    sample::Sample,
};

/// Starts of each function, in turn.
pub const ROUNDS: usize = 50;

/// Milliseconds from start to first poll, of processor time until then, and from the first event to its answer.
#[derive(Debug, Default, Clone)]
pub struct Start {
    /// Wall clock.
    pub wall: Sample,
    /// Processor.
    pub cpu: Sample,
    /// Wall clock of the first answer, the service asked for the first time.
    pub answer: Sample,
}

/// Starts all functions in turn, again and again.
pub fn compare(args: &Args, outside: &Outside) -> anyhow::Result<[Start; FUNCTIONS.len()]> {
    let mut starts: [Start; FUNCTIONS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (function, start) in FUNCTIONS.into_iter().zip(&mut starts) {
            let (wall, cpu, answer) = once(args, function, outside)?;
            start.wall.push(wall);
            start.cpu.push(cpu);
            start.answer.push(answer);
        }
    }
    Ok(starts)
}

fn once(args: &Args, function: Function, outside: &Outside) -> anyhow::Result<(f64, f64, f64)> {
    let api = RuntimeApi::start(vec![events::event(0)])?;
    let started = Instant::now();
    let program = function.start(args, &api, outside)?;
    let polled = api.first_poll()?;
    let cpu = program.cpu_ns()?;
    let answer = api.run(1)?.latencies[0];
    Ok((polled.duration_since(started).as_secs_f64() * 1e3, cpu as f64 / 1e6, answer / 1e3))
}
