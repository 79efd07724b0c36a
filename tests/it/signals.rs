//! Signals, from a sign-in through the store to a later verdict: each learned reason fires, and only then.

use std::sync::Arc;

use riskgate::{
    assess::{Gate, Judge},
    config::Config,
    event::{ClientIp, Now, http},
    evidence::{
        Face, Sources,
        history::{ledger::Report, memory::Memory},
    },
    learn,
    response::Assessment,
    score::{Model, ReasonCode},
};
use serde_json::{Value, json};

const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
const NEWER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";
const MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15";
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";

fn gate() -> Gate {
    let config = Config::defaults();
    let (sources, faults) = Sources::open(&config, Face::Sidecar);
    assert!(faults.is_empty());
    let sources = sources.with_store(&config, Arc::new(Memory::default()));
    Gate::new(&config, sources, Judge::new(&config, Model::bundled(&config.history)))
}

/// Ada at home, with what differs.
fn ada(time: &str, differs: Value) -> Value {
    let mut body = json!({"user": "ada", "client": "app", "ip": "84.208.20.1", "country": "NO", "asn": 41164, "userAgent": WINDOWS, "timezone": "Europe/Oslo", "time": time});
    for (name, value) in differs.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn assess(gate: &Gate, body: &Value) -> Assessment {
    // The system's clock moves with the story, so that lists that are read every ten seconds are read again.
    let now = Now::at(body["time"].as_str().unwrap().parse().unwrap());
    let sign_in = http::parse(body.to_string().as_bytes(), ClientIp::Missing, now).unwrap();
    gate.assess(sign_in, gate.deadline(now.mono, None)).await
}

/// Signs in, and tells how it ended.
async fn sign_in(gate: &Gate, body: &Value, report: Report) {
    let assessment = assess(gate, body).await;
    let sign_in = &assessment.decision.score.signals.evidence.sign_in;
    learn::outcome(gate.sources(), &assessment.id, report, sign_in.at, sign_in.received).await.unwrap();
}

/// A gate that knows Ada: every morning at nine, ten days long, on the given device.
async fn acquainted(device: Value) -> Gate {
    let gate = gate();
    for day in 1..=10 {
        sign_in(&gate, &ada(&format!("2026-03-{day:02}T08:00:00Z"), device.clone()), Report::Success).await;
    }
    gate
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
async fn what_is_familiar_speaks_for_the_person_after_two_days() {
    let gate = gate();
    let home = |time: &str| ada(time, json!({}));
    sign_in(&gate, &home("2026-03-01T08:00:00Z"), Report::Success).await;
    sign_in(&gate, &home("2026-03-01T09:00:00Z"), Report::Success).await;
    let same_day = assess(&gate, &home("2026-03-01T10:00:00Z")).await;
    assert!(same_day.decision.score.reasons.iter().all(|reason| reason.weight >= 0.0), "{:?}", same_day.decision.score.reasons);
    let gate = acquainted(json!({})).await;
    let later = assess(&gate, &home("2026-03-11T08:00:00Z")).await;
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
        (json!({"userAgent": NEWER, "ip": "81.225.1.1", "country": "SE", "asn": 3301}), ReasonCode::NewUserAgent),
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
        let gate = acquainted(json!({})).await;
        let at_home = assess(&gate, &ada(day, json!({}))).await;
        has(&at_home, code, "nothing");
        let gate = acquainted(json!({})).await;
        has(&assess(&gate, &ada(day, differs)).await, code, "against");
    }
}

#[tokio::test]
async fn a_device_id_is_told_from_another() {
    let gate = acquainted(json!({"deviceId": "one"})).await;
    has(&assess(&gate, &ada("2026-03-11T08:00:00Z", json!({"deviceId": "one"}))).await, ReasonCode::KnownDevice, "for");
    has(&assess(&gate, &ada("2026-03-11T08:01:00Z", json!({"deviceId": "two"}))).await, ReasonCode::NewDevice, "against");
}

#[tokio::test]
async fn a_new_address_within_the_hour_is_odd() {
    let gate = acquainted(json!({})).await;
    has(&assess(&gate, &ada("2026-03-10T08:20:00Z", json!({"ip": "84.208.20.77"}))).await, ReasonCode::NewIpSoon, "against");
}

#[tokio::test]
async fn nobody_flies_that_fast() {
    let gate = acquainted(json!({})).await;
    let japan = json!({"ip": "126.1.1.1", "country": "JP", "asn": 17676});
    let soon = assess(&gate, &ada("2026-03-10T09:00:00Z", japan.clone())).await;
    has(&soon, ReasonCode::ImpossibleTravel, "against");
    has(&soon, ReasonCode::NewCountry, "nothing");
    let gate = acquainted(json!({})).await;
    let later = assess(&gate, &ada("2026-03-12T09:00:00Z", japan)).await;
    has(&later, ReasonCode::ImpossibleTravel, "nothing");
    let gate = acquainted(json!({})).await;
    let on_a_new_phone = json!({"ip": "126.1.1.1", "country": "JP", "asn": 17676, "userAgent": PHONE, "timezone": "Asia/Tokyo"});
    has(&assess(&gate, &ada("2026-03-12T09:00:00Z", on_a_new_phone)).await, ReasonCode::NewCountry, "against");
}

#[tokio::test]
async fn failures_of_the_account_count_and_never_deny_by_themselves() {
    let gate = acquainted(json!({})).await;
    for second in 0..20 {
        let stranger = json!({"ip": format!("5.5.{second}.5"), "country": "RU", "asn": 12389, "userAgent": FIREFOX});
        sign_in(&gate, &ada(&format!("2026-03-11T08:00:{second:02}Z"), stranger), Report::Failure).await;
    }
    let owner = assess(&gate, &ada("2026-03-11T08:01:00Z", json!({}))).await;
    has(&owner, ReasonCode::AccountFailures, "against");
    assert!(owner.decision.score.value < 50.0, "{}", owner.decision.score.value);
    // Nothing that failed is known afterwards.
    let thief = assess(&gate, &ada("2026-03-11T09:00:00Z", json!({"ip": "5.5.1.5", "country": "RU", "asn": 12389}))).await;
    has(&thief, ReasonCode::KnownIp, "nothing");
}

#[tokio::test]
async fn many_accounts_from_one_address_are_counted() {
    let gate = gate();
    let at = |user: usize| json!({"user": format!("user{user}"), "ip": "81.225.1.1", "country": "SE", "asn": 3301, "time": "2026-03-11T08:00:00Z"});
    has(&assess(&gate, &at(0)).await, ReasonCode::IpVelocity, "nothing");
    for user in 1..20 {
        assess(&gate, &at(user)).await;
    }
    has(&assess(&gate, &at(20)).await, ReasonCode::IpVelocity, "against");
}

#[tokio::test]
async fn somebody_else_far_away_at_the_same_time_is_seen() {
    let gate = acquainted(json!({})).await;
    assess(&gate, &ada("2026-03-11T08:00:00Z", json!({}))).await;
    let japan = assess(&gate, &ada("2026-03-11T08:05:00Z", json!({"ip": "126.1.1.1", "country": "JP", "asn": 17676}))).await;
    has(&japan, ReasonCode::ImpossibleTravel, "against");
}
