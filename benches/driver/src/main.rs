//! Measures riskgate and comparable programs, and writes `docs/BENCHMARKS.md`.
//!
//! Every comparison consists of rounds, and every round runs each program once, in turn (A B C A B C). Changes of the load of the
//! machine therefore affect all programs. `benches/run` builds the programs and starts the driver.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Parser;

use self::process::Program;

mod cold;

mod events;

mod http;

mod http_connection;

mod lambda;

mod overload;

mod process;

mod report;

mod risk_service;

mod runtime_api;

mod sample;

/// Measures riskgate and comparable programs.
#[derive(Debug, Parser)]
struct Args {
    /// The release binary of riskgate.
    #[arg(long)]
    riskgate: PathBuf,
    /// The folder of the release binaries of `benches/baseline/rust`.
    #[arg(long)]
    rust: PathBuf,
    /// The Python that has `benches/baseline/python/requirements.txt` installed.
    #[arg(long)]
    python: PathBuf,
    /// `benches/baseline`, with its Node packages installed.
    #[arg(long)]
    baseline: PathBuf,
    /// The bundled network data as an mmdb.
    #[arg(long)]
    networks: PathBuf,
    /// The JSON results of `cargo bench --bench assess` and `--bench https`.
    #[arg(long)]
    steps: Vec<PathBuf>,
    /// The file for the page; standard output by default.
    #[arg(long)]
    write: Option<PathBuf>,
    /// The number of rounds of each comparison.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// The number of sign-ins per round on the Lambda path.
    #[arg(long, default_value_t = 3000)]
    invocations: usize,
    /// The length of a round on the HTTP path in milliseconds, for each program and concurrency.
    #[arg(long, default_value_t = 1500)]
    millis: u64,
}

/// Services that the measured programs use.
struct Dependencies {
    /// The risk service.
    service: SocketAddr,
    /// The shared store.
    redis: SocketAddr,
    _redis: Program,
}

impl Dependencies {
    fn start() -> anyhow::Result<Self> {
        let service = risk_service::start(Duration::ZERO)?;
        let redis = process::free_address()?;
        let port = redis.port().to_string();
        let args = ["redis-server", "--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"];
        let mut program = Program::start("/usr/bin/env".as_ref(), &args, &lambda::with_path(Vec::new()))?;
        program.wait_until_listening(redis).context("redis-server")?;
        Ok(Dependencies { service, redis, _redis: program })
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let dependencies = Dependencies::start()?;
    eprintln!("Lambda path");
    let lambda = lambda::compare(&args, &dependencies)?;
    eprintln!("starts");
    let cold = cold::compare(&args, &dependencies)?;
    eprintln!("HTTP path");
    let http = http::compare(&args, &dependencies)?;
    eprintln!("overload");
    let overload = overload::measure(&args)?;
    let steps = args.steps.iter().map(|path| fs::read_to_string(path).with_context(|| path.display().to_string())).collect::<Result<Vec<_>, _>>()?;
    let page = report::render_page(&args, &lambda, &cold, &http, &overload, &steps)?;
    match &args.write {
        Some(path) => fs::write(path, page).with_context(|| path.display().to_string()),
        None => {
            println!("{page}");
            Ok(())
        }
    }
}
