//! Nonces of signed contexts: remembered until no token that carries one can be valid, and found under every pseudonym key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use riskgate_engine::context::Trust;
use riskgate_event::signed_context::{Claims, sign};
use serde_json::json;

use crate::fixtures::{self, HOME, TestEngine, at, pre, reasons};

const SECRET: [u8; 32] = [7; 32];

fn token(iat: i64, jti: &str) -> String {
    let claims = Claims {
        aud: "pool".to_owned(),
        client_id: "app".to_owned(),
        iat,
        jti: jti.to_owned(),
        ip: Some(HOME.ip.to_owned()),
        user_agent: Some(HOME.agent.to_owned()),
        ..Claims::default()
    };
    sign(&claims, "hs", Algorithm::HS256, &EncodingKey::from_secret(&SECRET)).unwrap()
}

/// Whether a token is accepted a second time: its signature and age are valid, and its nonce counts as new.
async fn is_accepted_again(engine: &TestEngine, iat: i64, first: i64, second: i64) -> bool {
    let token = token(iat, &format!("nonce-{iat}-{first}-{second}"));
    let attempt =
        async |user: &str, second: i64| engine.attempt_by(pre(user, "app", json!({ "riskgate": token })), Timestamp::from_second(second).unwrap()).await;
    assert_eq!(attempt("ada", first).await.decision.score.signals.evidence.sign_in.context.trust, Trust::Signed);
    let copy = attempt("eve", second).await;
    copy.decision.score.signals.evidence.sign_in.context.trust == Trust::Signed && !reasons(&copy).contains(&"replayed_context")
}

#[tokio::test]
async fn a_nonce_is_remembered_until_no_token_with_it_is_valid() {
    let keys = format!("hs:HS256:{}", B64.encode(SECRET));
    for backend in fixtures::all().await {
        for age in [1_i64, 60] {
            let engine = backend.engine(&[("CONTEXT_KEYS", &keys), ("CONTEXT_MAX_AGE", &format!("{age}s"))]);
            let now = at(age, "07:00:00").as_second();
            for ahead in [-120, 0, 119, 120] {
                // The last second in which the token is valid, and moments before it.
                let last = now + ahead + age + 120;
                for second in [now + 1, now + 123, now + 181, last - 1, last].into_iter().filter(|second| *second > now && *second <= last) {
                    assert!(
                        !is_accepted_again(&engine, now + ahead, now, second).await,
                        "{}: iat {ahead} s ahead, used again after {} s",
                        backend.name,
                        second - now
                    );
                }
            }
        }
    }
}

/// The host that sees a token first is fast by the skew and the next one slow by it: the token is valid for longer by both.
#[tokio::test]
async fn a_nonce_outlasts_clocks_that_differ() {
    let keys = format!("hs:HS256:{}", B64.encode(SECRET));
    let backend = fixtures::memory();
    let engine = backend.engine(&[("CONTEXT_KEYS", &keys), ("CONTEXT_MAX_AGE", "1s")]);
    let repository = engine.repository();
    let (time, fast) = (at(0, "07:00:00"), at(0, "07:02:00"));
    let signed = token(time.as_second() + 240, "nonce-0000000000000001");
    let attempt = async |at: Timestamp| {
        let sign_in = engine.sign_in_of(pre("ada", "app", json!({ "riskgate": signed })), at);
        assert_eq!(sign_in.context.trust, Trust::Signed);
        repository.begin_attempt(&sign_in, &Default::default(), &Default::default(), None).await.unwrap().0.nonce
    };
    assert_eq!(attempt(fast).await, riskgate_engine::evidence::history::NonceStatus::New);
    // By the true time it is now 07:08:01, which a slow host takes for 07:06:01; the memory store goes by its callers' time.
    assert_eq!(attempt(at(0, "07:06:01")).await, riskgate_engine::evidence::history::NonceStatus::Replayed);
}

/// Redis goes by its own clock.
#[cfg(all(feature = "programs", feature = "redis"))]
#[tokio::test]
async fn redis_remembers_a_nonce_for_as_long() {
    let server = fixtures::redis_server();
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    let store = riskgate_store::redis::Redis::open(&secrecy::SecretString::from(url.clone()), &[], fixtures::NO_DEADLINE).unwrap();
    let store: std::sync::Arc<dyn riskgate_store::Store> = std::sync::Arc::new(store);
    let keys = format!("hs:HS256:{}", B64.encode(SECRET));
    let engine = TestEngine::over(&store, &[("CONTEXT_KEYS", &keys), ("CONTEXT_MAX_AGE", "1s")]);
    let time = at(0, "07:00:00");
    engine.attempt_by(pre("ada", "app", json!({ "riskgate": token(time.as_second() + 120, "nonce-0000000000000001") })), time).await;
    let mut client = redis::Client::open(url).unwrap().get_connection().unwrap();
    let nonces: Vec<String> = redis::cmd("KEYS").arg("riskgate:x#*").query(&mut client).unwrap();
    assert_eq!(nonces.len(), 1);
    let left: u64 = redis::cmd("TTL").arg(&nonces[0]).query(&mut client).unwrap();
    assert!(left > 241, "{left}");
}
