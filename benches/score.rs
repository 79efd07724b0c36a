//! What judging one sign-in costs: `cargo bench --bench score`. Fixed inputs: a stranger, a person of a hundred
//! values at home, and the same person from elsewhere on another device. Evidence is made outside the clock.
#![allow(missing_docs, clippy::print_stdout, reason = "a benchmark prints")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use riskgate::{
    assess::Judge,
    config::Config,
    event::{ClientIp, Now, http},
    evidence::{
        Evidence, Features, History, NetworkFacts, Outcome, Waits,
        features::{FeatureKey, Level},
        history::profile::{Entry, Profile, Sighting},
        local_time,
        networks::territory,
    },
    score::Model,
};

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

fn evidence(country: &str, ip: &str, profile: &Profile) -> Box<Evidence> {
    let now = Now { wall: "2026-11-21T12:00:00Z".parse().expect("a time"), mono: Now::read().mono };
    let body = format!(r#"{{"user":"ada","ip":"{ip}","country":"{country}","asn":2119,"userAgent":"{CHROME}","timezone":"Europe/Oslo"}}"#);
    let sign_in = http::parse(body.as_bytes(), ClientIp::Missing, now).expect("a sign-in");
    let stated = sign_in.context.stated.country;
    let location = stated.and_then(territory::of).map(territory::Territory::location);
    let networks = NetworkFacts { country: stated, asn: sign_in.context.stated.asn, location, ..NetworkFacts::default() };
    let local_time = local_time::read(&sign_in, &networks);
    let features = Features::of(&sign_in, &networks, &FeatureKey::new([1; 16]));
    let history = History { profile: profile.clone(), ..History::default() };
    let (sign_in, history_outcome) = (sign_in.into(), Outcome::Fresh);
    Box::new(Evidence { sign_in, networks, local_time, features, history, history_outcome, services: Default::default(), took: Waits::default() })
}

/// A person of a hundred values, eight of them those of a sign-in at home.
fn acquainted() -> Profile {
    let home = evidence("NO", "84.208.20.1", &Profile::default());
    let entry = |level, hash, count| Entry { level, hash, count, first_day: 20_000, last_day: 20_700 };
    let mut entries: Vec<Entry> = Level::ALL.iter().filter_map(|level| Some(entry(*level, home.features.at(*level)?, 40))).collect();
    entries.extend((0..100 - entries.len()).map(|at| entry(Level::ALL[at % 8], at as u32, 3)));
    let last = Some(Sighting { at: "2026-11-20T12:00:00Z".parse().expect("a time"), place: home.networks.location, anonymous: false });
    Profile { entries, hours: [2; 24], successes: 48, last }
}

fn judging(criterion: &mut Criterion) {
    let config = Config::defaults();
    let judge = Judge::new(&config, Model::bundled(&config.history));
    let known = acquainted();
    for (name, country, ip, profile) in [
        ("stranger", "NO", "84.208.20.1", Profile::default()),
        ("known, at home", "NO", "84.208.20.1", known.clone()),
        ("known, from elsewhere", "JP", "126.1.1.1", known),
    ] {
        let counted = evidence(country, ip, &profile);
        let allocations = allocation_counter::measure(|| drop(black_box(judge.judge(counted)))).count_total;
        println!("{name}: {allocations} allocations");
        criterion.bench_function(&format!("judge/{name}"), |bench| {
            bench.iter_batched(|| evidence(country, ip, &profile), |evidence| judge.judge(black_box(evidence)), BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, judging);
criterion_main!(benches);
