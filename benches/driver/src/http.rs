//! The HTTP path: wrk with one thread against each server in turn.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::{
    Args, Outside, events,
    lambda::with_path,
    process::{Program, free_address},
    sample::Sample,
};

/// Connections.
pub const CONCURRENCY: [usize; 3] = [1, 32, 256];

/// The servers, in the order of every table.
pub const SERVERS: [Server; 6] = [Server::HyperEcho, Server::AxumEcho, Server::Riskgate, Server::RiskgateUnlogged, Server::Node, Server::Python];

/// Different sign-ins that wrk sends in turn.
const REQUESTS: usize = 8192;

/// A server under measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// hyper answering with what it was sent.
    HyperEcho,
    /// axum parsing and answering with types.
    AxumEcho,
    /// riskgate.
    Riskgate,
    /// riskgate without audit lines, which the Node and Python services do not write either.
    RiskgateUnlogged,
    /// The Node service.
    Node,
    /// The Python service.
    Python,
}

/// What a server's rounds gave at one concurrency.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// Requests a second.
    pub rate: Sample,
    /// Median, microseconds.
    pub p50: Sample,
    /// 99th percentile, microseconds.
    pub p99: Sample,
    /// Processor time of the server for each request, microseconds.
    pub cpu: Sample,
}

/// All servers at all concurrencies, and their resident bytes in the end.
#[derive(Debug, Default)]
pub struct Comparison {
    /// By concurrency, then by server.
    pub figures: [[Figures; SERVERS.len()]; CONCURRENCY.len()],
    /// By server.
    pub resident: [u64; SERVERS.len()],
}

/// What wrk's script prints in the end.
#[derive(Deserialize)]
struct Told {
    requests: u64,
    micros: f64,
    p50: f64,
    p99: f64,
    failures: u64,
}

/// Runs all servers in turn.
pub fn compare(args: &Args, outside: &Outside) -> anyhow::Result<Comparison> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("sign_ins.lua");
    fs::write(&script, lua())?;
    let mut running = Vec::new();
    for server in SERVERS {
        let address = free_address()?;
        let mut program = server.start(args, address, outside)?;
        program.listening(address).with_context(|| format!("{server:?}"))?;
        wrk(&script, address, 32, 4000)?;
        running.push((address, program));
    }
    let mut comparison = Comparison::default();
    for round in 0..args.rounds {
        for (connections, figures) in CONCURRENCY.into_iter().zip(&mut comparison.figures) {
            for ((address, program), figures) in running.iter().zip(figures) {
                let cpu = program.cpu_ns()?;
                let told = wrk(&script, *address, connections, args.millis)?;
                let cpu = program.cpu_ns()? - cpu;
                figures.cpu.push(cpu as f64 / 1e3 / told.requests as f64);
                figures.rate.push(told.requests as f64 * 1e6 / told.micros);
                figures.p50.push(told.p50);
                figures.p99.push(told.p99);
            }
        }
        eprintln!("  round {}", round + 1);
    }
    for ((_, program), resident) in running.iter().zip(&mut comparison.resident) {
        *resident = program.resident()?;
    }
    Ok(comparison)
}

fn wrk(script: &Path, address: SocketAddr, connections: usize, millis: u64) -> anyhow::Result<Told> {
    // wrk counts whole seconds.
    let seconds = millis.div_ceil(1000).to_string();
    let mut command = Command::new("wrk");
    command.args(["-t1", "-d", &format!("{seconds}s"), "-c", &connections.to_string(), "-s"]).arg(script).arg(format!("http://{address}/v1/assess"));
    let output = command.stderr(Stdio::inherit()).output().context("wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("told ")).with_context(|| format!("wrk said: {text}"))?;
    let told: Told = serde_json::from_str(line)?;
    ensure!(told.failures == 0 && told.requests > 0, "{} of {} requests to {address} failed", told.failures, told.requests);
    Ok(told)
}

/// A script that sends the sign-ins in turn and prints what came out as JSON.
fn lua() -> String {
    let bodies: Vec<String> = (0..REQUESTS).map(|person| format!("[==[{}]==]", events::body(person))).collect();
    format!(
        r#"local bodies = {{{}}}
local requests, next = {{}}, 0
function init()
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", "/v1/assess", {{["Content-Type"] = "application/json"}}, body) end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
function done(summary, latency)
  local e = summary.errors
  print(string.format('told {{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"failures":%d}}', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"#,
        bodies.join(",\n")
    )
}

impl Server {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Server::HyperEcho => "bare hyper echo",
            Server::AxumEcho => "typed axum echo",
            Server::Riskgate => "**riskgate**",
            Server::RiskgateUnlogged => "riskgate, no audit lines",
            Server::Node => "Node service",
            Server::Python => "Python service",
        }
    }

    fn start(self, args: &Args, address: SocketAddr, outside: &Outside) -> anyhow::Result<Program> {
        let url = format!("http://{}/score", outside.service);
        let port = address.port().to_string();
        let theirs = || with_path(vec![("NETWORKS", args.networks.display().to_string()), ("SERVICE_URL", url.clone())]);
        match self {
            Server::HyperEcho => Program::start(&args.rust.join("hyper_echo"), &[&address.to_string()], &[]),
            Server::AxumEcho => Program::start(&args.rust.join("axum_echo"), &[&address.to_string()], &[]),
            Server::Riskgate => riskgate(args, address, &[("RISKGATE_HTTP_URL", url), ("RISKGATE_LEARN", "allow".to_owned())]),
            Server::RiskgateUnlogged => {
                let more = [("RISKGATE_LEARN", "allow".to_owned()), ("RISKGATE_AUDIT", "off".to_owned())];
                riskgate(args, address, &[[("RISKGATE_HTTP_URL", url)].as_slice(), &more].concat())
            }
            Server::Node => Program::start("/usr/bin/env".as_ref(), &["node", &args.baseline.join("node/service.mjs").display().to_string(), &port], &theirs()),
            Server::Python => Program::start(&args.python, &[&args.baseline.join("python/service.py").display().to_string(), &port], &theirs()),
        }
    }
}

/// The sidecar with one service.
pub fn riskgate(args: &Args, address: SocketAddr, variables: &[(&'static str, String)]) -> anyhow::Result<Program> {
    let mut all = vec![("RISKGATE_PROVIDERS", "http".to_owned())];
    all.extend_from_slice(variables);
    Program::start(&args.riskgate, &["serve", "--listen", &address.to_string()], &all)
}
