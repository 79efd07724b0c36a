//! Ten times the load that the sidecar can carry: what it refuses is refused at once, what it accepts is not slowed down.
//!
//! What it can carry is set by a slow service: each sign-in comes from a new address, waits for the service, and holds one
//! of the places meanwhile. Requests are sent on a schedule, whatever becomes of the ones before them.

use std::{
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Args, events, http, process::free_address, risk_service, sample::quantile, wire::Wire};

/// The service's time for an answer.
const DELAY: Duration = Duration::from_millis(50);

/// Sign-ins at once.
const PLACES: usize = 32;

/// Connections that the load comes over.
const CONNECTIONS: usize = 160;

/// How long each load lasts.
const LASTS: Duration = Duration::from_secs(4);

/// What one load gave.
#[derive(Debug)]
pub struct Load {
    /// Requests a second that were sent.
    pub offered: f64,
    /// Answered with a verdict, a second.
    pub accepted: f64,
    /// Answered with 503, a second.
    pub refused: f64,
    /// Milliseconds to a verdict, the 99th percentile.
    pub accepted_p99: f64,
    /// Milliseconds to a refusal, the 99th percentile.
    pub refused_p99: f64,
}

/// Half of what can be carried, and ten times it.
#[derive(Debug)]
pub struct Overload {
    /// What can be carried, a second.
    pub capacity: f64,
    /// Half of it.
    pub calm: Load,
    /// Ten times it.
    pub flood: Load,
}

/// Measures the sidecar under both loads.
pub fn measure(args: &Args) -> anyhow::Result<Overload> {
    let service = risk_service::start(DELAY)?;
    let address = free_address()?;
    let places = ("RISKGATE_MAX_IN_FLIGHT", PLACES.to_string());
    let mut program = http::riskgate(args, address, &[("RISKGATE_HTTP_URL", format!("http://{service}/score")), places])?;
    program.listening(address)?;
    let capacity = PLACES as f64 / DELAY.as_secs_f64();
    let calm = load(address, capacity / 2.0, 0)?;
    let flood = load(address, capacity * 10.0, 10_000_000)?;
    Ok(Overload { capacity, calm, flood })
}

fn load(address: SocketAddr, rate: f64, first_person: usize) -> anyhow::Result<Load> {
    // A connection whose request is accepted misses its next turns meanwhile: they are made up for by going a little faster.
    let busy = (rate.min(PLACES as f64 / DELAY.as_secs_f64()) * DELAY.as_secs_f64() / CONNECTIONS as f64).min(0.5);
    let every = Duration::from_secs_f64(CONNECTIONS as f64 * (1.0 - busy) / rate);
    let started = Instant::now();
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            let first = started + every.mul_f64(n as f64 / CONNECTIONS as f64);
            thread::spawn(move || send(address, first, every, started + LASTS, first_person + n * 10_000))
        })
        .collect();
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for thread in threads {
        let answers = thread.join().map_err(|_| anyhow::anyhow!("a connection panicked"))??;
        for (status, millis) in answers {
            let answers = if status == "200" { &mut accepted } else { &mut refused };
            answers.push(millis);
        }
    }
    let lasted = started.elapsed().as_secs_f64();
    Ok(Load {
        offered: (accepted.len() + refused.len()) as f64 / lasted,
        accepted: accepted.len() as f64 / lasted,
        refused: refused.len() as f64 / lasted,
        accepted_p99: quantile(&mut accepted, 0.99),
        refused_p99: quantile(&mut refused, 0.99),
    })
}

fn send(address: SocketAddr, first: Instant, every: Duration, until: Instant, first_person: usize) -> anyhow::Result<Vec<(String, f64)>> {
    let mut wire = Wire::new(TcpStream::connect(address)?)?;
    let mut answers = Vec::new();
    let mut due = first;
    for person in first_person.. {
        if due >= until {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let body = events::body_from(person, events::address(person));
        let request = format!("POST /v1/assess HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let sent = Instant::now();
        wire.write(request.as_bytes())?;
        let answer = wire.response()?.context("the sidecar hung up")?;
        answers.push((answer.head, sent.elapsed().as_secs_f64() * 1e3));
        due = (due + every).max(Instant::now());
    }
    Ok(answers)
}
