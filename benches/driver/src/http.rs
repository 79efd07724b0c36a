//! Measures the HTTP path: wrk with one thread against each server in turn.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::{
    Args, Dependencies, events,
    lambda::with_path,
    process::{Program, free_address},
    sample::Sample,
};

/// The numbers of connections.
pub const CONCURRENCY: [usize; 3] = [1, 32, 256];

/// The servers, in the order of every table.
pub const SERVERS: [Server; 6] = [Server::HyperEcho, Server::AxumEcho, Server::Riskgate, Server::RiskgateUnlogged, Server::Node, Server::Python];

/// The number of different sign-ins that wrk sends in turn.
const REQUESTS: usize = 8192;

/// A measured server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// A hyper server that returns the body of the request.
    HyperEcho,
    /// An axum server that parses and writes typed JSON.
    AxumEcho,
    /// riskgate.
    Riskgate,
    /// riskgate without audit lines. The Node and Python services do not write any.
    RiskgateUnlogged,
    /// The Node service.
    Node,
    /// The Python service.
    Python,
}

/// The results of a server at one concurrency.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// Requests per second.
    pub rate: Sample,
    /// Median, microseconds.
    pub p50: Sample,
    /// 99th percentile, microseconds.
    pub p99: Sample,
    /// CPU time of the server per request, microseconds.
    pub cpu: Sample,
}

/// The results of all servers at all concurrencies, and their resident memory at the end.
#[derive(Debug, Default)]
pub struct Comparison {
    /// By concurrency, then by server.
    pub figures: [[Figures; SERVERS.len()]; CONCURRENCY.len()],
    /// Resident bytes by server.
    pub resident: [u64; SERVERS.len()],
}

/// The results that wrk's script prints at the end.
#[derive(Deserialize)]
struct WrkResult {
    requests: u64,
    micros: f64,
    p50: f64,
    p99: f64,
    failures: u64,
}

/// Runs all servers in turn.
pub fn compare(args: &Args, dependencies: &Dependencies) -> anyhow::Result<Comparison> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("sign_ins.lua");
    fs::write(&script, wrk_script())?;
    let mut running = Vec::new();
    for server in SERVERS {
        let address = free_address()?;
        let mut program = server.start(args, address, dependencies)?;
        program.wait_until_listening(address).with_context(|| format!("{server:?}"))?;
        run_wrk(&script, address, 32, 4000)?;
        running.push((address, program));
    }
    let mut comparison = Comparison::default();
    for round in 0..args.rounds {
        for (connections, figures) in CONCURRENCY.into_iter().zip(&mut comparison.figures) {
            for ((address, program), figures) in running.iter().zip(figures) {
                let cpu = program.cpu_ns()?;
                let result = run_wrk(&script, *address, connections, args.millis)?;
                let cpu = program.cpu_ns()? - cpu;
                figures.cpu.push(cpu as f64 / 1e3 / result.requests as f64);
                figures.rate.push(result.requests as f64 * 1e6 / result.micros);
                figures.p50.push(result.p50);
                figures.p99.push(result.p99);
            }
        }
        eprintln!("  round {}", round + 1);
    }
    for ((_, program), resident) in running.iter().zip(&mut comparison.resident) {
        *resident = program.resident()?;
    }
    Ok(comparison)
}

fn run_wrk(script: &Path, address: SocketAddr, connections: usize, millis: u64) -> anyhow::Result<WrkResult> {
    // wrk accepts seconds only.
    let seconds = millis.div_ceil(1000).to_string();
    let mut command = Command::new("wrk");
    command.args(["-t1", "-d", &format!("{seconds}s"), "-c", &connections.to_string(), "-s"]).arg(script).arg(format!("http://{address}/v1/assess"));
    let output = command.stderr(Stdio::inherit()).output().context("wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("result ")).with_context(|| format!("unexpected output of wrk: {text}"))?;
    let result: WrkResult = serde_json::from_str(line)?;
    ensure!(result.failures == 0 && result.requests > 0, "{} of {} requests to {address} failed", result.failures, result.requests);
    Ok(result)
}

/// Returns the script for wrk. It sends the sign-ins in turn and prints the results as JSON.
fn wrk_script() -> String {
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
  print(string.format('result {{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"failures":%d}}', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"#,
        bodies.join(",\n")
    )
}

impl Server {
    /// Returns the name in tables.
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

    fn start(self, args: &Args, address: SocketAddr, dependencies: &Dependencies) -> anyhow::Result<Program> {
        let url = format!("http://{}/score", dependencies.service);
        let port = address.port().to_string();
        let baseline_variables = || with_path(vec![("NETWORKS", args.networks.display().to_string()), ("SERVICE_URL", url.clone())]);
        match self {
            Server::HyperEcho => Program::start(&args.rust.join("hyper_echo"), &[&address.to_string()], &[]),
            Server::AxumEcho => Program::start(&args.rust.join("axum_echo"), &[&address.to_string()], &[]),
            Server::Riskgate => start_riskgate(args, address, &[("RISKGATE_HTTP_URL", url), ("RISKGATE_LEARN", "allow".to_owned())]),
            Server::RiskgateUnlogged => {
                let more = [("RISKGATE_LEARN", "allow".to_owned()), ("RISKGATE_AUDIT", "off".to_owned())];
                start_riskgate(args, address, &[[("RISKGATE_HTTP_URL", url)].as_slice(), &more].concat())
            }
            Server::Node => {
                Program::start("/usr/bin/env".as_ref(), &["node", &args.baseline.join("node/service.mjs").display().to_string(), &port], &baseline_variables())
            }
            Server::Python => Program::start(&args.python, &[&args.baseline.join("python/service.py").display().to_string(), &port], &baseline_variables()),
        }
    }
}

/// Starts the sidecar with one provider.
pub fn start_riskgate(args: &Args, address: SocketAddr, variables: &[(&'static str, String)]) -> anyhow::Result<Program> {
    let mut all = vec![("RISKGATE_PROVIDERS", "http".to_owned())];
    all.extend_from_slice(variables);
    Program::start(&args.riskgate, &["serve", "--listen", &address.to_string()], &all)
}
