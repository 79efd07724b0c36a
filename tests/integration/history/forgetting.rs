//! `history forget`: what was under way when a person was forgotten does not bring them back.

use std::sync::Arc;

use jiff::Timestamp;
use riskgate_engine::{features::Features, network_facts::NetworkFacts};
use riskgate_history::{
    attempt::{Admission, AttemptDecision, Completeness, RiskLevel, TokenRestriction},
    repository::{learning::Learned, outcome::ReportedOutcome},
};
use riskgate_store::{List, Store};

use crate::{
    fixtures::{self, HOME, KEY, TestEngine, at, claims, history, pre},
    interrupted::Interrupted,
    outcome_reports::{assess, report},
};

const NEW: &str = "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";

const ANSWERED: AttemptDecision = AttemptDecision {
    admission: Admission::Allow,
    risk_level: RiskLevel::Low,
    completeness: Completeness::Complete,
    restriction: TokenRestriction::Withhold,
    score: 1,
    reasons: [0; 4],
    counted: None,
};

async fn forget(engine: &TestEngine, pool: &str, user: &str, now: Timestamp) {
    engine.repository().forget(pool, user, now).await.unwrap();
}

/// Nothing is stored of a person but that they were forgotten.
async fn assert_forgotten(engine: &TestEngine, store: &Arc<dyn Store>, pool: &str, user: &str, now: Timestamp, what: &str) {
    for key in &engine.repository().record_keys(pool, user) {
        let record = store.get_record(key, now).await.unwrap();
        assert!(record.fields.keys().all(|name| name == "f"), "{what}: {:?}", record.fields.keys());
    }
    assert!(store.list_entries(List::DecoyTemplates, now).await.unwrap().is_empty(), "{what}: a template is left");
}

#[tokio::test]
async fn a_pending_outcome_is_dropped_and_a_new_one_is_the_first() {
    for (backend, engine) in fixtures::engines().await {
        for outcome in ReportedOutcome::ALL {
            let (user, what) = (outcome.as_label(), format!("{}: {}", backend.name, outcome.as_label()));
            for day in 0..3 {
                let earlier = assess(&engine, user, at(day, "07:00:00")).await;
                report(&engine, &earlier.id, ReportedOutcome::Success, at(day, "07:00:01")).await.unwrap();
            }
            let pending = assess(&engine, user, at(3, "07:00:00")).await;
            forget(&engine, "", user, at(3, "07:00:01")).await;
            assert_eq!(report(&engine, &pending.id, outcome, at(3, "07:00:02")).await, Ok(None), "{what}");
            assert_forgotten(&engine, &backend.store, "", user, at(3, "07:00:03"), &what).await;
            let next = assess(&engine, user, at(3, "07:00:04")).await;
            assert!(history(&next).profile.is_new(), "{what}");
            assert_eq!(report(&engine, &next.id, ReportedOutcome::Success, at(3, "07:00:05")).await, Ok(Some(Learned::ProfileUpdated)), "{what}");
            assert_eq!(report(&engine, &pending.id, outcome, at(3, "07:00:06")).await, Ok(None), "{what}");
            assert_eq!(history(&assess(&engine, user, at(4, "07:00:00")).await).profile.successes, 1, "{what}");
            forget(&engine, "", user, at(5, "07:00:00")).await;
        }
    }
}

/// The record no longer names the attempt of an assessment that is a day old.
#[tokio::test]
async fn an_outcome_of_an_earlier_day_is_dropped_too() {
    for (backend, engine) in fixtures::engines().await {
        let pending = assess(&engine, "ada", at(0, "07:00:00")).await;
        assess(&engine, "ada", at(2, "07:00:00")).await;
        forget(&engine, "", "ada", at(3, "07:00:00")).await;
        let next = assess(&engine, "ada", at(4, "07:00:00")).await;
        report(&engine, &next.id, ReportedOutcome::Success, at(4, "07:00:01")).await.unwrap();
        assert_eq!(report(&engine, &pending.id, ReportedOutcome::Success, at(4, "08:00:00")).await, Ok(None), "{}", backend.name);
        assert_eq!(history(&assess(&engine, "ada", at(5, "07:00:00")).await).profile.successes, 1, "{}", backend.name);
    }
}

#[tokio::test]
async fn a_late_post_authentication_records_nothing() {
    for (backend, engine) in fixtures::engines().await {
        engine.sign_in("ada", HOME, at(0, "07:00:00")).await;
        engine.attempt("ada", HOME, at(1, "07:00:00")).await;
        forget(&engine, "pool", "sub-ada", at(1, "07:00:01")).await;
        assert_eq!(engine.success("ada", "web", at(1, "07:00:02")).await, Ok(Learned::NothingPending), "{}", backend.name);
        assert_forgotten(&engine, &backend.store, "pool", "sub-ada", at(1, "07:00:03"), backend.name).await;
        engine.sign_in("ada", HOME, at(1, "07:00:04")).await;
        assert_eq!(history(&engine.attempt("ada", HOME, at(2, "07:00:00")).await).profile.successes, 1, "{}", backend.name);
    }
}

#[tokio::test]
async fn a_verdict_after_the_forgetting_records_nothing() {
    for backend in fixtures::all().await {
        for learn in ["post_auth", "allow"] {
            for days in [0, 3] {
                let what = format!("{}: LEARN={learn}, {days} days known", backend.name);
                let engine = backend.engine(&[("LEARN", learn)]);
                let user = format!("ada-{learn}-{days}");
                let (sub, repository) = (format!("sub-{user}"), engine.repository());
                for day in 0..days {
                    engine.sign_in(&user, HOME, at(day, "07:00:00")).await;
                }
                let sign_in = engine.sign_in_of(pre(&user, "web", claims(HOME)), at(3, "07:00:00"));
                let (_, pending_attempt) = repository.begin_attempt(&sign_in, &NetworkFacts::default(), &Features::default(), Some(9)).await.unwrap();
                forget(&engine, "pool", &sub, at(3, "07:00:01")).await;
                repository.record_decision(pending_attempt, "01JD9W1Z5Y2N8Q4T7V6X3R0KMB", ANSWERED, at(3, "07:00:02")).await.unwrap();
                assert_forgotten(&engine, &backend.store, "pool", &sub, at(3, "07:00:03"), &what).await;
                assert_eq!(engine.success(&user, "web", at(3, "07:00:04")).await, Ok(Learned::NothingPending), "{what}");
                assert_forgotten(&engine, &backend.store, "pool", &sub, at(3, "07:00:05"), &what).await;
            }
        }
    }
}

#[tokio::test]
async fn a_success_that_was_under_way_records_nothing() {
    for backend in fixtures::all().await {
        for days in [0, 3] {
            for runtime_mode in ["post_authentication", "outcome"] {
                let what = format!("{}: {runtime_mode}, {days} days known", backend.name);
                let slow = Interrupted::over(&backend.store);
                let engine = TestEngine::over(&(Arc::clone(&slow) as Arc<dyn Store>), &[]);
                let user = format!("ada-{runtime_mode}-{days}");
                let (pool, record_name) = if runtime_mode == "outcome" { ("", user.clone()) } else { ("pool", format!("sub-{user}")) };
                for day in 0..days {
                    if runtime_mode == "outcome" {
                        let earlier = assess(&engine, &user, at(day, "07:00:00")).await;
                        report(&engine, &earlier.id, ReportedOutcome::Success, at(day, "07:00:01")).await.unwrap();
                    } else {
                        engine.sign_in(&user, HOME, at(day, "07:00:00")).await;
                    }
                }
                let id = if runtime_mode == "outcome" {
                    assess(&engine, &user, at(3, "07:00:00")).await.id
                } else {
                    engine.attempt(&user, HOME, at(3, "07:00:00")).await.id
                };
                // Forgetting looks through the activity of so many days.
                let operator = backend.engine(&[("HISTORY_TTL", "5d"), ("ACTIVITY_TTL", "5d")]);
                let pause = slow.pause("update_if_version");
                let success = async {
                    match runtime_mode {
                        "outcome" => report(&engine, &id, ReportedOutcome::Success, at(3, "07:00:02")).await.unwrap(),
                        _ => Some(engine.success(&user, "web", at(3, "07:00:02")).await.unwrap()),
                    }
                };
                let forgotten = async {
                    pause.reached.notified().await;
                    forget(&operator, pool, &record_name, at(3, "07:00:03")).await;
                    pause.go_on.notify_one();
                };
                let (learned, ()) = tokio::join!(success, forgotten);
                assert_ne!(learned, Some(Learned::ProfileUpdated), "{what}");
                assert_forgotten(&engine, &backend.store, pool, &record_name, at(3, "07:00:04"), &what).await;
            }
        }
    }
}

#[tokio::test]
async fn an_assessment_under_an_older_key_is_dropped() {
    for backend in fixtures::all().await {
        let both = format!("{NEW},{KEY}");
        let [old, both, new] = [KEY, &both, NEW].map(|keys| backend.engine(&[("PSEUDONYM_KEY", keys)]));
        for (user, operator, moves) in [("ada", &both, false), ("bob", &both, true), ("eve", &new, true)] {
            let what = format!("{}: {user}", backend.name);
            let pending = assess(&old, user, at(0, "07:00:00")).await;
            if moves {
                assess(&both, user, at(0, "07:01:00")).await;
            }
            forget(operator, "", user, at(0, "07:02:00")).await;
            for engine in [&old, &both] {
                assert_eq!(report(engine, &pending.id, ReportedOutcome::Success, at(0, "07:03:00")).await, Ok(None), "{what}");
            }
            for engine in [&old, &both, &new] {
                assert!(history(&assess(engine, user, at(1, "07:00:00")).await).profile.is_new(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn the_time_of_forgetting_expires() {
    for (backend, engine) in fixtures::engines().await {
        let key = engine.repository().record_keys("pool", "sub-ada")[0].clone();
        engine.sign_in_daily("ada", 3).await;
        forget(&engine, "pool", "sub-ada", at(3, "07:00:00")).await;
        assert_eq!(backend.store.get_record(&key, at(3, "07:00:01")).await.unwrap().fields.len(), 1, "{}", backend.name);
        // Redis goes by its own clock.
        if backend.name != "redis" {
            assert!(backend.store.get_record(&key, at(11, "07:00:01")).await.unwrap().fields.is_empty(), "{}", backend.name);
        }
        // It goes from a record that is in use as well.
        for day in 4..14 {
            engine.sign_in("ada", HOME, at(day, "07:00:00")).await;
            let is_stored = backend.store.get_record(&key, at(day, "07:00:01")).await.unwrap().fields.contains_key("f");
            assert_eq!(is_stored, day < 11, "{}: day {day}", backend.name);
        }
        assert_eq!(history(&engine.attempt("ada", HOME, at(14, "07:00:00")).await).profile.successes, 10, "{}", backend.name);
    }
}
