//! Signals, from a sign-in through the store to a later verdict: each learned reason fires, and only then.

use riskgate_config::Config;
use riskgate_engine::{
    client_ip::ClientIp,
    decision::{Rule, Verdict},
    score::reason::ReasonCode,
};
use riskgate_event::{http, response::Assessment};
use riskgate_history::repository::outcome::ReportedOutcome;
use riskgate_pipeline::{learn, risk_engine::RiskEngine};
use riskgate_runtime::clock;
use serde_json::{Value, json};

use crate::harness;

const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
const OLDER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";
const MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";

/// Ada at home, with what differs.
fn ada(time: &str, differs: Value) -> Value {
    let mut body = json!({"user": "ada", "client": "app", "ip": "84.208.20.1", "country": "NO", "asn": 41164, "userAgent": WINDOWS, "timezone": "Europe/Oslo", "time": time});
    for (name, value) in differs.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn assess(engine: &RiskEngine, body: &Value) -> Assessment {
    // The system's clock moves with the test: lists that are read every ten seconds are read again.
    let now = clock::at(body["time"].as_str().unwrap().parse().unwrap());
    let sign_in = http::parse(body.to_string().as_bytes(), ClientIp::Missing, now).unwrap();
    engine.assess(sign_in, engine.deadline(now.mono, None)).await
}

/// Signs in and reports the outcome.
async fn sign_in(engine: &RiskEngine, body: &Value, report: ReportedOutcome) {
    let assessment = assess(engine, body).await;
    let sign_in = &assessment.decision.score.signals.evidence.sign_in;
    learn::record_outcome(engine.enricher(), &assessment.id, report, sign_in.at, sign_in.received).await.unwrap();
}

/// An engine that knows Ada: every morning at nine, for ten days, on the given device.
async fn acquainted(device: Value) -> RiskEngine {
    let engine = harness::engine(&Config::defaults());
    for day in 1..=10 {
        sign_in(&engine, &ada(&format!("2026-03-{day:02}T08:00:00Z"), device.clone()), ReportedOutcome::Success).await;
    }
    engine
}

#[track_caller]
fn has(assessment: &Assessment, code: ReasonCode, says: &str) {
    let reasons: Vec<String> = assessment.decision.score.reasons.iter().map(|r| format!("{} {:+.2}", r.code.as_label(), r.weight)).collect();
    let found = assessment.decision.score.reasons.iter().find(|reason| reason.code == code).map(|reason| reason.weight);
    let holds = match says {
        "for" => found.is_some_and(|weight| weight < 0.0),
        "against" => found.is_some_and(|weight| weight > 0.0),
        "nothing" => found.is_none(),
        other => panic!("{other}"),
    };
    assert!(holds, "{} does not speak {says}: {}", code.as_label(), reasons.join(", "));
}

#[tokio::test]
async fn familiar_values_lower_the_score_after_two_days() {
    let engine = harness::engine(&Config::defaults());
    let home = |time: &str| ada(time, json!({}));
    sign_in(&engine, &home("2026-03-01T08:00:00Z"), ReportedOutcome::Success).await;
    sign_in(&engine, &home("2026-03-01T09:00:00Z"), ReportedOutcome::Success).await;
    let same_day = assess(&engine, &home("2026-03-01T10:00:00Z")).await;
    assert!(same_day.decision.score.reasons.iter().all(|reason| reason.weight >= 0.0), "{:?}", same_day.decision.score.reasons);
    let engine = acquainted(json!({})).await;
    let later = assess(&engine, &home("2026-03-11T08:00:00Z")).await;
    for code in [ReasonCode::KnownIp, ReasonCode::KnownNetwork] {
        has(&later, code, "for");
    }
    has(&later, ReasonCode::ColdStart, "nothing");
    assert!(later.decision.score.log_odds < same_day.decision.score.log_odds);
}

#[tokio::test]
async fn each_new_thing_has_its_reason() {
    let day = "2026-03-11T08:00:00Z";
    for (differs, code) in [
        (json!({"ip": "84.208.20.77"}), ReasonCode::NewIp),
        (json!({"ip": "84.208.99.1"}), ReasonCode::NewNetwork),
        (json!({"ip": "77.16.5.5", "asn": 2119, "userAgent": PHONE}), ReasonCode::NewAsn),
        (json!({"ip": "81.225.1.1", "country": "SE", "asn": 3301, "userAgent": PHONE}), ReasonCode::NewCountry),
        (json!({"userAgent": OLDER, "ip": "81.225.1.1", "country": "SE", "asn": 3301}), ReasonCode::NewUserAgent),
        (json!({"userAgent": FIREFOX, "ip": "81.225.1.1", "country": "SE", "asn": 3301}), ReasonCode::NewBrowser),
        (json!({"userAgent": MAC, "ip": "81.225.1.1", "country": "SE", "asn": 3301}), ReasonCode::NewOs),
        (json!({"userAgent": PHONE, "ip": "81.225.1.1", "country": "SE", "asn": 3301}), ReasonCode::NewDeviceType),
        (json!({"userAgent": "python-requests/2.32"}), ReasonCode::Automation),
        (json!({"timezone": "America/New_York"}), ReasonCode::TimezoneMismatch),
        (
            json!({"time": "2026-03-11T02:00:00Z", "ip": "81.225.1.1", "country": "SE", "asn": 3301, "userAgent": PHONE, "timezone": "Europe/Stockholm"}),
            ReasonCode::UnusualHour,
        ),
        (json!({"time": "2026-07-20T08:00:00Z"}), ReasonCode::DormantAccount),
    ] {
        let engine = acquainted(json!({})).await;
        let at_home = assess(&engine, &ada(day, json!({}))).await;
        has(&at_home, code, "nothing");
        let engine = acquainted(json!({})).await;
        has(&assess(&engine, &ada(day, differs)).await, code, "against");
    }
}

#[tokio::test]
async fn device_ids_are_distinguished() {
    let engine = acquainted(json!({"deviceId": "one"})).await;
    has(&assess(&engine, &ada("2026-03-11T08:00:00Z", json!({"deviceId": "one"}))).await, ReasonCode::KnownDevice, "for");
    has(&assess(&engine, &ada("2026-03-11T08:01:00Z", json!({"deviceId": "two"}))).await, ReasonCode::NewDevice, "against");
}

#[tokio::test]
async fn a_new_address_within_the_hour_is_a_reason() {
    let engine = acquainted(json!({})).await;
    has(&assess(&engine, &ada("2026-03-10T08:20:00Z", json!({"ip": "84.208.20.77"}))).await, ReasonCode::NewIpSoon, "against");
}

#[tokio::test]
async fn impossible_travel_fires() {
    let engine = acquainted(json!({})).await;
    let japan = json!({"ip": "126.1.1.1", "country": "JP", "asn": 17676});
    let soon = assess(&engine, &ada("2026-03-10T09:00:00Z", japan.clone())).await;
    has(&soon, ReasonCode::ImpossibleTravel, "against");
    has(&soon, ReasonCode::NewCountry, "nothing");
    let engine = acquainted(json!({})).await;
    let later = assess(&engine, &ada("2026-03-12T09:00:00Z", japan)).await;
    has(&later, ReasonCode::ImpossibleTravel, "nothing");
    let engine = acquainted(json!({})).await;
    let on_a_new_phone = json!({"ip": "126.1.1.1", "country": "JP", "asn": 17676, "userAgent": PHONE, "timezone": "Asia/Tokyo"});
    has(&assess(&engine, &ada("2026-03-12T09:00:00Z", on_a_new_phone)).await, ReasonCode::NewCountry, "against");
}

#[tokio::test]
async fn failures_of_the_account_count_and_never_deny_by_themselves() {
    let engine = acquainted(json!({})).await;
    for second in 0..20 {
        let stranger = json!({"ip": format!("5.5.{second}.5"), "country": "RU", "asn": 12389, "userAgent": FIREFOX});
        sign_in(&engine, &ada(&format!("2026-03-11T08:00:{second:02}Z"), stranger), ReportedOutcome::Failure).await;
    }
    let owner = assess(&engine, &ada("2026-03-11T08:01:00Z", json!({}))).await;
    has(&owner, ReasonCode::AccountFailures, "against");
    assert!(owner.decision.score.value < 50.0, "{}", owner.decision.score.value);
    // Nothing that failed is known afterwards.
    let attacker = assess(&engine, &ada("2026-03-11T09:00:00Z", json!({"ip": "5.5.1.5", "country": "RU", "asn": 12389}))).await;
    has(&attacker, ReasonCode::KnownIp, "nothing");
}

#[tokio::test]
async fn many_accounts_from_one_address_are_counted() {
    let engine = harness::engine(&Config::defaults());
    let at = |user: usize| json!({"user": format!("user{user}"), "ip": "81.225.1.1", "country": "SE", "asn": 3301, "time": "2026-03-11T08:00:00Z"});
    has(&assess(&engine, &at(0)).await, ReasonCode::IpVelocity, "nothing");
    for user in 1..20 {
        assess(&engine, &at(user)).await;
    }
    has(&assess(&engine, &at(20)).await, ReasonCode::IpVelocity, "against");
}

#[tokio::test]
async fn a_concurrent_sign_in_far_away_is_detected() {
    let engine = acquainted(json!({})).await;
    assess(&engine, &ada("2026-03-11T08:00:00Z", json!({}))).await;
    let japan = assess(&engine, &ada("2026-03-11T08:05:00Z", json!({"ip": "126.1.1.1", "country": "JP", "asn": 17676}))).await;
    has(&japan, ReasonCode::ImpossibleTravel, "against");
}

#[tokio::test]
async fn a_known_device_offsets_neither_tor_nor_an_impossible_journey() {
    let japan = json!({"deviceId": "one", "ip": "126.1.1.1", "country": "JP", "asn": 17676, "timezone": "Asia/Tokyo"});
    let tor = json!({"deviceId": "one", "ip": "185.220.101.1", "country": "DE", "asn": 60729});
    for (differs, reason) in [(tor, "tor"), (japan.clone(), "impossible_travel")] {
        let engine = acquainted(json!({"deviceId": "one"})).await;
        let decision = assess(&engine, &ada("2026-03-10T10:00:00Z", differs)).await.decision;
        let is_explained = decision.score.value >= 50.0 || (decision.rule, decision.list_entry().as_deref()) == (Rule::ReviewFloor, Some(reason));
        assert!(decision.verdict != Verdict::Allow && is_explained, "{reason}: {decision:?}");
    }
    let engine = acquainted(json!({"deviceId": "one"})).await;
    let later = assess(&engine, &ada("2026-03-14T10:00:00Z", japan)).await.decision;
    assert_ne!(later.rule, Rule::ReviewFloor, "a journey that an airliner makes");
}
