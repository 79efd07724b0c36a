//! A caller may state when a sign-in happened. What it states decides how the sign-in looks, and never a quota, an expiry or how long something is stored.

use jiff::{SignedDuration, Timestamp};
use riskgate_config::Config;
use riskgate_engine::{client_ip::ClientIp, profile::Profile, service::Service, time::EventTime};
use riskgate_event::{http, response::Assessment};
use riskgate_history::repository::{learning::Learned, outcome::ReportedOutcome};
use riskgate_pipeline::{learn, risk_engine::RiskEngine};
use riskgate_runtime::clock;
use riskgate_runtime::mode::RuntimeMode;

use crate::{
    fixtures::history,
    harness::{self, TestEnricher},
    wire::Server,
};

fn shifted(hours: i64) -> Timestamp {
    clock::read().wall + SignedDuration::from_hours(hours)
}

/// An attempt whose caller states a time, so many hours from now.
async fn attempt(engine: &RiskEngine, hours: i64) -> Assessment {
    let body = format!(r#"{{"user":"ada","ip":"84.208.20.1","country":"NO","asn":41164,"deviceId":"laptop","time":"{}"}}"#, shifted(hours));
    let sign_in = http::parse(body.as_bytes(), ClientIp::Missing, clock::read()).unwrap();
    let deadline = engine.deadline(sign_in.received.mono, None);
    engine.assess(sign_in, deadline).await
}

async fn report(engine: &RiskEngine, id: &str, report: ReportedOutcome, hours: i64) -> Option<Learned> {
    learn::record_outcome(engine.enricher(), id, report, EventTime::new(shifted(hours)), clock::read()).await.unwrap()
}

/// An engine that knows Ada from three days.
async fn engine_with_history() -> RiskEngine {
    let engine = harness::engine(&Config::defaults());
    for hours in [-72, -48, -24] {
        let assessment = attempt(&engine, hours).await;
        assert_eq!(report(&engine, &assessment.id, ReportedOutcome::Success, hours).await, Some(Learned::ProfileUpdated));
    }
    engine
}

fn profile(assessment: &Assessment) -> &Profile {
    &history(assessment).profile
}

#[tokio::test]
async fn alternating_dates_do_not_reset_a_daily_limit() {
    let server = Server::json(r#"{"score":1}"#).await;
    let url = server.origin();
    let enricher = TestEnricher::new(RuntimeMode::Sidecar, &[("PROVIDERS", "http"), ("HTTP_URL", &url), ("HTTP_DAILY_LIMIT", "5")]);
    for n in 0..30 {
        enricher.ask_at(&format!("8.8.8.{n}"), if n % 2 == 0 { "2026-01-01T07:30:00Z" } else { "2026-01-02T07:30:00Z" }).await;
    }
    assert!(server.count() <= 5 && enricher.calls(Service::Http) <= 5, "{} calls", server.count());
}

#[tokio::test]
async fn a_time_in_the_far_future_forgets_nothing() {
    let engine = engine_with_history().await;
    let known = profile(&attempt(&engine, 0).await).clone();
    for hours in [24 * 365, 24 * 365 * 50, -24 * 365 * 20] {
        let odd = attempt(&engine, hours).await;
        assert_eq!(profile(&odd).successes, 3, "{hours} hours away, while it is assessed");
        let assessment = attempt(&engine, 0).await;
        assert_eq!((profile(&assessment).successes, &profile(&assessment).entries), (3, &known.entries), "after a sign-in {hours} hours away");
    }
}

#[tokio::test]
async fn a_success_dated_ahead_erases_no_profile() {
    let engine = engine_with_history().await;
    let ahead = attempt(&engine, 24 * 365).await;
    assert_eq!(report(&engine, &ahead.id, ReportedOutcome::Success, 24 * 365).await, Some(Learned::ProfileUpdated));
    let later = attempt(&engine, 0).await;
    assert_eq!(profile(&later).successes, 4);
    assert!(profile(&later).last.expect("a last success").at <= clock::read().wall, "nothing happens after it is reported");
    assert!(profile(&later).entries.iter().all(|entry| entry.count >= 3), "{:?}", profile(&later).entries);
}

#[tokio::test]
async fn an_outcome_with_a_future_time_is_accepted_by_its_id() {
    let engine = harness::engine(&Config::defaults());
    let assessment = attempt(&engine, 0).await;
    assert_eq!(report(&engine, &assessment.id, ReportedOutcome::Success, 24 * 3650).await, Some(Learned::ProfileUpdated));
    assert_eq!(profile(&attempt(&engine, 0).await).successes, 1);
}
