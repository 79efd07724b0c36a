//! Drives riskgate and the programs that it is measured against, and writes `docs/BENCHMARKS.md`.
//!
//! Every comparison is made of rounds, and every round runs each program once, in turn (A B C A B C):
//! what the machine does meanwhile it does to all of them. `benches/run` builds what is needed and calls this.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Parser;

use self::process::Program;

mod cold;

mod events;

mod http;

mod lambda;

mod overload;

mod process;

mod report;

mod risk_service;

mod runtime_api;

mod sample;

mod wire;

/// Measures riskgate against its peers.
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
    /// `data/networks.mmdb`.
    #[arg(long)]
    networks: PathBuf,
    /// What `cargo bench --bench assess` and `--bench https` wrote, and the instruction counts that are kept.
    #[arg(long)]
    steps: Vec<PathBuf>,
    /// Where the page is written; standard output when left out.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Rounds of each comparison.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Sign-ins a round on the Lambda path.
    #[arg(long, default_value_t = 3000)]
    invocations: usize,
    /// Milliseconds a round on the HTTP path, for each program and concurrency.
    #[arg(long, default_value_t = 1500)]
    millis: u64,
}

/// What the programs under measurement use, and is not measured.
struct Outside {
    /// The risk service.
    service: SocketAddr,
    /// The shared store.
    redis: SocketAddr,
    _redis: Program,
}

impl Outside {
    fn start() -> anyhow::Result<Self> {
        let service = risk_service::start(Duration::ZERO)?;
        let redis = process::free_address()?;
        let port = redis.port().to_string();
        let args = ["redis-server", "--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"];
        let mut program = Program::start("/usr/bin/env".as_ref(), &args, &lambda::with_path(Vec::new()))?;
        program.listening(redis).context("redis-server")?;
        Ok(Outside { service, redis, _redis: program })
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let outside = Outside::start()?;
    eprintln!("Lambda path");
    let lambda = lambda::compare(&args, &outside)?;
    eprintln!("starts");
    let cold = cold::compare(&args, &outside)?;
    eprintln!("HTTP path");
    let http = http::compare(&args, &outside)?;
    eprintln!("overload");
    let overload = overload::measure(&args)?;
    let steps = args.steps.iter().map(|path| fs::read_to_string(path).with_context(|| path.display().to_string())).collect::<Result<Vec<_>, _>>()?;
    let page = report::page(&args, &lambda, &cold, &http, &overload, &steps)?;
    match &args.write {
        Some(path) => fs::write(path, page).with_context(|| path.display().to_string()),
        None => {
            println!("{page}");
            Ok(())
        }
    }
}
