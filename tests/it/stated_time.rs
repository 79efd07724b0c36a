//! A caller may state when a sign-in happened. What it states decides how the sign-in looks, and never a quota, an expiry or how long something is stored.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use riskgate::{
    assess::{Gate, Judge},
    config::{Config, services::Service},
    event::{ClientIp, Now, http, now::EventTime},
    evidence::{
        Face, Sources,
        history::{
            Profile,
            ledger::{Learned, Report},
            memory::Memory,
        },
    },
    learn,
    response::Assessment,
    score::Model,
};

use crate::{asking::Asking, stores::history, wire::Server};

fn gate() -> Gate {
    let config = Config::defaults();
    let (sources, faults) = Sources::open(&config, Face::Sidecar);
    assert!(faults.is_empty());
    let sources = sources.with_store(&config, Arc::new(Memory::default()));
    Gate::new(&config, sources, Judge::new(&config, Model::bundled(&config.history)))
}

fn shifted(hours: i64) -> Timestamp {
    Now::read().wall + SignedDuration::from_hours(hours)
}

/// An attempt whose caller states a time, so many hours from now.
async fn attempt(gate: &Gate, hours: i64) -> Assessment {
    let body = format!(r#"{{"user":"ada","ip":"84.208.20.1","country":"NO","asn":41164,"deviceId":"laptop","time":"{}"}}"#, shifted(hours));
    let sign_in = http::parse(body.as_bytes(), ClientIp::Missing, Now::read()).unwrap();
    let deadline = gate.deadline(sign_in.received.mono, None);
    gate.assess(sign_in, deadline).await
}

async fn report(gate: &Gate, id: &str, report: Report, hours: i64) -> Option<Learned> {
    learn::outcome(gate.sources(), id, report, EventTime::new(shifted(hours)), Now::read()).await.unwrap()
}

/// A gate that knows Ada from three days.
async fn knowing_ada() -> Gate {
    let gate = gate();
    for hours in [-72, -48, -24] {
        let assessment = attempt(&gate, hours).await;
        assert_eq!(report(&gate, &assessment.id, Report::Success, hours).await, Some(Learned::Promoted));
    }
    gate
}

fn profile(assessment: &Assessment) -> &Profile {
    &history(assessment).profile
}

#[tokio::test]
async fn alternating_dates_do_not_reset_a_daily_limit() {
    let server = Server::json(r#"{"score":1}"#).await;
    let url = server.origin();
    let asking = Asking::new(Face::Sidecar, &[("PROVIDERS", "http"), ("HTTP_URL", &url), ("HTTP_DAILY_LIMIT", "5")]);
    for n in 0..30 {
        asking.ask_at(&format!("8.8.8.{n}"), if n % 2 == 0 { "2026-01-01T07:30:00Z" } else { "2026-01-02T07:30:00Z" }).await;
    }
    assert!(server.count() <= 5 && asking.calls(Service::Http) <= 5, "{} calls", server.count());
}

#[tokio::test]
async fn a_time_in_the_far_future_forgets_nothing() {
    let gate = knowing_ada().await;
    let known = profile(&attempt(&gate, 0).await).clone();
    for hours in [24 * 365, 24 * 365 * 50, -24 * 365 * 20] {
        let odd = attempt(&gate, hours).await;
        assert_eq!(profile(&odd).successes, 3, "{hours} hours away, while it is assessed");
        let assessment = attempt(&gate, 0).await;
        assert_eq!((profile(&assessment).successes, &profile(&assessment).entries), (3, &known.entries), "after a sign-in {hours} hours away");
    }
}

#[tokio::test]
async fn a_success_dated_ahead_erases_no_profile() {
    let gate = knowing_ada().await;
    let ahead = attempt(&gate, 24 * 365).await;
    assert_eq!(report(&gate, &ahead.id, Report::Success, 24 * 365).await, Some(Learned::Promoted));
    let later = attempt(&gate, 0).await;
    assert_eq!(profile(&later).successes, 4);
    assert!(profile(&later).last.expect("a last success").at <= Now::read().wall, "nothing happens after it is reported");
    assert!(profile(&later).entries.iter().all(|entry| entry.count >= 3), "{:?}", profile(&later).entries);
}

#[tokio::test]
async fn an_outcome_dated_ahead_is_taken_for_its_id() {
    let gate = gate();
    let assessment = attempt(&gate, 0).await;
    assert_eq!(report(&gate, &assessment.id, Report::Success, 24 * 3650).await, Some(Learned::Promoted));
    assert_eq!(profile(&attempt(&gate, 0).await).successes, 1);
}
