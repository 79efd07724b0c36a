//! What the store knows at the moment of a sign-in: failures, velocity, nonces, places; and when it knows nothing.

use std::sync::Arc;

use riskgate_engine::{decision::Verdict, evidence::history::NonceStatus};
use riskgate_event::response::Assessment;
use riskgate_store::Store;
use serde_json::json;

use crate::fixtures::{self, AFAR, HOME, Origin, at, claims, history, pre, reasons};

fn failures(assessment: &Assessment) -> u32 {
    history(assessment).velocity.account_failures
}

#[tokio::test]
async fn failures_are_the_attempts_that_no_success_followed() {
    for (backend, engine) in fixtures::engines().await {
        // Until a client has reported a success, a missing one means nothing.
        assert_eq!(failures(&engine.attempt("ada", HOME, at(0, "06:00:00")).await), 0, "{}", backend.name);
        engine.success("ada", "web", at(0, "06:00:01")).await.unwrap();
        engine.attempt("ada", AFAR, at(0, "07:00:00")).await;
        engine.attempt("ada", AFAR, at(0, "07:01:00")).await;
        assert_eq!(failures(&engine.attempt("ada", AFAR, at(0, "07:02:00")).await), 3, "{}: the present one included", backend.name);
        assert_eq!(failures(&engine.attempt("ada", AFAR, at(0, "07:16:30")).await), 2, "{}: a quarter of an hour", backend.name);
        engine.success("ada", "web", at(0, "07:16:31")).await.unwrap();
        assert_eq!(failures(&engine.attempt("ada", HOME, at(0, "07:17:00")).await), 1, "{}: after a success", backend.name);
    }
}

#[tokio::test]
async fn an_equal_event_is_a_retry_only_while_the_first_is_unanswered() {
    for (backend, engine) in fixtures::engines().await {
        engine.sign_in("ada", HOME, at(0, "06:00:00")).await;
        // Answered, and sent again: another guess.
        engine.attempt("ada", AFAR, at(0, "07:00:00")).await;
        assert_eq!(failures(&engine.attempt("ada", AFAR, at(0, "07:00:05")).await), 2, "{}", backend.name);
        // Both at once: neither was answered when the other came, so they are one attempt.
        let (one, other) = tokio::join!(engine.attempt("bob", AFAR, at(0, "08:00:00")), engine.attempt("bob", AFAR, at(0, "08:00:05")));
        let counted = failures(&one).max(failures(&other));
        let next = engine.attempt("bob", AFAR, at(0, "08:00:30")).await;
        assert!(counted <= 2 && failures(&next) <= 3, "{}: {counted} {}", backend.name, failures(&next));
    }
}

#[tokio::test]
async fn accounts_are_counted_by_address_and_network_and_claims_apart() {
    for (backend, engine) in fixtures::engines().await {
        let neighbour = Origin { ip: "14.162.100.77", ..AFAR };
        for number in 0..40 {
            engine.attempt(&format!("user{number}"), AFAR, at(0, "07:00:00")).await;
            if number == 4 {
                let seen = history(&engine.attempt("user4", neighbour, at(0, "07:00:01")).await).velocity;
                assert_eq!((seen.accounts_per_ip, seen.accounts_per_network), (1, 5), "{}", backend.name);
            }
        }
        let seen = history(&engine.attempt("user7", AFAR, at(0, "07:10:00")).await).velocity;
        assert!((28..=32).contains(&seen.accounts_per_ip) && seen.accounts_per_network >= seen.accounts_per_ip, "{}: {seen:?}", backend.name);
        let later = history(&engine.attempt("user7", AFAR, at(0, "09:10:00")).await).velocity;
        assert_eq!((later.accounts_per_ip, later.accounts_per_network), (1, 1), "{}: after the hour", backend.name);
        // A stranger may claim any address; that must not taint it for those whose address is known.
        for number in 0..10 {
            engine.attempt_by(pre(&format!("forged{number}"), "app", claims(HOME)), at(1, "07:00:00")).await;
        }
        let owner = history(&engine.attempt("ada", HOME, at(1, "07:00:01")).await).velocity;
        assert_eq!((owner.accounts_per_ip, owner.accounts_per_network), (1, 1), "{}", backend.name);
        let claimed = history(&engine.attempt_by(pre("ada", "app", claims(HOME)), at(1, "07:00:02")).await).velocity;
        assert_eq!(claimed.accounts_per_ip, 11, "{}", backend.name);
    }
}

#[tokio::test]
async fn a_nonce_belongs_to_the_sign_in_that_came_first() {
    for (backend, engine) in fixtures::engines().await {
        let repository = engine.repository();
        let begin = async |user: &str, time: &str| {
            let mut sign_in = match riskgate_event::http::parse(
                json!({ "user": user }).to_string().as_bytes(),
                riskgate_engine::client_ip::ClientIp::Missing,
                riskgate_runtime::clock::at(at(0, time)),
            ) {
                Ok(sign_in) => sign_in,
                Err(bad) => panic!("{bad}"),
            };
            sign_in.trigger = riskgate_engine::sign_in::Trigger::PreAuthentication;
            sign_in.raw = riskgate_engine::personal::RawEvent::new(serde_json::value::to_raw_value(&json!({ "user": user })).unwrap());
            sign_in.context.nonce = Some("n-1".into());
            repository.begin_attempt(&sign_in, &Default::default(), &Default::default(), None).await.unwrap().0.nonce
        };
        assert_eq!(begin("ada", "07:00:00").await, NonceStatus::New, "{}", backend.name);
        assert_eq!(begin("ada", "07:00:06").await, NonceStatus::Retried, "{}", backend.name);
        assert_eq!(begin("ada", "07:00:20").await, NonceStatus::Replayed, "{}", backend.name);
        assert_eq!(begin("eve", "07:00:02").await, NonceStatus::Replayed, "{}", backend.name);
    }
}

#[tokio::test]
async fn other_locations_of_the_account_are_known() {
    for (backend, engine) in fixtures::engines().await {
        engine.sign_in_daily("ada", 3).await;
        engine.attempt("ada", HOME, at(3, "07:00:00")).await;
        let other = engine.attempt("ada", AFAR, at(3, "07:05:00")).await;
        assert!(!history(&other).concurrent.is_empty(), "{}", backend.name);
        let place = history(&other).concurrent[0].location.expect("a place");
        assert_eq!((place.latitude * 2.0).fract(), 0.0, "only half degrees are stored");
    }
}

#[cfg(feature = "programs")]
#[tokio::test]
async fn a_store_that_is_away_is_no_history_and_no_error() {
    let server = fixtures::redis_server();
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    let map = [("STORE", url.as_str())];
    let backend = fixtures::memory();
    let configured = backend.engine(&map);
    let (sources, faults) = riskgate_pipeline::enricher::Enricher::open(&configured.config, riskgate_runtime::mode::RuntimeMode::Sidecar);
    assert!(faults.is_empty());
    let engine = fixtures::TestEngine {
        engine: riskgate_pipeline::risk_engine::RiskEngine::new(
            &configured.config,
            sources,
            riskgate_engine::evaluator::Evaluator::new(
                &configured.config.decision,
                riskgate_engine::score::model::Model::bundled(configured.config.history.model_config()),
            ),
        ),
        config: configured.config,
    };
    engine.sign_in("ada", HOME, at(0, "07:00:00")).await;
    let known = engine.attempt("ada", HOME, at(1, "07:00:00")).await;
    assert_eq!(history(&known).profile.successes, 1);
    drop(server);
    let alone = engine.attempt("ada", HOME, at(1, "08:00:00")).await;
    let evidence = &alone.decision.score.signals.evidence;
    assert!(evidence.history_outcome.cause().is_some(), "{:?}", evidence.history_outcome);
    assert!(history(&alone).profile.is_new());
    assert_ne!(alone.decision.verdict, Verdict::Deny);
    assert!(engine.success("ada", "web", at(1, "08:00:01")).await.is_err());
    for _ in 0..6 {
        engine.attempt("ada", HOME, at(1, "08:10:00")).await;
    }
    let left_alone = engine.attempt("ada", HOME, at(1, "08:20:00")).await;
    assert_eq!(
        left_alone.decision.score.signals.evidence.history_outcome,
        riskgate_engine::evidence::Outcome::Failed(riskgate_engine::evidence::FailureReason::BreakerOpen)
    );
}

#[tokio::test]
async fn an_attackers_failures_do_not_deny_the_owner() {
    for (backend, engine) in fixtures::engines().await {
        engine.sign_in_daily("ada", 10).await;
        for number in 0..60 {
            engine.attempt("ada", AFAR, at(10, &format!("06:{:02}:30", number % 60))).await;
        }
        let owner = engine.attempt("ada", HOME, at(10, "07:00:00")).await;
        let text = format!("{}: {:.1} {:?}", backend.name, owner.decision.score.value, owner.decision.score.reasons);
        assert_ne!(owner.decision.verdict, Verdict::Deny, "{text}");
        assert!(failures(&owner) >= 10, "{text}");
        assert!(reasons(&owner).contains(&"account_failures"), "{text}");
    }
}

#[tokio::test]
async fn a_record_does_not_grow_and_is_small() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[]);
    let key = engine.repository().record_keys("pool", "sub-ada")[0].clone();
    let size = async |store: &Arc<dyn Store>| {
        let record = store.get_record(&key, at(40, "00:00:00")).await.unwrap();
        record.fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    };
    engine.sign_in_daily("ada", 30).await;
    assert!(size(&backend.store).await < 400, "{}", size(&backend.store).await);
    for number in 0..600_u32 {
        let claims = json!({ "ip": format!("14.162.{}.{}", number / 200, number % 200), "userAgent": AFAR.agent, "deviceId": format!("d{number}") });
        engine.attempt_by(pre("ada", "app", claims), at(31, "07:00:00")).await;
    }
    assert!(size(&backend.store).await < 2_048, "{}", size(&backend.store).await);
}
