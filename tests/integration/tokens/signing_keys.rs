//! The signing keys of a pool: fetched once, rotated, cached while the pool's server fails, and never waited for past the deadline.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use riskgate_engine::evidence::FailureReason;
use riskgate_tokens::TokenError;
use serde_json::json;

use super::{NOW, TestVerifier, after};
use crate::{
    harness::HANG,
    issuer::{Issuer, Key, jwks, with},
    wire::{Act, answer, json as json_answer},
};

const HOUR: i64 = 3600;

/// A token of a key, valid for two days.
fn token(issuer: &Issuer, key: Key, kid: &str) -> String {
    key.token(&json!({ "kid": kid, "alg": "RS256" }), &with(&issuer.claims(NOW), &json!({ "exp": NOW + 48 * HOUR })))
}

#[tokio::test]
async fn concurrent_tokens_make_one_fetch() {
    let issuer = Issuer::start().await;
    let verifier = TestVerifier::new(&issuer, &[]);
    let token = token(&issuer, Key::Current, "1");
    let results = join_all((0..50).map(|_| verifier.verify(&token, after(0)))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(issuer.fetches(), 1);
    assert!(verifier.verify(&token, after(HOUR - 1)).await.is_ok());
    assert_eq!(issuer.fetches(), 1);
    assert!(verifier.verify(&token, after(HOUR + 1)).await.is_ok());
    assert_eq!(issuer.fetches(), 2, "keys are refreshed after an hour");
}

#[tokio::test]
async fn a_rotated_key_is_fetched_when_a_token_names_it() {
    let issuer = Issuer::start().await;
    let verifier = TestVerifier::new(&issuer, &[]);
    let (old, new) = (token(&issuer, Key::Current, "1"), token(&issuer, Key::Next, "2"));
    assert!(verifier.verify(&old, after(0)).await.is_ok());
    issuer.publish(jwks(&[Key::Next.jwk("2"), Key::Current.jwk("1")]));
    for seconds in [5, 29] {
        assert_eq!(verifier.verify(&new, after(seconds)).await.err(), Some(TokenError::UnknownKey));
    }
    assert_eq!(issuer.fetches(), 1, "unknown ids are limited to a fetch every 30 s");
    assert!(verifier.verify(&new, after(31)).await.is_ok());
    assert!(verifier.verify(&old, after(32)).await.is_ok());
    issuer.publish(jwks(&[Key::Next.jwk("2")]));
    assert!(verifier.verify(&new, after(2 * HOUR)).await.is_ok());
    assert_eq!(verifier.verify(&old, after(2 * HOUR)).await.err(), Some(TokenError::UnknownKey), "a withdrawn key is no longer trusted");
    assert_eq!(issuer.fetches(), 3);
}

#[tokio::test]
async fn cached_keys_serve_for_a_day_while_the_server_fails() {
    let issuer = Issuer::start().await;
    let verifier = TestVerifier::new(&issuer, &[]);
    let token = token(&issuer, Key::Current, "1");
    assert!(verifier.verify(&token, after(0)).await.expect("accepted").stale_keys.is_none());
    issuer.publish(json_answer(503, "{}"));
    for (seconds, fetches) in [(HOUR + 1, 2), (HOUR + 3, 2), (HOUR + 7, 3)] {
        assert_eq!(verifier.verify(&token, after(seconds)).await.expect("accepted").stale_keys, Some(FailureReason::Http5xx));
        assert_eq!(issuer.fetches(), fetches, "a failed fetch is repeated after 5 s at the earliest");
    }
    assert_eq!(verifier.verify(&token, after(25 * HOUR + 1)).await.err(), Some(TokenError::KeysUnavailable(FailureReason::Http5xx)));
    assert_eq!(verifier.health.signing_key_failures.load(Ordering::Relaxed), 3);
    issuer.publish(jwks(&[Key::Current.jwk("1")]));
    assert!(verifier.verify(&token, after(25 * HOUR + 7)).await.expect("accepted").stale_keys.is_none());
}

#[tokio::test]
async fn a_server_that_hangs_denies_within_the_budget() {
    let issuer = Issuer::start().await;
    let verifier = TestVerifier::new(&issuer, &[]);
    let token = token(&issuer, Key::Current, "1");
    issuer.publish(Act::Hang);
    let budget = Duration::from_millis(300);
    let started = std::time::Instant::now();
    let results = join_all((0..10).map(|_| verifier.verify_within(&token, after(0), budget))).await;
    assert!(started.elapsed() < HANG);
    for result in results {
        assert_eq!(result.err(), Some(TokenError::KeysUnavailable(FailureReason::Timeout)));
    }
    assert_eq!(issuer.fetches(), 1);
    issuer.publish(jwks(&[Key::Current.jwk("1")]));
    assert!(verifier.verify(&token, after(6)).await.is_ok());
}

#[tokio::test]
async fn a_usable_key_does_not_wait_for_a_server_that_hangs() {
    let issuer = Issuer::start().await;
    let verifier = TestVerifier::new(&issuer, &[]);
    let token = token(&issuer, Key::Current, "1");
    assert!(verifier.verify(&token, after(0)).await.is_ok());
    issuer.publish(Act::Hang);
    let started = std::time::Instant::now();
    let verified = verifier.verify_within(&token, after(HOUR + 1), HANG * 10).await.expect("accepted");
    assert_eq!(verified.stale_keys, Some(FailureReason::Timeout));
    assert!(started.elapsed() < HANG);
}

#[tokio::test]
async fn bad_answers_of_the_server_deny() {
    let huge = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(70_000));
    let many: Vec<_> = (0..65).map(|n| json!({ "kid": n.to_string() })).collect();
    let duplicate = jwks(&[Key::Current.jwk("1"), Key::Stranger.jwk("1")]);
    let elliptic = jwks(&[json!({ "kty": "EC", "kid": "1", "crv": "P-256", "x": "AA", "y": "AA" })]);
    let encryption = jwks(&[with(&Key::Current.jwk("1"), &json!({ "use": "enc" }))]);
    let unavailable = TokenError::KeysUnavailable;
    let cases = [
        (json_answer(200, huge), unavailable(FailureReason::TooLarge)),
        (Act::Endless(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec(), vec![b' '; 8192]), unavailable(FailureReason::TooLarge)),
        (jwks(&many), unavailable(FailureReason::BadAnswer)),
        (json_answer(200, "{"), unavailable(FailureReason::BadAnswer)),
        (answer(200, &[("content-type", "text/html")], "<html>"), unavailable(FailureReason::BadAnswer)),
        (answer(302, &[("location", "http://127.0.0.1:9/")], ""), unavailable(FailureReason::Redirect)),
        (json_answer(404, "{}"), unavailable(FailureReason::Http4xx)),
        (Act::Reset, unavailable(FailureReason::Reset)),
        (jwks(&[]), TokenError::UnknownKey),
        (duplicate, TokenError::AmbiguousKey),
        (elliptic, TokenError::KeyType),
        (encryption, TokenError::KeyType),
        (jwks(&[Key::Stranger.jwk("1")]), TokenError::Signature),
    ];
    let issuer = Issuer::start().await;
    let token = token(&issuer, Key::Current, "1");
    for (act, expected) in cases {
        issuer.publish(act.clone());
        let verifier = TestVerifier::new(&issuer, &[]);
        assert_eq!(verifier.verify(&token, after(0)).await.err(), Some(expected), "{act:?}");
    }
}
