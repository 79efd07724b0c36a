//! Measures the sidecar at ten times its capacity. It rejects the excess at once, and accepted requests are not slower.
//!
//! A slow risk service determines the capacity: each sign-in is from a new address, so it waits for the service and occupies one slot.
//! Requests are sent at a fixed rate that does not depend on earlier responses.

use std::{
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Args, events, http, http_connection::HttpConnection, process::free_address, risk_service, sample::quantile};

/// The response time of the risk service.
const DELAY: Duration = Duration::from_millis(50);

/// The number of concurrent sign-ins.
const MAX_IN_FLIGHT: usize = 32;

/// The number of client connections.
const CONNECTIONS: usize = 160;

/// The length of each load.
const LOAD_DURATION: Duration = Duration::from_secs(4);

/// The results of one load.
#[derive(Debug)]
pub struct Load {
    /// Requests sent per second.
    pub offered: f64,
    /// Responses with a decision per second.
    pub accepted: f64,
    /// Responses with status 503 per second.
    pub rejected: f64,
    /// The 99th percentile of the time to a decision, in milliseconds.
    pub accepted_p99: f64,
    /// The 99th percentile of the time to a rejection, in milliseconds.
    pub rejected_p99: f64,
}

/// The results at half and at ten times the capacity.
#[derive(Debug)]
pub struct Overload {
    /// The capacity in sign-ins per second.
    pub capacity: f64,
    /// At half the capacity.
    pub half: Load,
    /// At ten times the capacity.
    pub tenfold: Load,
}

/// Measures the sidecar under both loads.
pub fn measure(args: &Args) -> anyhow::Result<Overload> {
    let service = risk_service::start(DELAY)?;
    let address = free_address()?;
    let limit = ("RISKGATE_MAX_IN_FLIGHT", MAX_IN_FLIGHT.to_string());
    let mut program = http::start_riskgate(args, address, &[("RISKGATE_HTTP_URL", format!("http://{service}/score")), limit])?;
    program.wait_until_listening(address)?;
    let capacity = MAX_IN_FLIGHT as f64 / DELAY.as_secs_f64();
    let half = run_load(address, capacity / 2.0, 0)?;
    let tenfold = run_load(address, capacity * 10.0, 10_000_000)?;
    Ok(Overload { capacity, half, tenfold })
}

/// Sends requests at a rate.
fn run_load(address: SocketAddr, rate: f64, first_person: usize) -> anyhow::Result<Load> {
    // A connection sends nothing while an accepted request is pending. A shorter interval compensates for that.
    let busy = (rate.min(MAX_IN_FLIGHT as f64 / DELAY.as_secs_f64()) * DELAY.as_secs_f64() / CONNECTIONS as f64).min(0.5);
    let interval = Duration::from_secs_f64(CONNECTIONS as f64 * (1.0 - busy) / rate);
    let started = Instant::now();
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            let first = started + interval.mul_f64(n as f64 / CONNECTIONS as f64);
            thread::spawn(move || send(address, first, interval, started + LOAD_DURATION, first_person + n * 10_000))
        })
        .collect();
    let (mut accepted, mut rejected) = (Vec::new(), Vec::new());
    for thread in threads {
        let answers = thread.join().map_err(|_| anyhow::anyhow!("a connection panicked"))??;
        for (status, millis) in answers {
            let answers = if status == "200" { &mut accepted } else { &mut rejected };
            answers.push(millis);
        }
    }
    let lasted = started.elapsed().as_secs_f64();
    Ok(Load {
        offered: (accepted.len() + rejected.len()) as f64 / lasted,
        accepted: accepted.len() as f64 / lasted,
        rejected: rejected.len() as f64 / lasted,
        accepted_p99: quantile(&mut accepted, 0.99),
        rejected_p99: quantile(&mut rejected, 0.99),
    })
}

/// Sends requests over one connection. Returns the status and the milliseconds of each response.
fn send(address: SocketAddr, first: Instant, interval: Duration, until: Instant, first_person: usize) -> anyhow::Result<Vec<(String, f64)>> {
    let mut connection = HttpConnection::new(TcpStream::connect(address)?)?;
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
        connection.write(request.as_bytes())?;
        let answer = connection.read_response()?.context("the sidecar closed the connection")?;
        answers.push((answer.head, sent.elapsed().as_secs_f64() * 1e3));
        due = (due + interval).max(Instant::now());
    }
    Ok(answers)
}
