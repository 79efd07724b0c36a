//! The model: exact services, sums that hold, claims that cannot help an attacker, order between sign-ins.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use riskgate_config::Config;
use riskgate_engine::{
    client_ip::ClientIp,
    context::Trust,
    decision::Decision,
    evaluator::Evaluator,
    evidence::{
        Answer, Evidence, ProviderResult, Risk,
        history::{AttackWave, Velocity},
    },
    network_facts::{Location, NetworkFacts, NetworkKind},
    profile::SignInLocation,
    score::{model::Model, reason::ReasonCode},
    service::Service,
    settings::PerClient,
    sign_in::SignIn,
    time::ClockReading,
};
use riskgate_event::http;
use riskgate_network::local_time;
use serde_json::json;
use smallvec::{SmallVec, smallvec};

use crate::fixtures::{self, HOME, at, claims, pre, reasons};

const NOON: &str = "2026-11-21T12:00:00Z";

fn evaluator() -> Evaluator {
    evaluator_of(Config::defaults())
}

fn evaluator_of(config: Config) -> Evaluator {
    Evaluator::new(&config.decision, Model::bundled(config.history.model_config()))
}

fn sign_in(body: &str, trust: Trust) -> SignIn {
    let now = ClockReading { wall: NOON.parse().unwrap(), mono: tokio::time::Instant::now().into_std() };
    let mut sign_in = http::parse(body.as_bytes(), ClientIp::Missing, now).expect("a sign-in");
    sign_in.context.trust = trust;
    sign_in
}

fn evidence(sign_in: SignIn) -> Box<Evidence> {
    let local_time = local_time::read(&sign_in, &NetworkFacts::default());
    Box::new(Evidence { local_time, ..Evidence::of(sign_in) })
}

fn answered(score: f64, weight: f64) -> ProviderResult {
    ProviderResult { weight, ..ProviderResult::fresh(Service::Http, Answer::new(Risk::Score(score), SmallVec::new())) }
}

fn sums_up(decision: &Decision) {
    let score = &decision.score;
    let sum: f64 = score.reasons.iter().map(|reason| reason.weight).sum();
    assert!((score.base + sum - score.log_odds).abs() < 1e-4, "{} + {sum} is not {}", score.base, score.log_odds);
    let weight = |is_other: bool| score.reasons.iter().filter(move |r| r.weight != 0.0 && (r.code == ReasonCode::Other) == is_other).map(|r| r.weight.abs());
    let least = weight(false).fold(f64::INFINITY, f64::min);
    assert!(weight(true).all(|other| other <= least), "{:?}", score.reasons);
}

#[test]
fn a_service_alone_gives_its_own_score() {
    let evaluator = evaluator();
    for score in 0..=100 {
        let mut evidence = evidence(sign_in(r#"{"user":"a","ip":"8.8.8.8"}"#, Trust::Trusted));
        evidence.services = smallvec![answered(f64::from(score), 1.0)];
        let decision = evaluator.evaluate(evidence);
        assert_eq!(decision.score.value, f64::from(score));
        sums_up(&decision);
    }
}

#[test]
fn only_the_strongest_term_about_a_network_counts() {
    let evaluator = evaluator();
    let score = |services: &[f64], kind: NetworkKind| {
        let mut evidence = evidence(sign_in(r#"{"user":"a","ip":"8.8.8.8"}"#, Trust::Trusted));
        evidence.services = services.iter().map(|score| answered(*score, 1.0)).collect();
        evidence.networks.kind = kind;
        evaluator.evaluate(evidence).score.value
    };
    let hosting = NetworkKind { hosting: true, ..NetworkKind::default() };
    assert_eq!(score(&[95.0, 60.0], NetworkKind::default()), 95.0);
    assert_eq!(score(&[95.0], hosting), 95.0);
    assert!(score(&[1.0], hosting) > score(&[1.0], NetworkKind::default()));
}

#[test]
fn annotations_have_no_weight_and_are_listed() {
    let evaluator = evaluator();
    let codes = |body: &str, trust| evaluator.evaluate(evidence(sign_in(body, trust))).score.reasons.iter().map(|r| r.code).collect::<Vec<_>>();
    assert_eq!(codes(r#"{"user":"a"}"#, Trust::None), [ReasonCode::ColdStart, ReasonCode::NoContext]);
    let unsigned = codes(r#"{"user":"a","ip":"10.0.0.1","userAgent":"Mozilla/5.0 (Windows NT 10.0)"}"#, Trust::Unsigned);
    assert_eq!(unsigned, [ReasonCode::ColdStart, ReasonCode::NoIp, ReasonCode::UnsignedContext]);
}

#[test]
fn attackers_cannot_get_a_user_denied() {
    let mut challenging = Config::defaults();
    challenging.decision.challenge_at = PerClient::all(Some(52.0));
    let evaluators = [(evaluator(), 65.0), (evaluator_of(challenging), 52.0)];
    let elsewhere = |seconds: i64| SignInLocation {
        at: NOON.parse::<Timestamp>().unwrap() - SignedDuration::from_secs(seconds),
        location: Some(Location { latitude: 21.0, longitude: 105.5, radius_km: 10.0 }),
        anonymous: false,
    };
    for (body, trust) in [(r#"{"user":"a"}"#, Trust::None), (r#"{"user":"a","ip":"8.8.8.8"}"#, Trust::Trusted)] {
        // Who fails on purpose, who is let on far away at the same time, and who does both.
        for (account_failures, concurrent) in [(100_000, vec![]), (0, vec![elsewhere(60)]), (100_000, vec![elsewhere(60), elsewhere(1)])] {
            for (evaluator, limit) in &evaluators {
                let mut evidence = evidence(sign_in(body, trust));
                evidence.networks.location = Some(Location { latitude: 60.0, longitude: 10.5, radius_km: 10.0 });
                evidence.history.velocity = Velocity { account_failures, ..Velocity::default() };
                evidence.history.concurrent.clone_from(&concurrent);
                let decision = evaluator.evaluate(evidence);
                assert!(decision.score.value < *limit && decision.score.value > 20.0, "{} {:?}", decision.score.value, decision.score.reasons);
            }
        }
    }
}

#[test]
fn an_attack_on_the_pool_alone_stops_nobody() {
    let mut challenging = Config::defaults();
    challenging.decision.challenge_at = PerClient::all(Some(52.0));
    let wave = |ln_ratio| Some(AttackWave { ln_ratio, cells: "AS64500".into() });
    for (evaluator, limit) in [(evaluator(), 65.0), (evaluator_of(challenging), 52.0)] {
        for (body, trust) in
            [(r#"{"user":"a"}"#, Trust::None), (r#"{"user":"a","ip":"8.8.8.8"}"#, Trust::Trusted), (r#"{"user":"a","ip":"8.8.8.8"}"#, Trust::Unsigned)]
        {
            let score_with = |wave, account_failures| {
                let mut evidence = evidence(sign_in(body, trust));
                evidence.history.attack_wave = wave;
                evidence.history.velocity = Velocity { account_failures, ..Velocity::default() };
                let decision = evaluator.evaluate(evidence);
                sums_up(&decision);
                decision.score
            };
            let (without, with) = (score_with(None, 0), score_with(wave(100.0), 0));
            assert!(with.value > without.value && with.value < limit, "{} and {}", without.value, with.value);
            assert!(with.reasons.iter().any(|reason| reason.code == ReasonCode::AttackWave && reason.detail.as_deref() == Some("AS64500")));
            // Nor together with failures that the attacker causes.
            assert!(score_with(wave(100.0), 100_000).value < limit);
            assert!(score_with(wave(-5.0), 0).value <= without.value, "a negative ratio does not count");
        }
    }
}

proptest! {
    #[test]
    fn reasons_and_base_add_up(failures in 0_u32..1000, score in 0.0..100.0_f64, weight in 0.0..4.0_f64, hosting: bool, tor: bool, ua in "\\PC{0,40}") {
        let body = serde_json::json!({"user": "a", "ip": "8.8.8.8", "userAgent": ua, "timezone": "Asia/Tokyo"}).to_string();
        let mut evidence = evidence(sign_in(&body, Trust::Trusted));
        evidence.history.velocity = Velocity { account_failures: failures, accounts_per_ip: failures, accounts_per_network: 2 };
        evidence.networks.kind = NetworkKind { hosting, tor, ..NetworkKind::default() };
        evidence.services = smallvec![answered(score, weight)];
        sums_up(&evaluator().evaluate(evidence));
    }

    #[test]
    fn unsigned_claims_never_lower_the_score(failures in 0_u32..50, score in 0.0..100.0_f64, hosting: bool) {
        let evaluator = evaluator();
        let velocity = Velocity { account_failures: failures, ..Velocity::default() };
        let mut without = evidence(sign_in(r#"{"user":"a"}"#, Trust::None));
        without.history.velocity = velocity;
        let mut with = evidence(sign_in(r#"{"user":"a","ip":"8.8.8.8","timezone":"Asia/Tokyo"}"#, Trust::Unsigned));
        with.history.velocity = velocity;
        with.networks.kind.hosting = hosting;
        with.services = smallvec![answered(score, 1.0)];
        prop_assert!(evaluator.evaluate(with).score.value >= evaluator.evaluate(without).score.value);
    }
}

/// All that an attacker has to say is what the owner's device would: it helps him as little as silence.
#[tokio::test]
async fn unsigned_familiar_claims_do_not_lower_the_score() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[]);
    engine.sign_in_daily("ada", 10).await;
    let owner = engine.attempt("ada", HOME, at(10, "07:00:00")).await;
    assert!(owner.decision.score.reasons.iter().any(|reason| reason.weight < 0.0), "{:?}", reasons(&owner));
    let attacker = engine.attempt_by(pre("ada", "app", claims(HOME)), at(11, "07:00:00")).await;
    let silent = engine.attempt_by(pre("ada", "app", json!({})), at(12, "07:00:00")).await;
    assert!(attacker.decision.score.reasons.iter().all(|reason| reason.weight >= 0.0), "{:?}", attacker.decision.score.reasons);
    assert!(attacker.decision.score.value >= silent.decision.score.value, "{} {}", attacker.decision.score.value, silent.decision.score.value);
}

/// What of a sign-in can be riskier.
fn risky(failures: u32, accounts: u32, score: f64, (hosting, tor): (bool, bool)) -> Box<Evidence> {
    let mut evidence = evidence(sign_in(r#"{"user":"a","ip":"8.8.8.8"}"#, Trust::Trusted));
    evidence.history.velocity = Velocity { account_failures: failures, accounts_per_ip: accounts, accounts_per_network: accounts };
    evidence.networks.kind = NetworkKind { hosting, tor, ..NetworkKind::default() };
    evidence.services = smallvec![answered(score, 1.0)];
    evidence
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn more_risk_is_never_a_lower_score(
        failures in (0_u32..100, 0_u32..100), accounts in (0_u32..100, 0_u32..100), score in (0.0..100.0_f64, 0.0..100.0_f64), hosting: bool, tor: bool, more: bool
    ) {
        static JUDGE: std::sync::LazyLock<Evaluator> = std::sync::LazyLock::new(evaluator);
        let low = risky(failures.0.min(failures.1), accounts.0.min(accounts.1), score.0.min(score.1), (hosting, tor));
        let high = risky(failures.0.max(failures.1), accounts.0.max(accounts.1), score.0.max(score.1), (hosting || more, tor || more));
        let (low, high) = (JUDGE.evaluate(low).score, JUDGE.evaluate(high).score);
        prop_assert!(high.value >= low.value && high.log_odds >= low.log_odds - 1e-9, "{} then {}", low.log_odds, high.log_odds);
    }
}
