//! `POST /v1/outcome`: an outcome is applied once, however often it has to be sent.

use std::sync::Arc;

use jiff::Timestamp;
use riskgate_engine::{client_ip::ClientIp, evidence::FailureReason};
use riskgate_event::{http, response::Assessment};
use riskgate_history::repository::{learning::Learned, outcome::ReportedOutcome};
use riskgate_pipeline::learn;
use riskgate_runtime::clock;
use riskgate_store::Store;
use serde_json::json;

use crate::{
    fixtures::{self, HOME, KEY, TestEngine, at, history},
    interrupted::{Fault, Interrupted},
};

/// More calls than an outcome makes.
const CALLS: usize = 12;

/// A sign-in at home over HTTP.
pub async fn assess(engine: &TestEngine, user: &str, at: Timestamp) -> Assessment {
    let body = json!({ "user": user, "ip": HOME.ip, "userAgent": HOME.agent, "deviceId": HOME.device }).to_string();
    engine.assess(http::parse(body.as_bytes(), ClientIp::Missing, clock::at(at)).unwrap()).await
}

/// A report of an assessment.
pub async fn report(engine: &TestEngine, id: &str, report: ReportedOutcome, at: Timestamp) -> Result<Option<Learned>, FailureReason> {
    let received = clock::at(at);
    learn::record_outcome(engine.enricher(), id, report, received.into(), received).await
}

/// How often a value of a person's last sign-in was learned, and from how many successes.
async fn learned(engine: &TestEngine, user: &str, at: Timestamp) -> (u32, Option<u16>) {
    let next = assess(engine, user, at).await;
    let profile = &history(&next).profile;
    (profile.successes, profile.entries.iter().map(|entry| entry.count).max())
}

/// Sends a report while the store fails from a call on, and again if it is not answered. The answer, and whether it was sent again.
pub async fn report_interrupted(
    engine: &TestEngine,
    store: &Interrupted,
    (call, fault): (usize, Fault),
    id: &str,
    outcome: ReportedOutcome,
) -> (Option<Learned>, bool) {
    store.fail_from(call, fault);
    let answer = report(engine, id, outcome, at(0, "07:00:01")).await;
    store.recover();
    match answer {
        Ok(answer) => (answer, false),
        Err(_) => (report(engine, id, outcome, at(0, "07:00:05")).await.expect("the store has recovered"), true),
    }
}

/// The store fails at each call of a report in turn, and the report is sent until it is answered.
async fn interrupt_each_call(store: &Arc<dyn Store>, name: &str, fault: Fault) {
    let flaky = Interrupted::over(store);
    // The second key makes the report follow a record that has moved.
    let both = format!("k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA,{KEY}");
    let (first, second) = (TestEngine::over(store, &[]), TestEngine::over(&(Arc::clone(&flaky) as Arc<dyn Store>), &[("PSEUDONYM_KEY", &both)]));
    let mut interrupted = 0;
    for call in 0..CALLS {
        for (kind, outcome) in [("success", ReportedOutcome::Success), ("not_fraud", ReportedOutcome::NotFraud)] {
            let (user, what) = (format!("{kind}-{fault:?}-{call}"), format!("{name}: {kind}, {fault:?} from call {call} on"));
            let assessment = assess(&first, &user, at(0, "07:00:00")).await;
            let (answer, was_interrupted) = report_interrupted(&second, &flaky, (call, fault), &assessment.id, outcome).await;
            interrupted += usize::from(was_interrupted);
            assert_eq!(answer, Some(Learned::ProfileUpdated), "{what}");
            assert_eq!(report(&second, &assessment.id, outcome, at(0, "07:00:06")).await, Ok(None), "{what}: the id is used up");
            assert_eq!(learned(&second, &user, at(1, "07:00:00")).await, (1, Some(1)), "{what}");
        }
    }
    assert!(interrupted >= 6, "{name}: {interrupted} reports were interrupted");
}

#[tokio::test]
async fn an_outcome_survives_a_store_that_fails_at_any_call() {
    for backend in fixtures::all().await {
        for fault in [Fault::Refused, Fault::AnswerLost] {
            interrupt_each_call(&backend.store, backend.name, fault).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_survives_a_store_that_freezes_at_any_call() {
    interrupt_each_call(&fixtures::memory().store, "memory", Fault::Frozen).await;
}

#[tokio::test]
async fn a_lost_fraud_report_restricts_tokens_when_it_is_sent_again() {
    for backend in fixtures::all().await {
        let flaky = Interrupted::over(&backend.store);
        let engine = TestEngine::over(&(Arc::clone(&flaky) as Arc<dyn Store>), &[]);
        let repository = engine.repository();
        for call in 0..8 {
            let user = format!("user{call}");
            let assessment = assess(&engine, &user, at(0, "07:00:00")).await;
            flaky.fail_from(call, Fault::Refused);
            let answer = report(&engine, &assessment.id, ReportedOutcome::Fraud, at(0, "07:00:01")).await;
            flaky.recover();
            if answer.is_err() {
                assert_eq!(
                    report(&engine, &assessment.id, ReportedOutcome::Fraud, at(0, "07:00:05")).await,
                    Ok(Some(Learned::NotLearnable)),
                    "{}: {call}",
                    backend.name
                );
            }
            let export = repository.export("", &user, at(0, "07:00:06")).await.unwrap();
            assert!(!export["records"][0]["tokens_held_until"].is_null(), "{}: {call}: {export}", backend.name);
        }
    }
}

#[tokio::test]
async fn concurrent_reports_of_an_outcome_are_learned_once() {
    for backend in fixtures::atomic().await {
        let engines = [backend.engine(&[]), backend.engine(&[])];
        for round in 0..5_u32 {
            let time = at(i64::from(round), "07:00:00");
            let assessments = futures_util::future::join_all((0..4).map(|_| assess(&engines[0], "ada", time))).await;
            // Without a deadline: what is tried is the order of the writes, not a busy machine.
            let reports = (0..24).map(|number| {
                let (engine, id) = (&engines[number % 2], &assessments[number % 4].id);
                async move { engine.repository().record_outcome(id, ReportedOutcome::Success, clock::at(time).into(), time).await }
            });
            let answers: Vec<_> =
                futures_util::future::join_all(reports).await.into_iter().map(|answer| answer.map(|recorded| Some(recorded?.learned))).collect();
            assert!(answers.iter().all(Result::is_ok), "{}: {answers:?}", backend.name);
            assert!(answers.iter().filter(|answer| **answer == Ok(Some(Learned::ProfileUpdated))).count() >= 4, "{}: {answers:?}", backend.name);
            let found = learned(&engines[1], "ada", at(i64::from(round), "08:00:00")).await;
            assert_eq!(found.0, 4 * (round + 1), "{}", backend.name);
        }
        let key = engines[0].repository().record_keys("", "ada")[0].clone();
        let record = backend.store.get_record(&key, at(5, "07:00:00")).await.unwrap();
        let marks = record.fields.keys().filter(|name| name.starts_with('d')).count();
        assert!((4..=24).contains(&marks), "{}: {marks} marks", backend.name);
        // Marks go when the assessments that they belong to are gone; samples that wait beside the profile are marked when they are added.
        for day in [20, 28] {
            let last = assess(&engines[0], "ada", at(day, "07:00:00")).await;
            report(&engines[0], &last.id, ReportedOutcome::Success, at(day, "07:00:01")).await.unwrap();
        }
        let record = backend.store.get_record(&key, at(28, "07:00:02")).await.unwrap();
        assert_eq!(record.fields.keys().filter(|name| name.starts_with('d')).count(), 1, "{}", backend.name);
    }
}
