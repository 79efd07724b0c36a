//! The cost of one evaluation: `cargo bench --features criterion --bench score`.
//!
//! Fixed inputs: a new user, a user with a profile of 100 values at home, and the same user in another country. The time does not
//! include the construction of the evidence.
#![allow(missing_docs, clippy::print_stdout, reason = "a benchmark prints")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use riskgate_config::Config;
use riskgate_engine::{
    client_ip::ClientIp,
    evaluator::Evaluator,
    evidence::{Evidence, history::History},
    features::{FeatureKey, FeatureLevel, Features},
    network_facts::NetworkFacts,
    profile::{Profile, ProfileEntry, SignInLocation},
    score::model::Model,
    time::ClockReading,
};
use riskgate_event::http;
use riskgate_network::{country, local_time};
use riskgate_runtime::clock;

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

fn evidence(country: &str, ip: &str, profile: &Profile) -> Box<Evidence> {
    let now = ClockReading { wall: "2026-11-21T12:00:00Z".parse().expect("a time"), mono: clock::read().mono };
    let body = format!(r#"{{"user":"ada","ip":"{ip}","country":"{country}","asn":2119,"userAgent":"{CHROME}","timezone":"Europe/Oslo"}}"#);
    let sign_in = http::parse(body.as_bytes(), ClientIp::Missing, now).expect("a sign-in");
    let asserted = sign_in.context.asserted.country;
    let location = asserted.and_then(country::of).map(country::CountryData::location);
    let networks = NetworkFacts { country: asserted, asn: sign_in.context.asserted.asn, location, ..NetworkFacts::default() };
    let local_time = local_time::read(&sign_in, &networks);
    let features = Features::of(&sign_in, &networks, &FeatureKey::new([1; 16]));
    let history = History { profile: profile.clone(), ..History::default() };
    Box::new(Evidence { networks, local_time, features, history, ..Evidence::of(sign_in) })
}

/// Returns a profile of 100 values. It includes those of a sign-in at home.
fn known_profile() -> Profile {
    let home = evidence("NO", "84.208.20.1", &Profile::default());
    let entry = |level, hash, count| ProfileEntry { level, hash, count, first_day: 20_000, last_day: 20_700, verified: false };
    let mut entries: Vec<ProfileEntry> = FeatureLevel::ALL.iter().filter_map(|level| Some(entry(*level, home.features.at(*level)?, 40))).collect();
    entries.extend((0..100 - entries.len()).map(|at| entry(FeatureLevel::ALL[at % 8], at as u32, 3)));
    let last = Some(SignInLocation { at: "2026-11-20T12:00:00Z".parse().expect("a time"), location: home.networks.location, anonymous: false });
    Profile { entries, hours: [2; 24], successes: 48, last }
}

fn evaluate(criterion: &mut Criterion) {
    let config = Config::defaults();
    let evaluator = Evaluator::new(&config.decision, Model::bundled(config.history.model_config()));
    let known = known_profile();
    for (name, country, ip, profile) in [
        ("new user", "NO", "84.208.20.1", Profile::default()),
        ("known user at home", "NO", "84.208.20.1", known.clone()),
        ("known user in another country", "JP", "126.1.1.1", known),
    ] {
        let measured = evidence(country, ip, &profile);
        let allocations = allocation_counter::measure(|| drop(black_box(evaluator.evaluate(measured)))).count_total;
        println!("{name}: {allocations} allocations");
        criterion.bench_function(&format!("evaluate/{name}"), |bench| {
            bench.iter_batched(|| evidence(country, ip, &profile), |evidence| evaluator.evaluate(black_box(evidence)), BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, evaluate);
criterion_main!(benches);
