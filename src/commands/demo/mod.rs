//! `riskgate demo`: the sidecar with invented sign-ins playing through it; no account, no key, no network.

use std::{collections::BTreeMap, io::IsTerminal, net::SocketAddr, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    time::Instant,
};

use self::{
    cast::{Cast, Play},
    player::{Player, Verdict},
    service::RiskService,
};
use super::Failure;
use crate::{
    config::{
        Config,
        env::{ProcessEnv, Strings},
        variables::{PREFIX, VARIABLES},
    },
    event::Now,
    evidence::{Face, health::Health, networks::Networks},
    serve::{
        Instance, shutdown,
        sidecar::{self, Side},
    },
    telemetry::{subscriber, writer::LineWriter},
};

mod cast;

mod player;

mod script;

mod service;

/// Connections that play sign-ins.
const PLAYERS: usize = 24;

/// How long the last lines may take to be written.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Groups of variables that the demo heeds; services, keys, stores and listening addresses are its own.
const HEEDED: [&str; 2] = ["decision", "telemetry"];

/// Plays invented sign-ins through the sidecar: a calm hour, a credential-stuffing wave, an outage and its recovery in three minutes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate demo                          then open http://127.0.0.1:8710/
  riskgate demo --for 30s --speed 6      the whole show in half a minute")]
pub struct Args {
    /// Address and port; a loopback one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
    /// How many times faster than three minutes, 0.1 to 20.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    speed: f64,
    /// Who signs in, and when: the same seed gives the same show.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How long, such as 30s; until Ctrl-C when left out.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    length: Option<Duration>,
}

/// Runs the command.
///
/// # Errors
///
/// An address that cannot be listened on, or arguments that make no show.
pub fn run(args: &Args) -> Result<(), Failure> {
    if !(0.1..=20.0).contains(&args.speed) {
        return Err(Failure::Usage("--speed must be 0.1 to 20".to_owned()));
    }
    if !args.listen.ip().is_loopback() {
        return Err(Failure::Usage("--listen must be a loopback address: the demo is for this machine".to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    runtime.block_on(show(args))
}

async fn show(args: &Args) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Run(format!("{}: {error}", args.listen));
    let mut cast = draw(args.seed);
    let service = RiskService::new(cast.scores());
    let (config, faults) = Config::read(&variables(service.listen().await.map_err(failed)?, args.speed));
    subscriber::install(&config.telemetry);
    let instance = Instance::strict(config, faults, Face::Sidecar).map_err(|faults| Failure::Usage(faults.to_string()))?;
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    instance.report_ready();
    let (ended, ending) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(sidecar::serve(listener, Side::Whole, instance, async move { drop(ending.await) }));
    // A terminal that is not read holds up neither the page nor Ctrl-C.
    let out = LineWriter::stdout();
    out.write(format!("watch it at http://{address}/   (Prometheus: /metrics; Ctrl-C ends the show)\n").as_bytes());
    let length = args.length.unwrap_or(Duration::MAX);
    let played = tokio::select! {
        played = play(args, address, cast, &service, &out) => played,
        () = tokio::time::sleep(length) => Ok(()),
        () = shutdown::requested_or_hung_up() => Ok(()),
    };
    drop(ended);
    let _ = server.await;
    out.drain(LAST_LINES);
    played.map_err(|error| Failure::Run(format!("{error:#}")))
}

/// Draws the cast from the bundled networks.
fn draw(seed: u64) -> Cast {
    let (networks, _) = Networks::open(&Config::defaults().networks, &Arc::new(Health::default()));
    Cast::draw(seed, &networks)
}

/// The demo's variables: the user's own for verdicts and logs, and the embedded service. Answers are kept
/// for a few seconds of the script only, so that its outage is felt.
fn variables(service: SocketAddr, speed: f64) -> BTreeMap<String, String> {
    let seconds = |script: f64| format!("{}ms", (script * 1e3 / speed).max(500.0).round());
    let own = [
        ("LOG", "warn".to_owned()),
        ("LOG_FORMAT", "text".to_owned()),
        ("AUDIT", "off".to_owned()),
        ("PROVIDERS", "http".to_owned()),
        ("PROVIDER_TIMEOUT", "400ms".to_owned()),
        ("HTTP_URL", format!("http://{service}/score")),
        ("CACHE_TTL", seconds(6.0)),
        ("CACHE_STALE_FOR", seconds(3.0)),
    ];
    let mut variables: BTreeMap<String, String> = own.map(|(name, value)| (format!("{PREFIX}{name}"), value)).into();
    for variable in VARIABLES.iter().filter(|variable| HEEDED.contains(&variable.group)) {
        let name = format!("{PREFIX}{}", variable.name);
        if let Some(value) = ProcessEnv.value(&name) {
            variables.insert(name, value);
        }
    }
    variables
}

/// Plays the past, then the script, until it is dropped.
async fn play(args: &Args, address: SocketAddr, mut cast: Cast, service: &RiskService, out: &LineWriter) -> anyhow::Result<()> {
    let (plays, queue) = mpsc::channel::<Play>(PLAYERS * 4);
    let queue = Arc::new(Mutex::new(queue));
    let (verdicts, mut told) = mpsc::channel::<(Play, Verdict)>(1024);
    let mut players = tokio::task::JoinSet::new();
    let past = cast.past(Now::read().wall);
    let past_length = past.len();
    for _ in 0..PLAYERS {
        let mut player = Player::connect(address).await?;
        let (queue, verdicts) = (Arc::clone(&queue), verdicts.clone());
        players.spawn(async move {
            loop {
                let next = queue.lock().await.recv().await;
                let Some(play) = next else { return anyhow::Ok(()) };
                let verdict = player.play(&play).await?;
                if verdicts.send((play, verdict)).await.is_err() {
                    return Ok(());
                }
            }
        });
    }
    let telling = async {
        let colours = std::io::stdout().is_terminal();
        let mut seen = 0;
        while let Some((play, verdict)) = told.recv().await {
            seen += 1;
            if seen > past_length {
                tell(out, &play, &verdict, colours);
            }
        }
        anyhow::Ok(())
    };
    let playing = async {
        for play in past {
            plays.send(play).await?;
        }
        perform(args, &mut cast, service, &plays, out).await
    };
    let failing = async {
        match players.join_next().await {
            Some(ended) => ended?,
            None => Ok(()),
        }
    };
    tokio::select! {
        ended = telling => ended,
        ended = playing => ended,
        ended = failing => ended,
    }
}

/// Sends the script's sign-ins at its pace: a Poisson process for people, another for attackers.
async fn perform(args: &Args, cast: &mut Cast, service: &RiskService, plays: &mpsc::Sender<Play>, out: &LineWriter) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let mut title = "";
    let mut script = Duration::ZERO;
    loop {
        let scene = script::scene(script);
        if scene.title != title {
            title = scene.title;
            service.fare(scene.service);
            out.write(format!("--- {title}\n").as_bytes());
        }
        let rate = scene.people + scene.attackers;
        // The next arrival of a Poisson process: an exponential wait.
        script += Duration::from_secs_f64(-(1.0 - rng.random::<f64>()).ln() / rate);
        tokio::time::sleep_until(started + script.div_f64(args.speed)).await;
        let play = if rng.random_bool(scene.attackers / rate) { cast.attacker() } else { cast.person() };
        plays.send(play).await?;
    }
}

/// One line a decision.
fn tell(out: &LineWriter, play: &Play, verdict: &Verdict, colours: bool) {
    let colour = match verdict.decision.as_str() {
        "deny" => "31",
        "review" => "33",
        _ => "32",
    };
    let decision = if colours { format!("\u{1b}[{colour}m{:<6}\u{1b}[0m", verdict.decision) } else { format!("{:<6}", verdict.decision) };
    let reasons: Vec<String> = verdict.reasons.iter().take(4).map(|reason| format!("{} {:+.1}", reason.code, reason.weight)).collect();
    let missing = if verdict.degraded.is_some() { "  (degraded)" } else { "" };
    let user = play.body["user"].as_str().unwrap_or_default();
    let line = format!("{decision} {:>5.1}  {user:<12} {:>6.1} ms  {}{missing}\n", verdict.score, verdict.elapsed_ms, reasons.join(", "));
    out.write(line.as_bytes());
}
