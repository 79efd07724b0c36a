//! Whether scores reveal which names exist, in a pool with a history.
//!
//! `just enumeration` compares 10,000 names of each kind; without the variable `RISKGATE_NAMES` fewer are compared.

use std::collections::BTreeSet;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use riskgate_history::repository::sessions::{SessionSignIn, SessionVerdict};
use riskgate_runtime::mode::RuntimeMode;
use riskgate_store::List;
use serde_json::{Value, json};

use crate::{
    fixtures::{self, Backend, FIREFOX, TestEngine, at},
    history::sessions::verified_evidence,
};

/// How many names of each kind are compared beside all other tests, in a debug build.
const FEW: usize = 600;

/// The effect that is too small to matter.
const EFFECT: f64 = 0.02;

/// The quantile of the normal distribution for intervals of 95 %.
const NORMAL_95: f64 = 1.96;

/// Values of `DENY_AT` under which shares of denials are compared.
const THRESHOLDS: [f64; 3] = [80.0, 60.0, 40.0];

/// User agents of the pool, by how many of a hundred people use them. The first two are one app's.
const AGENTS: [(usize, &str); 7] = [
    (28, "Mozilla/5.0 (Linux; Android 15; Acme) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/140.0.0.0 Mobile Safari/537.36 Acme/7.2"),
    (12, "Mozilla/5.0 (Linux; Android 15; Acme) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/140.0.0.0 Mobile Safari/537.36 Acme/7.1"),
    (24, fixtures::CHROME),
    (8, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36"),
    (18, fixtures::IPHONE),
    (7, "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1"),
    (3, FIREFOX),
];

/// A user agent of the most common browser that no user has.
const ODD: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/97.0.0.0 Safari/537.36";

/// The pool's users: providers in Norway, each with this number of networks (/24).
const HOMES: [(&str, u8); 3] = [("84.208", 12), ("88.88", 6), ("80.202", 6)];

/// The callers: what is tried, from which address, with which user agent.
const CALLERS: [(&str, &str, &str); 7] = [
    ("same country, everyday browser", "2.150.3.9", fixtures::CHROME),
    ("same /24, everyday browser", "84.208.3.251", fixtures::CHROME),
    ("same /24, app", "84.208.3.251", AGENTS[0].1),
    ("same /24, app's other version", "84.208.3.251", AGENTS[1].1),
    ("same provider, app", "84.208.77.9", AGENTS[0].1),
    ("same provider, odd user agent", "84.208.77.9", ODD),
    ("far away", "14.162.100.7", FIREFOX),
];

/// Pairs of callers, by their places: whether a name reacts to the second otherwise than to the first.
const PAIRS: [(usize, usize); 3] = [(2, 3), (1, 2), (0, 5)];

/// One comparison of known with unknown names.
struct Comparison {
    what: String,
    known: f64,
    unknown: f64,
    /// How improbable the difference is if there is none; 1 where no test is made.
    p: f64,
}

fn event(name: &str, exists: bool, client: &str, data: &Value) -> Value {
    let (attributes, missing) = if exists { (json!({ "sub": format!("sub-{name}") }), false) } else { (json!({}), true) };
    json!({ "triggerSource": "PreAuthentication_Authentication", "userPoolId": "pool", "userName": name, "callerContext": { "clientId": client },
        "request": { "userAttributes": attributes, "validationData": data, "userNotFound": missing }, "response": {} })
}

/// Six weeks of a pool: everybody signs in at least once, half of them at most three times, from home and some from a mobile network. Of ten
/// people, `by_app` use the public client, and the user pool's sessions verify their addresses: of a quarter of them all, of the others only those away.
async fn live(engine: &TestEngine, people: usize, by_app: usize) {
    let mut draw = ChaCha8Rng::seed_from_u64(14);
    let mut sign_ins = Vec::new();
    for user in 0..people {
        let (provider, networks) = HOMES[[0, 0, 1, 2][draw.random_range(0..4)]];
        let home = format!("{provider}.{}.{}", draw.random_range(0..networks), draw.random_range(1..250));
        let agent = agent(draw.random_range(0..100));
        let is_mobile = draw.random_range(0..10) < 4;
        let mut times: BTreeSet<i64> = BTreeSet::from([draw.random_range(0..42 * 86_400)]);
        while times.len() < 20 && draw.random_range(0..4) > 0 {
            times.insert(draw.random_range(0..42 * 86_400));
        }
        for time in times {
            let is_away = is_mobile && draw.random_range(0..3) == 0;
            let ip = if is_away { format!("77.16.{}.{}", draw.random_range(0..8), draw.random_range(1..250)) } else { home.clone() };
            sign_ins.push((time, user, is_away, json!({ "ip": ip, "userAgent": agent, "deviceId": format!("device-{user}"), "timezone": "Europe/Oslo" })));
        }
    }
    sign_ins.sort_by_key(|(time, ..)| *time);
    for (time, user, is_away, data) in sign_ins {
        let (name, moment) = (format!("person{user}"), jiff::Timestamp::from_second(at(0, "00:00:00").as_second() + time).unwrap());
        if user % 10 < by_app {
            sign_in_by_app(engine, &name, &data, moment, is_away || user % 4 == 0).await;
        } else {
            engine.attempt_by(event(&name, true, "web", &data), moment).await;
            engine.success(&name, "web", moment).await.expect("the store answers");
        }
    }
}

/// A sign-in through the public client. Its session, if it is found, has the claimed address.
async fn sign_in_by_app(engine: &TestEngine, name: &str, data: &Value, moment: jiff::Timestamp, is_found: bool) {
    let (repository, id) = (engine.repository(), engine.attempt_by(event(name, true, "app", data), moment).await.id);
    let success = json!({ "triggerSource": "PostAuthentication_Authentication", "userPoolId": "pool", "userName": name, "callerContext": { "clientId": "app" },
        "request": { "userAttributes": { "sub": format!("sub-{name}") } }, "response": {} });
    let success = repository.record_success(&engine.post(success, moment)).await.expect("the store answers");
    // A denied attempt has no success.
    let Some(session) = success.session.filter(|_| is_found) else { return };
    let evidence = verified_evidence(engine, name, data["ip"].as_str().unwrap(), moment).await;
    let (keys, hour) = (repository.record_keys("pool", &format!("sub-{name}")), evidence.local_time.hour);
    let about = SessionSignIn { pool: "pool", keys: &keys, client: "app", id: &id, sample: session.sample.as_deref(), at: moment };
    let verified = repository.verified_origin(&evidence, moment);
    assert!(repository.apply_judgement(&about, "tkn1", &verified, hour, SessionVerdict::Learn, moment).await.expect("the store answers"));
}

fn agent(mut percentile: usize) -> &'static str {
    for (share, agent) in AGENTS {
        match percentile.checked_sub(share) {
            Some(rest) => percentile = rest,
            None => return agent,
        }
    }
    AGENTS[0].1
}

/// The scores of known and of unknown names for one caller.
async fn scores(engine: &TestEngine, names: usize, client: &str, ip: &str, agent: &str) -> [Vec<f64>; 2] {
    let data = json!({ "ip": ip, "userAgent": agent, "deviceId": "box-9", "timezone": "Europe/Oslo" });
    let mut scores = [const { Vec::new() }; 2];
    for number in 0..names {
        for (kind, (name, exists)) in [(format!("person{number}"), true), (format!("nobody{number}"), false)].into_iter().enumerate() {
            let assessment = engine.attempt_by(event(&name, exists, client, &data), at(42, "12:00:00")).await;
            scores[kind].push(assessment.decision.score.value);
        }
    }
    scores
}

/// The largest difference of two distributions (Kolmogorov-Smirnov), and its p-value.
fn kolmogorov_smirnov([one, other]: &[Vec<f64>; 2]) -> (f64, f64) {
    let (mut one, mut other) = (one.clone(), other.clone());
    one.sort_by(f64::total_cmp);
    other.sort_by(f64::total_cmp);
    let share = |sorted: &[f64], value: f64| share_of(sorted.partition_point(|score| *score <= value), sorted.len());
    let distance = one.iter().chain(&other).map(|value| (share(&one, *value) - share(&other, *value)).abs()).fold(0.0, f64::max);
    let size = (count(one.len()) / 2.0).sqrt();
    let lambda = (size + 0.12 + 0.11 / size) * distance;
    let series = (1..=100).map(|k| (if k % 2 == 1 { 2.0 } else { -2.0 }) * (-2.0 * f64::from(k * k) * lambda * lambda).exp()).sum::<f64>();
    (distance, if lambda < 0.3 { 1.0 } else { series.clamp(0.0, 1.0) })
}

/// Two shares of `names` compared, with the p-value of their difference.
fn shares(what: String, names: usize, counts: [usize; 2]) -> Comparison {
    let [known, unknown] = counts.map(|counted| share_of(counted, names));
    let pooled = f64::midpoint(known, unknown);
    let z = (known - unknown).abs() / (2.0 * pooled * (1.0 - pooled) / count(names)).sqrt().max(1e-12);
    // The complementary error function within 1.2e-7 (Numerical Recipes, erfcc).
    let t = 1.0 / (1.0 + 0.5 * z / std::f64::consts::SQRT_2);
    let terms =
        [-1.265_512_23, 1.000_023_68, 0.374_091_96, 0.096_784_18, -0.186_288_06, 0.278_868_07, -1.135_203_98, 1.488_515_87, -0.822_152_23, 0.170_872_77];
    let p = t * (terms.iter().rev().fold(0.0, |sum, term| sum * t + term) - z * z / 2.0).exp();
    Comparison { what, known, unknown, p: p.min(1.0) }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

fn share_of(part: usize, all: usize) -> f64 {
    count(part) / count(all)
}

/// Which p-values are below 5 % after Holm's correction.
fn significant(p: &[f64]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut significant = vec![false; p.len()];
    for (rank, place) in order.into_iter().enumerate() {
        if p[place] * count(p.len() - rank) >= 0.05 {
            break;
        }
        significant[place] = true;
    }
    significant
}

#[tokio::test]
async fn known_and_unknown_names_score_alike_for_callers_near_and_far() {
    let names = std::env::var("RISKGATE_NAMES").map_or(FEW, |names| names.parse().expect("RISKGATE_NAMES is a number"));
    let backend = fixtures::memory();
    live(&backend.engine(&[]), names, 0).await;
    compare(&backend, names).await;
}

/// Values that a session verified count otherwise than claimed ones, so the templates of unknown names need the marks of known ones.
#[cfg(feature = "secrets")]
#[tokio::test]
async fn known_names_with_verified_addresses_and_unknown_names_score_alike() {
    let names = std::env::var("RISKGATE_NAMES").map_or(FEW, |names| names.parse().expect("RISKGATE_NAMES is a number"));
    let backend = fixtures::memory();
    let queue = [("SESSION_QUEUE", "https://sqs.eu-west-1.amazonaws.com/1/q"), ("STORE", "redis://127.0.0.1:1/0")];
    live(&backend.engine(&queue), names, 8).await;
    compare(&backend, names).await;
}

/// Fails if a caller can tell known from unknown names by their scores.
async fn compare(backend: &Backend, names: usize) {
    let templates = backend.store.list_entries(List::DecoyTemplates, at(42, "12:00:00")).await.unwrap();
    println!("{} shapes, {} bytes", templates.len(), templates.values().map(Vec::len).sum::<usize>());
    // What is compared is read only: otherwise the attempts themselves would raise every score.
    let reader = TestEngine::with_mode(&backend.store, &[], RuntimeMode::Command);
    let (mut comparisons, mut distances) = (Vec::new(), Vec::new());
    for (client, context) in [("web", "trusted"), ("app", "unsigned")] {
        let mut by_caller = Vec::new();
        for (caller, ip, agent) in CALLERS {
            let scores = scores(&reader, names, client, ip, agent).await;
            let (distance, p) = kolmogorov_smirnov(&scores);
            distances.push((distance, p, format!("{context}, {caller}: distance {distance:.3}, p {p:.3}")));
            for threshold in THRESHOLDS {
                let denied = [0, 1].map(|kind| scores[kind].iter().filter(|score| **score >= threshold).count());
                comparisons.push(shares(format!("{context}, {caller}, denied at {threshold}"), names, denied));
            }
            by_caller.push(scores);
        }
        for (first, second) in PAIRS {
            let pairs = |kind: usize| by_caller[first][kind].iter().zip(&by_caller[second][kind]);
            let lower = [0, 1].map(|kind| pairs(kind).filter(|(first, second)| **second < **first - 0.5).count());
            let higher = [0, 1].map(|kind| pairs(kind).filter(|(first, second)| **second > **first + 0.5).count());
            let what = format!("{context}, {} against {}", CALLERS[second].0, CALLERS[first].0);
            comparisons.push(shares(format!("{what}, lower"), names, lower));
            comparisons.push(shares(format!("{what}, higher"), names, higher));
        }
    }
    // No difference at the level of 5 %, or one that is too small to matter; and none that is larger than the samples' own errors allow.
    let allowed = EFFECT + 3.0 * (0.5 / count(names)).sqrt();
    let mut apart = Vec::new();
    let p: Vec<f64> = distances.iter().map(|(_, p, _)| *p).collect();
    for ((distance, _, line), is_significant) in distances.into_iter().zip(significant(&p)) {
        println!("{line}{}", if is_significant { " *" } else { "" });
        if is_significant && distance > EFFECT {
            apart.push(line);
        }
    }
    let p: Vec<f64> = comparisons.iter().map(|comparison| comparison.p).collect();
    for (comparison, is_significant) in comparisons.iter().zip(significant(&p)) {
        let Comparison { what, known, unknown, p } = comparison;
        let error = NORMAL_95 * ((known * (1.0 - known) + unknown * (1.0 - unknown)) / count(names)).sqrt();
        let difference = known - unknown;
        let line = format!("{what}: known {known:.3}, unknown {unknown:.3}, difference {difference:+.3} ± {error:.3}, p {p:.4}");
        println!("{line}{}", if is_significant { " *" } else { "" });
        if difference.abs() > allowed || (is_significant && difference.abs() > EFFECT) {
            apart.push(line);
        }
    }
    assert!(apart.is_empty(), "apart, of {names} names of each kind:\n{}", apart.join("\n"));
}
