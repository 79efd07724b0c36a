//! `riskgate demo`: runs the sidecar with generated sign-ins, without account, key or network.

use std::collections::BTreeMap;
use std::io::{ErrorKind, IsTerminal};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::{net::TcpListener, sync::mpsc, time::Instant};

use crate::commands::demo::client::{DemoClient, DemoDecision};
use crate::commands::demo::population::{PlannedSignIn, Population};
use crate::commands::demo::service::RiskService;
use crate::commands::demo::summary::Summary;
use crate::commands::{Failure, dashboard_link};
use riskgate_config::Config;
use riskgate_config::env::{EnvSource, ProcessEnv};
use riskgate_config::variables::{PREFIX, VARIABLES};
use riskgate_network::Networks;
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::{clock, health::Health, mode::RuntimeMode, shutdown};
use riskgate_server::sidecar::{self, ListenerRole};
use riskgate_telemetry::{live_stats::LiveStats, subscriber, writer::LineWriter};

mod client;

mod history;

mod population;

mod scenario;

mod service;

mod summary;

/// The number of client connections.
const CLIENTS: usize = 24;

/// How many ports the demo tries when the first ones are in use.
const MAX_PORTS: u16 = 20;

/// How long the command waits at its end for pending lines.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Groups of variables that the demo takes from the environment. It sets services, keys, stores and addresses itself.
const INHERITED_GROUPS: [&str; 3] = ["decision", "dashboard", "telemetry"];

/// Sends generated sign-ins through the sidecar: normal traffic, a credential-stuffing wave, an outage and its recovery in three minutes.
///
/// At the end it prints how many attacks were stopped, and how many users were stopped wrongly.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  riskgate demo                          then open http://127.0.0.1:8710/
  riskgate demo --for 30s --speed 6      the complete demo in half a minute")]
pub struct Args {
    /// The loopback address and port. If the port is in use, the next free one is taken.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
    /// The speed factor, 0.1 to 20. At 1 the demo takes three minutes.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    speed: f64,
    /// The seed of the random number generator. The same seed gives the same sign-ins.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The number of users, 8 to 1000. A slow store learns their past sign-ins slowly: six each.
    #[arg(long, value_name = "N", default_value_t = 160)]
    users: usize,
    /// An empty store that the demo fills, for `riskgate dashboard --store`: redis://.. or dynamodb://TABLE. Needs RISKGATE_PSEUDONYM_KEY. The default is memory.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The duration, such as 30s. The default is until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    length: Option<Duration>,
}

/// Runs the command.
///
/// # Errors
///
/// An argument is out of range, or the address cannot be bound.
pub fn run(args: &Args) -> Result<(), Failure> {
    if !(0.1..=20.0).contains(&args.speed) {
        return Err(Failure::Usage("--speed must be 0.1 to 20".to_owned()));
    }
    if !(8..=1000).contains(&args.users) {
        return Err(Failure::Usage("--users must be 8 to 1000".to_owned()));
    }
    if !args.listen.ip().is_loopback() {
        return Err(Failure::Usage("--listen must be a loopback address: the demo serves only this machine".to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    runtime.block_on(run_demo(args))
}

/// What the parts of a running demo share.
struct Demo {
    args: Args,
    address: SocketAddr,
    service: Arc<RiskService>,
    live_stats: Arc<LiveStats>,
    /// The writer does not block when the terminal is not read.
    out: LineWriter,
    summary: Mutex<Summary>,
    started: Instant,
}

async fn run_demo(args: &Args) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Run(format!("{}: {error}", args.listen));
    let out = LineWriter::stdout();
    let listener = bind(args.listen, &out).await?;
    let address = listener.local_addr().map_err(failed)?;
    let mut population = generate_population(args);
    let service = RiskService::new(population.scores());
    let (mut config, faults) = Config::read(&demo_variables(service.listen().await.map_err(failed)?, args));
    let link = dashboard_link::add_operator(&mut config.dashboard, "demo", address);
    out.write(format!("dashboard: {link}   (Prometheus: /metrics; Ctrl-C stops the demo and prints a summary)\n").as_bytes());
    subscriber::install(&config.telemetry);
    let instance = Instance::strict(config, faults, RuntimeMode::Sidecar).map_err(|faults| Failure::Usage(faults.to_string()))?;
    history::import(&instance, &population.history(clock::read().wall), &out).await.map_err(|error| Failure::Run(format!("{error:#}")))?;
    instance.report_ready();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let live_stats = instance.telemetry.live_stats();
    let server = tokio::spawn(sidecar::serve(listener, ListenerRole::Combined, instance, async move { drop(stopped.await) }));
    let demo = Demo { args: args.clone(), address, service, live_stats, out, summary: Mutex::default(), started: Instant::now() };
    let result = tokio::select! {
        result = demo.send_all(population) => result,
        () = tokio::time::sleep(args.length.unwrap_or(Duration::MAX)) => Ok(()),
        () = shutdown::requested_or_hung_up() => Ok(()),
    };
    demo.print_summary();
    drop(stop);
    let _ = server.await;
    demo.out.drain(DRAIN_TIMEOUT);
    result.map_err(|error| Failure::Run(format!("{error:#}")))
}

/// Listens on the address, or on the next free port if its port is in use.
async fn bind(address: SocketAddr, out: &LineWriter) -> Result<TcpListener, Failure> {
    let last = address.port().saturating_add(MAX_PORTS);
    for port in address.port()..=last {
        match TcpListener::bind(SocketAddr::new(address.ip(), port)).await {
            Ok(listener) => {
                if port != address.port() {
                    out.write(
                        format!("port {} is in use, perhaps by another demo or `riskgate serve`; the demo listens on port {port}\n", address.port()).as_bytes(),
                    );
                }
                return Ok(listener);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(Failure::Run(format!("cannot listen on {}:{port}: {error}; choose another address with --listen", address.ip()))),
        }
    }
    Err(Failure::Run(format!("ports {} to {last} are in use; choose another one with --listen", address.port())))
}

/// Generates the users and attackers with addresses from the bundled network database.
fn generate_population(args: &Args) -> Population {
    let (networks, _) = Networks::open(&Config::defaults().networks, &Arc::new(Health::default()));
    Population::generate(args.seed, args.users, &networks)
}

/// The variables of the demo: the environment's for decisions and telemetry, and the embedded risk service. Answers are cached
/// for only a few seconds of the scenario, which makes the outage visible.
fn demo_variables(service: SocketAddr, args: &Args) -> BTreeMap<String, String> {
    let scaled_millis = |seconds: f64| format!("{}ms", (seconds * 1e3 / args.speed).max(500.0).round());
    let store = args.store.clone().map(|store| {
        [("STORE", store), ("PSEUDONYM_KEY", ProcessEnv.value(&format!("{PREFIX}PSEUDONYM_KEY")).unwrap_or_default()), ("STORE_TIMEOUT", "2s".to_owned())]
    });
    let defaults = [
        ("LOG", "warn".to_owned()),
        ("LOG_FORMAT", "text".to_owned()),
        ("AUDIT", "off".to_owned()),
        ("PROVIDERS", "http".to_owned()),
        ("PROVIDER_TIMEOUT", "400ms".to_owned()),
        ("HTTP_URL", format!("http://{service}/score")),
        ("CACHE_TTL", scaled_millis(6.0)),
        ("CACHE_STALE_FOR", scaled_millis(3.0)),
    ];
    let mut variables: BTreeMap<String, String> =
        defaults.into_iter().chain(store.into_iter().flatten()).map(|(name, value)| (format!("{PREFIX}{name}"), value)).collect();
    for variable in VARIABLES.iter().filter(|variable| INHERITED_GROUPS.contains(&variable.group)) {
        let name = format!("{PREFIX}{}", variable.name);
        if let Some(value) = ProcessEnv.value(&name) {
            variables.insert(name, value);
        }
    }
    variables
}

impl Demo {
    /// Sends the scenario's sign-ins and prints the decisions, until it is dropped.
    async fn send_all(&self, mut population: Population) -> anyhow::Result<()> {
        let (planned, queue) = mpsc::channel::<PlannedSignIn>(CLIENTS * 4);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let (decisions, mut decided) = mpsc::channel::<(PlannedSignIn, DemoDecision)>(1024);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let mut client = DemoClient::connect(self.address).await?;
            let (queue, decisions) = (Arc::clone(&queue), decisions.clone());
            clients.spawn(async move {
                loop {
                    let next = queue.lock().await.recv().await;
                    let Some(sign_in) = next else { return anyhow::Ok(()) };
                    let decision = client.send(&sign_in).await?;
                    if decisions.send((sign_in, decision)).await.is_err() {
                        return Ok(());
                    }
                }
            });
        }
        let printing = async {
            let is_colored = std::io::stdout().is_terminal();
            while let Some((sign_in, decision)) = decided.recv().await {
                self.summary().count(&sign_in, &decision);
                print_decision(&self.out, &sign_in, &decision, is_colored);
            }
            anyhow::Ok(())
        };
        let watching = async {
            match clients.join_next().await {
                Some(result) => result?,
                None => Ok(()),
            }
        };
        tokio::select! {
            result = printing => result,
            result = self.run_scenario(&mut population, &planned) => result,
            result = watching => result,
        }
    }

    /// Sends the scenario's sign-ins at its rate: one Poisson process for users, another for attackers.
    async fn run_scenario(&self, population: &mut Population, planned: &mpsc::Sender<PlannedSignIn>) -> anyhow::Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.args.seed);
        let (mut title, mut round, mut elapsed) = ("", 0, Duration::ZERO);
        loop {
            if scenario::round(elapsed) > round {
                round = scenario::round(elapsed);
                self.print_summary();
            }
            let phase = scenario::phase(elapsed);
            if phase.title != title {
                title = phase.title;
                self.service.set_condition(phase.service);
                self.live_stats.annotate(title);
                self.out.write(format!("--- {title}\n").as_bytes());
            }
            let rate = phase.users + phase.attackers;
            // Intervals of a Poisson process have an exponential distribution.
            elapsed += Duration::from_secs_f64(-(1.0 - rng.random::<f64>()).ln() / rate);
            tokio::time::sleep_until(self.started + elapsed.div_f64(self.args.speed)).await;
            let sign_in = if rng.random_bool(phase.attackers / rate) { population.attacker_sign_in() } else { population.user_sign_in() };
            planned.send(sign_in).await?;
        }
    }

    fn print_summary(&self) {
        let elapsed = self.started.elapsed().mul_f64(self.args.speed);
        self.out.write(self.summary().text(elapsed).as_bytes());
    }

    fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints one line per decision.
fn print_decision(out: &LineWriter, sign_in: &PlannedSignIn, decision: &DemoDecision, is_colored: bool) {
    let color = match decision.decision.as_str() {
        "deny" => "31",
        "review" => "33",
        _ => "32",
    };
    let verdict = if is_colored { format!("\u{1b}[{color}m{:<6}\u{1b}[0m", decision.decision) } else { format!("{:<6}", decision.decision) };
    let reasons: Vec<String> = decision.reasons.iter().take(4).map(|reason| format!("{} {:+.1}", reason.code, reason.weight)).collect();
    let degraded = if decision.degraded.is_some() { "  (degraded)" } else { "" };
    let user = sign_in.body["user"].as_str().unwrap_or_default();
    let line = format!("{verdict} {:>5.1}  {user:<12} {:>6.1} ms  {}{degraded}\n", decision.score, decision.elapsed_ms, reasons.join(", "));
    out.write(line.as_bytes());
}
