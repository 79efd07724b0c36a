//! Random faults, under every fallback, with a cold, a warm and an old cache: each has a predictable verdict.
//!
//! `RISKGATE_CHAOS=600` makes so many draws instead of a few; `RISKGATE_CHAOS_SEED` repeats a run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use riskgate_runtime::mode::RuntimeMode;
use serde_json::json;

use super::SETTINGS;
use super::entry_points::{EntryPoint, InvocationResult};
use crate::wire::{Act, Server, json as json_answer};

const DRAWS: usize = 36;

/// What the cache holds when the toxic comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CacheContent {
    Nothing,
    Fresh,
    Old,
}

/// What is done to the service's answer.
#[derive(Debug, Clone)]
struct Toxic {
    name: String,
    act: Act,
    /// The possible outcomes if the service is called.
    ends: &'static [&'static str],
}

/// One draw.
#[derive(Debug, Clone)]
struct Draw {
    runtime_mode: RuntimeMode,
    fallback: &'static str,
    held: CacheContent,
    toxic: Toxic,
}

/// What came of all draws.
pub struct Outcome {
    pub seed: u64,
    pub draws: usize,
    pub wrong: Vec<String>,
    pub results: Vec<InvocationResult>,
}

/// Draws and plays.
pub async fn chaos() -> Outcome {
    let set = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = set("RISKGATE_CHAOS_SEED").unwrap_or_else(rand::random);
    let draws = set("RISKGATE_CHAOS").map_or(DRAWS, |draws| usize::try_from(draws).expect("a number of draws"));
    // Printed before anything can fail.
    println!("chaos: {draws} draws with RISKGATE_CHAOS_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let all: Vec<Draw> = (0..draws).map(|_| draw(&mut rng)).collect();
    let played: Vec<(InvocationResult, Option<String>)> = stream::iter(all).map(play).buffered(6).collect().await;
    let (results, wrong): (Vec<InvocationResult>, Vec<Option<String>>) = played.into_iter().unzip();
    Outcome { seed, draws, wrong: wrong.into_iter().flatten().collect(), results }
}

fn draw(rng: &mut ChaCha8Rng) -> Draw {
    let runtime_mode = [RuntimeMode::Lambda, RuntimeMode::Sidecar][rng.random_range(0..2)];
    let fallback = ["allow", "deny", "local"][rng.random_range(0..3)];
    let held = [CacheContent::Nothing, CacheContent::Fresh, CacheContent::Old][rng.random_range(0..3)];
    Draw { runtime_mode, fallback, held, toxic: toxic(rng) }
}

fn toxic(rng: &mut ChaCha8Rng) -> Toxic {
    let fine = || json_answer(200, r#"{"score":1}"#);
    let whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"score\":1}".to_vec();
    let (name, act, ends): (String, Act, &'static [&'static str]) = match rng.random_range(0..8) {
        0 => ("nothing".to_owned(), fine(), &["fresh"]),
        1 => {
            let ms = rng.random_range(0..400);
            (format!("latency {ms} ms"), Act::After(Duration::from_millis(ms), Box::new(fine())), &["fresh"])
        }
        2 => {
            let ms = rng.random_range(3500..5000);
            (format!("latency {ms} ms"), Act::After(Duration::from_millis(ms), Box::new(fine())), &["timeout"])
        }
        3 => {
            let ms = rng.random_range(0..200);
            (format!("reset after {ms} ms"), Act::After(Duration::from_millis(ms), Box::new(Act::Reset)), &["reset"])
        }
        4 => {
            let ms = rng.random_range(100..200);
            (format!("a byte in {ms} ms"), Act::Drip(Duration::from_millis(ms), whole), &["timeout"])
        }
        5 => {
            let bytes = rng.random_range(1..whole.len());
            (format!("{bytes} bytes, then the end"), Act::RawThenHangUp(whole[..bytes].to_vec()), &["reset", "bad_answer"])
        }
        6 => ("nothing but silence".to_owned(), Act::Hang, &["timeout"]),
        _ => {
            let status = [500, 502, 503][rng.random_range(0..3)];
            (format!("status {status}"), json_answer(status, "{}"), &["http_5xx"])
        }
    };
    Toxic { name, act, ends }
}

async fn play(draw: Draw) -> (InvocationResult, Option<String>) {
    let act = Arc::new(Mutex::new(json_answer(200, r#"{"score":1}"#)));
    let current = Arc::clone(&act);
    let server = Server::start(move |_| current.lock().expect("the act").clone()).await;
    let origin = server.origin();
    // Old: expired, and past the time in which the sidecar serves it while it is renewed.
    let ttl = if draw.held == CacheContent::Old { "200ms" } else { "1h" };
    let own = [("PROVIDERS", "http"), ("HTTP_URL", origin.as_str()), ("HTTP_BODY", r#"{"ip":{ip}}"#), ("FALLBACK", draw.fallback), ("CACHE_TTL", ttl)];
    let entry_point = EntryPoint::open(draw.runtime_mode, &[&SETTINGS[..], &own].concat()).await;
    let data = json!({"ip":"8.8.8.8"});
    if draw.held != CacheContent::Nothing {
        entry_point.sign_in("ada", data.clone(), "http").await;
    }
    if draw.held == CacheContent::Old {
        tokio::time::sleep(Duration::from_millis(450)).await;
    }
    *act.lock().expect("the act") = draw.toxic.act.clone();
    let (seen, result) = entry_point.sign_in("ada", data, "http").await;
    let expected: Vec<String> = match (draw.held, draw.toxic.ends) {
        (CacheContent::Fresh, _) => vec!["hit allow".to_owned()],
        (_, ["fresh"]) => vec!["fresh allow".to_owned()],
        (CacheContent::Old, _) => vec!["stale allow".to_owned()],
        (CacheContent::Nothing, ends) => ends.iter().map(|end| format!("{end} {}", if draw.fallback == "deny" { "deny" } else { "allow" })).collect(),
    };
    let wrong = (!expected.contains(&seen)).then(|| {
        format!(
            "{:?}, FALLBACK={}, cache {:?}, {}: {seen} after {:?}; expected {expected:?}",
            draw.runtime_mode, draw.fallback, draw.held, draw.toxic.name, result.took
        )
    });
    (result, wrong)
}
