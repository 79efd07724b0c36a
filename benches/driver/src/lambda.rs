//! Measures the warm Lambda path: the same sign-ins in a closed loop, one function after the other.

use super::{
    Args, Dependencies, events,
    process::Program,
    runtime_api::RuntimeApi,
    sample::{Sample, quantile},
};

/// The functions, in the order of every table.
pub const FUNCTIONS: [Function; 5] = [Function::Empty, Function::Riskgate, Function::RiskgateRedis, Function::Python, Function::Node];

/// An arbitrary key, for an empty store.
const PSEUDONYM_KEY: &str = "bench:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A measured function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// A function of `lambda_runtime` that returns its event.
    Empty,
    /// riskgate without a shared store. In Lambda, it then has no history.
    Riskgate,
    /// riskgate with its history in Redis on loopback.
    RiskgateRedis,
    /// The Python handler.
    Python,
    /// The Node handler.
    Node,
}

/// The results of a function.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// Median, microseconds.
    pub p50: Sample,
    /// 99th percentile, microseconds.
    pub p99: Sample,
    /// CPU time of the process per sign-in, microseconds.
    pub cpu: Sample,
    /// Sign-ins per second.
    pub rate: Sample,
    /// Resident bytes at the end.
    pub resident: u64,
    /// The number of sign-ins.
    pub sign_ins: usize,
    /// The number of responses that were errors.
    pub errors: usize,
}

/// Runs all functions in turn.
pub fn compare(args: &Args, dependencies: &Dependencies) -> anyhow::Result<[Figures; FUNCTIONS.len()]> {
    let sign_ins: Vec<String> = (0..events::PEOPLE).map(events::event).collect();
    let mut running = Vec::new();
    for function in FUNCTIONS {
        let api = RuntimeApi::start(sign_ins.clone())?;
        let program = function.start(args, &api, dependencies)?;
        // Every person signs in once before the measurement, so their history exists and the answers for their addresses are cached.
        api.run(events::PEOPLE)?;
        running.push((api, program));
    }
    let mut figures: [Figures; FUNCTIONS.len()] = Default::default();
    for round in 0..args.rounds {
        for ((api, program), figures) in running.iter().zip(&mut figures) {
            let cpu = program.cpu_ns()?;
            let mut answers = api.run(args.invocations)?;
            let cpu = program.cpu_ns()? - cpu;
            figures.cpu.push(cpu as f64 / 1e3 / args.invocations as f64);
            figures.rate.push(1e6 * args.invocations as f64 / answers.latencies.iter().sum::<f64>());
            figures.p50.push(quantile(&mut answers.latencies, 0.5));
            figures.p99.push(quantile(&mut answers.latencies, 0.99));
            figures.errors += answers.errors;
        }
        eprintln!("  round {}", round + 1);
    }
    for ((_, program), figures) in running.iter().zip(&mut figures) {
        figures.resident = program.resident()?;
        figures.sign_ins = args.rounds * args.invocations + events::PEOPLE;
    }
    Ok(figures)
}

impl Function {
    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Function::Empty => "empty lambda_runtime function",
            Function::Riskgate => "**riskgate**",
            Function::RiskgateRedis => "riskgate, history in Redis",
            Function::Python => "Python handler",
            Function::Node => "Node handler",
        }
    }

    /// Starts the function with a runtime API, as Lambda does.
    pub fn start(self, args: &Args, api: &RuntimeApi, dependencies: &Dependencies) -> anyhow::Result<Program> {
        let mut variables = vec![
            ("AWS_LAMBDA_RUNTIME_API", api.address.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", "bench".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ];
        let url = format!("http://{}/score", dependencies.service);
        let networks = args.networks.display().to_string();
        match self {
            Function::Empty => Program::start(&args.rust.join("empty_lambda"), &[], &variables),
            Function::Riskgate | Function::RiskgateRedis => {
                variables.extend([
                    ("RISKGATE_PROVIDERS", "http".to_owned()),
                    ("RISKGATE_HTTP_URL", url),
                    ("RISKGATE_TRUSTED_CLIENTS", "web".to_owned()),
                    ("RISKGATE_LEARN", "allow".to_owned()),
                ]);
                if self == Function::RiskgateRedis {
                    variables.extend([("RISKGATE_STORE", format!("redis://{}", dependencies.redis)), ("RISKGATE_PSEUDONYM_KEY", PSEUDONYM_KEY.to_owned())]);
                }
                Program::start(&args.riskgate, &[], &variables)
            }
            Function::Python => {
                let folder = args.baseline.join("python").display().to_string();
                variables.extend([("NETWORKS", networks), ("SERVICE_URL", url), ("PYTHONPATH", folder)]);
                Program::start(&args.python, &["-m", "awslambdaric", "handler.handler"], &variables)
            }
            Function::Node => {
                let handler = args.baseline.join("node/handler.mjs").display().to_string();
                variables.extend([("NETWORKS", networks), ("SERVICE_URL", url)]);
                Program::start("/usr/bin/env".as_ref(), &["node", &handler], &with_path(variables))
            }
        }
    }
}

/// Adds the search path to the variables, for programs that are found by name.
pub fn with_path(mut variables: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    variables.push(("PATH", std::env::var("PATH").unwrap_or_default()));
    variables
}
