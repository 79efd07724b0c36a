//! What is learned and what is not (invariant 5), over each store.

use riskgate_engine::{client_ip::ClientIp, decision::Verdict};
use riskgate_event::http;
use riskgate_history::repository::{learning::Learned, outcome::ReportedOutcome};
use riskgate_pipeline::learn;
use riskgate_runtime::clock;
use serde_json::json;

use crate::fixtures::{self, AFAR, HOME, Origin, TestEngine, at, claims, history, pre};

#[tokio::test]
async fn fifty_wrong_passwords_are_not_learned_from() {
    for (backend, engine) in fixtures::engines().await {
        engine.sign_in_daily("ada", 3).await;
        for attempt in 0..50 {
            engine.attempt("ada", AFAR, at(3, &format!("12:{attempt:02}:00"))).await;
        }
        let attacker = engine.attempt("ada", AFAR, at(3, "12:50:00")).await;
        let profile = &history(&attacker).profile;
        assert_eq!((profile.successes, profile.entries.iter().map(|entry| entry.count).max()), (3, Some(3)), "{}", backend.name);
        assert_eq!(profile.last.map(|last| last.at), Some(at(2, "07:00:00")), "{}", backend.name);
        let velocity = history(&attacker).velocity;
        assert!((15..=24).contains(&velocity.account_failures), "{}: {velocity:?}", backend.name);
        // An attacker next door, whom the score allows, is not learned from either.
        let neighbour = Origin { ip: "84.208.20.111", device: "laptop-2", ..HOME };
        for attempt in 0..5 {
            let guess = engine.attempt("ada", neighbour, at(4, &format!("07:{attempt:02}:00"))).await;
            assert_ne!(guess.decision.action, Verdict::Deny, "{}", backend.name);
        }
        let last = engine.attempt("ada", neighbour, at(5, "07:00:00")).await;
        let profile = &history(&last).profile;
        assert_eq!((profile.successes, profile.entries.iter().map(|entry| entry.count).max()), (3, Some(3)), "{}: next door", backend.name);
    }
}

#[tokio::test]
async fn an_attack_just_before_the_owner_is_not_learned_from() {
    for (backend, engine) in fixtures::engines().await {
        engine.attempt("ada", AFAR, at(0, "07:00:00")).await;
        engine.attempt("ada", HOME, at(0, "07:00:20")).await;
        assert_eq!(engine.success("ada", "web", at(0, "07:00:21")).await, Ok(Learned::Ambiguous), "{}", backend.name);
        let later = engine.attempt("ada", HOME, at(0, "08:00:00")).await;
        assert!(history(&later).profile.is_new(), "{}", backend.name);
        // A quarter of an hour later no other attempt is pending.
        assert_eq!(engine.success("ada", "web", at(0, "08:00:01")).await, Ok(Learned::ProfileUpdated), "{}", backend.name);
    }
}

#[tokio::test]
async fn a_nonce_distinguishes_the_owner_from_an_attacker() {
    for (backend, engine) in fixtures::engines().await {
        engine.attempt("ada", AFAR, at(0, "07:00:00")).await;
        let mut owner = engine.sign_in_of(pre("ada", "web", claims(HOME)), at(0, "07:00:20"));
        owner.context.nonce = Some("n-1".into());
        let known = owner.context.ip;
        let owner = engine.assess(owner).await;
        let event = json!({ "triggerSource": "PostAuthentication_Authentication", "userPoolId": "pool", "userName": "ada", "callerContext": { "clientId": "web" },
            "request": { "userAttributes": { "sub": "sub-ada" } }, "response": {} });
        let mut success = engine.post(event, at(0, "07:00:21"));
        success.nonce = Some("n-1".into());
        let success = learn::post_authentication(engine.enricher(), &success).await;
        let success = success.map(|success| (success.learned, success.id));
        assert_eq!(success, Ok((Learned::ProfileUpdated, Some(owner.id))), "{}", backend.name);
        let next = engine.attempt("ada", HOME, at(1, "07:00:00")).await;
        let evidence = &next.decision.score.signals.evidence;
        let level = riskgate_engine::features::FeatureLevel::Ip;
        assert_eq!(evidence.sign_in.context.ip, known);
        assert!(history(&next).profile.entry(level, evidence.features.at(level).unwrap()).is_some(), "{}: the owner's address was learned", backend.name);
    }
}

#[tokio::test]
async fn a_success_names_its_sign_in_where_one_can_be_meant() {
    for (backend, engine) in fixtures::engines().await {
        let success = async |time| {
            let event = json!({ "triggerSource": "PostAuthentication_Authentication", "userPoolId": "pool", "userName": "ada", "callerContext": { "clientId": "web" },
                "request": { "userAttributes": { "sub": "sub-ada" } }, "response": {} });
            let success = learn::post_authentication(engine.enricher(), &engine.post(event, at(0, time))).await.expect("the store answers");
            (success.learned, success.id)
        };
        engine.attempt("ada", AFAR, at(0, "07:00:00")).await;
        engine.attempt("ada", HOME, at(0, "07:00:20")).await;
        assert_eq!(success("07:00:21").await, (Learned::Ambiguous, None), "{}", backend.name);
        engine.attempt("ada", HOME, at(0, "09:00:00")).await;
        let retyped = engine.attempt("ada", HOME, at(0, "09:00:20")).await;
        assert_eq!(success("09:00:21").await, (Learned::ProfileUpdated, Some(retyped.id)), "{}: not the mistyped one", backend.name);
        assert_eq!(success("11:00:00").await, (Learned::NothingPending, None), "{}", backend.name);
    }
}

#[tokio::test]
async fn one_success_is_learned_once() {
    for (backend, engine) in fixtures::engines().await {
        engine.attempt("ada", HOME, at(0, "07:00:00")).await;
        assert_eq!(engine.success("ada", "app", at(0, "07:00:01")).await, Ok(Learned::NothingPending), "another client");
        assert_eq!(engine.success("ada", "web", at(0, "07:00:01")).await, Ok(Learned::ProfileUpdated));
        assert_eq!(engine.success("ada", "web", at(0, "07:00:02")).await, Ok(Learned::NothingPending), "Cognito's repetition");
        // After a quarter of an hour an attempt waits no more.
        engine.attempt("ada", HOME, at(1, "07:00:00")).await;
        assert_eq!(engine.success("ada", "web", at(1, "07:15:00")).await, Ok(Learned::NothingPending));
        let next = engine.attempt("ada", HOME, at(2, "07:00:00")).await;
        assert_eq!(history(&next).profile.successes, 1, "{}", backend.name);
    }
}

#[tokio::test]
async fn denied_would_be_denied_and_degraded_sign_ins_are_not_learned_from() {
    let blocked = Origin { ip: "1.1.1.1", ..AFAR };
    for backend in fixtures::all().await {
        for (user, variables, expected) in [
            ("denied", vec![("DENY_CIDRS", "1.1.1.1")], Learned::NothingPending),
            ("monitored", vec![("DENY_CIDRS", "1.1.1.1"), ("MODE", "monitor")], Learned::NotLearnable),
            // Nothing listens on port 9: the service that was due failed.
            ("degraded", vec![("PROVIDERS", "http"), ("HTTP_URL", "http://127.0.0.1:9/"), ("FALLBACK", "allow")], Learned::NotLearnable),
        ] {
            let engine = backend.engine(&variables);
            engine.attempt(user, blocked, at(0, "07:00:00")).await;
            assert_eq!(engine.success(user, "web", at(0, "07:00:01")).await, Ok(expected), "{}: {user}", backend.name);
            let next = engine.attempt(user, blocked, at(1, "07:00:00")).await;
            assert!(history(&next).profile.is_new(), "{}: {user}", backend.name);
        }
    }
}

#[tokio::test]
async fn learning_from_allowed_sign_ins_is_a_choice() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[("LEARN", "allow")]);
    engine.attempt("ada", HOME, at(0, "07:00:00")).await;
    let next = engine.attempt("ada", HOME, at(1, "07:00:00")).await;
    assert_eq!(history(&next).profile.successes, 1);
}

#[tokio::test]
async fn an_outcome_is_accepted_once_and_learned_from() {
    for (backend, engine) in fixtures::engines().await {
        let sources = engine.enricher();
        for (user, report, expected, successes) in [
            ("ok", ReportedOutcome::Success, Learned::ProfileUpdated, 1),
            ("wrong", ReportedOutcome::Failure, Learned::NotLearnable, 0),
            ("fraud", ReportedOutcome::Fraud, Learned::NotLearnable, 0),
            ("same", ReportedOutcome::NotFraud, Learned::ProfileUpdated, 1),
        ] {
            let body = |time: &str| json!({ "user": user, "ip": HOME.ip, "userAgent": HOME.agent, "time": time }).to_string();
            let assess = async |time: &str| {
                let sign_in = http::parse(body(time).as_bytes(), ClientIp::Missing, clock::read()).unwrap();
                let deadline = engine.engine.deadline(sign_in.received.mono, None);
                engine.engine.assess(sign_in, deadline).await
            };
            let first = assess("2026-11-21T07:00:00Z").await;
            let received = clock::at(at(20, "07:00:09"));
            assert_eq!(learn::record_outcome(sources, &first.id, report, received.into(), received).await, Ok(Some(expected)), "{}: {user}", backend.name);
            assert_eq!(learn::record_outcome(sources, &first.id, report, received.into(), received).await, Ok(None), "{}: {user}: a second time", backend.name);
            assert_eq!(history(&assess("2026-11-22T07:00:00Z").await).profile.successes, successes, "{}: {user}", backend.name);
        }
        assert_eq!(
            learn::record_outcome(
                sources,
                "01JD9W1Z5Y2N8Q4T7V6X3R0KMB",
                ReportedOutcome::Success,
                clock::at(at(20, "07:00:09")).into(),
                clock::at(at(20, "07:00:09"))
            )
            .await,
            Ok(None)
        );
    }
}

#[tokio::test]
async fn an_outcome_is_accepted_once_if_the_decision_was_learned_from() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[("LEARN", "allow")]);
    let sources = engine.enricher();
    let body = json!({ "user": "ada", "ip": HOME.ip, "userAgent": HOME.agent, "time": "2026-11-21T07:00:00Z" }).to_string();
    let sign_in = http::parse(body.as_bytes(), ClientIp::Missing, clock::read()).unwrap();
    let deadline = engine.engine.deadline(sign_in.received.mono, None);
    let first = engine.engine.assess(sign_in, deadline).await;
    let received = clock::read();
    assert_eq!(learn::record_outcome(sources, &first.id, ReportedOutcome::Success, received.into(), received).await, Ok(Some(Learned::NotLearnable)));
    assert_eq!(learn::record_outcome(sources, &first.id, ReportedOutcome::Success, received.into(), received).await, Ok(None));
}

#[tokio::test]
async fn twenty_at_once_leave_what_a_serial_run_leaves() {
    for backend in fixtures::atomic().await {
        // Two engines with separate caches over one store, like two processes.
        let engines = [backend.engine(&[]), backend.engine(&[])];
        let serial = fixtures::memory();
        let alone = TestEngine::over(&serial.store, &[]);
        for round in 0..10 {
            let time = at(round, "07:00:00");
            let both = (0..20).map(|number| {
                let engine = &engines[number % 2];
                async move {
                    // Unequal events: equal ones would be Cognito's own repetitions.
                    let mut event = pre("ada", "web", claims(HOME));
                    event["request"]["userAttributes"]["n"] = json!(number);
                    engine.attempt_by(event, time).await;
                    engine.success("ada", "web", time).await
                }
            });
            let learned = futures_util::future::join_all(both).await;
            assert!(learned.iter().all(|learned| *learned == Ok(Learned::ProfileUpdated)), "{}: {learned:?}", backend.name);
            for _ in 0..20 {
                alone.sign_in("ada", HOME, time).await;
            }
        }
        let (together, apart) = (engines[0].attempt("ada", HOME, at(10, "07:00:00")).await, alone.attempt("ada", HOME, at(10, "07:00:00")).await);
        let sorted = |profile: &riskgate_engine::profile::Profile| {
            let mut profile = profile.clone();
            profile.entries.sort_by_key(|entry| (entry.level, entry.hash));
            profile
        };
        assert_eq!(sorted(&history(&together).profile), sorted(&history(&apart).profile), "{}", backend.name);
        assert_eq!(history(&together).profile.successes, 200, "{}", backend.name);
    }
}

#[tokio::test]
async fn a_rotated_key_keeps_the_history_and_moves_it() {
    for backend in fixtures::all().await {
        let old = backend.engine(&[]);
        old.sign_in_daily("ada", 3).await;
        let both = format!("k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA,{}", fixtures::KEY);
        let new = backend.engine(&[("PSEUDONYM_KEY", &both)]);
        let known = |assessment: &riskgate_event::response::Assessment| {
            let evidence = &assessment.decision.score.signals.evidence;
            let of = |level| evidence.history.profile.entry(level, evidence.features.at(level).unwrap()).map_or(0, |entry| entry.count);
            (evidence.history.profile.successes, of(riskgate_engine::features::FeatureLevel::Ip), of(riskgate_engine::features::FeatureLevel::UserAgent))
        };
        assert_eq!(known(&new.sign_in("ada", HOME, at(3, "07:00:00")).await), (3, 3, 3), "{}", backend.name);
        assert_eq!(known(&new.sign_in("ada", HOME, at(4, "07:00:00")).await), (4, 4, 4), "{}", backend.name);
        let only = backend.engine(&[("PSEUDONYM_KEY", "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA")]);
        assert_eq!(known(&only.attempt("ada", HOME, at(5, "07:00:00")).await), (5, 5, 5), "{}", backend.name);
    }
}

#[tokio::test]
async fn a_device_that_the_pool_reports_as_new_is_not_familiar() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[]);
    for (day, new) in [(0, false), (1, false), (2, true)] {
        engine.attempt("ada", HOME, at(day, "07:00:00")).await;
        let event = json!({ "triggerSource": "PostAuthentication_Authentication", "userPoolId": "pool", "userName": "ada", "callerContext": { "clientId": "web" },
            "request": { "userAttributes": { "sub": "sub-ada" }, "newDeviceUsed": new }, "response": {} });
        assert_eq!(engine.success_by(event, at(day, "07:00:01")).await, Ok(Learned::ProfileUpdated));
    }
    let next = engine.attempt("ada", HOME, at(3, "07:00:00")).await;
    let level = riskgate_engine::features::FeatureLevel::Device;
    let hash = next.decision.score.signals.evidence.features.at(level).unwrap();
    assert!(!history(&next).profile.entry(level, hash).unwrap().is_established());
}
