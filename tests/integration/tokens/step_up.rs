//! `POST /v1/step-up`: a token of a stronger authentication ends the restriction of the challenged sign-in's user.

use serde_json::{Value, json};

use super::now;
use crate::{
    harness::HANG,
    issuer::{Issuer, Key, POOL, with},
    sidecar::Sidecar,
    wire::{Act, json as json_answer},
};

/// Every sign-in is challenged.
const CHALLENGE: [(&str, &str); 4] = [("REVIEW_AT", "0"), ("CHALLENGE_AT", "0"), ("DENY_AT", "100"), ("STEP_UP_CLIENTS", "web")];

/// A sidecar that challenges every sign-in and accepts the issuer's tokens.
async fn start(issuer: &Issuer, variables: &[(&str, &str)]) -> Sidecar {
    let url = issuer.url();
    Sidecar::start(&[&CHALLENGE[..], &[("STEP_UP_POOLS", url.as_str())], variables].concat()).await
}

/// The id of a challenged sign-in.
async fn challenged(sidecar: &Sidecar, user: &str, pool: &str) -> String {
    let (status, body) = sidecar.post("/v1/assess", json!({ "user": user, "client": "web", "pool": pool, "ip": "8.8.8.8" }).to_string()).await;
    assert_eq!((status, &body["action"]), (200, &json!("challenge")), "{body}");
    body["id"].as_str().expect("an id").to_owned()
}

async fn step_up(sidecar: &Sidecar, id: &str, token: &str) -> (u16, Value) {
    sidecar.post("/v1/step-up", json!({ "id": id, "token": token }).to_string()).await
}

/// The claims of a token that the user got by authenticating again, a minute after the challenge.
fn stronger(issuer: &Issuer) -> Value {
    with(&issuer.claims(now()), &json!({ "auth_time": now() + 60 }))
}

#[tokio::test]
async fn a_stronger_token_passes_the_challenge_and_a_repeated_request_gets_the_same_answer() {
    let issuer = Issuer::start().await;
    let sidecar = start(&issuer, &[]).await;
    let id_token = json!({ "token_use": "id", "aud": "web", "client_id": null, "username": null, "cognito:username": "ada" });
    for (user, pool, claims) in [
        ("sub-ada", POOL, stronger(&issuer)),
        ("ada", POOL, stronger(&issuer)),
        ("ada", "", stronger(&issuer)),
        ("ada", POOL, with(&stronger(&issuer), &id_token)),
    ] {
        let id = challenged(&sidecar, user, pool).await;
        let token = Key::Current.sign(&claims);
        let (status, body) = step_up(&sidecar, &id, &token).await;
        assert_eq!((status, &body["outcome"], &body["degraded"]), (200, &json!("challenge_passed"), &Value::Null), "{user}: {body}");
        let (status, body) = step_up(&sidecar, &id, &token).await;
        assert_eq!((status, &body["outcome"], &body["learned"]), (200, &json!("challenge_passed"), &json!(false)), "{user}: {body}");
        let (status, body) = step_up(&sidecar, &id, &Key::Current.sign(&with(&claims, &json!({ "sub": "sub-bob", "username": "bob" })))).await;
        assert_eq!((status, &body["code"]), (422, &json!("person")), "{user}: {body}");
    }
    let metrics = sidecar.client.get(sidecar.url("/metrics")).send().await.expect("metrics").text().await.expect("text");
    assert!(metrics.contains(r#"riskgate_step_ups_total{result="passed"} 8"#), "{metrics}");
    assert!(metrics.contains(r#"riskgate_step_ups_total{result="person"} 4"#), "{metrics}");
}

#[tokio::test]
async fn each_refused_token_has_its_own_code_and_ends_nothing() {
    let issuer = Issuer::start().await;
    let sidecar = start(&issuer, &[]).await;
    let id = challenged(&sidecar, "sub-ada", POOL).await;
    let good = stronger(&issuer);
    let changed = |change: Value| Key::Current.sign(&with(&good, &change));
    let header = |alg: &str| Key::Current.token(&json!({ "kid": "1", "alg": alg }), &good);
    let cases = [
        (changed(json!({ "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_other" })), "issuer"),
        (changed(json!({ "client_id": "other" })), "audience"),
        (Key::Stranger.sign(&good), "signature"),
        (header("none"), "unsecured"),
        (header("HS256"), "key_confusion"),
        (header("RS512"), "algorithm"),
        (changed(json!({ "exp": now() - 61 })), "expired"),
        (changed(json!({ "acr": "urn:cognito:loa:2" })), "acr"),
        (changed(json!({ "acr": null })), "missing_acr"),
        (changed(json!({ "auth_time": now() - 5 })), "auth_time"),
        (changed(json!({ "auth_time": null })), "missing_auth_time"),
        (changed(json!({ "sub": "sub-bob", "username": "bob" })), "person"),
        ("x".to_owned(), "malformed"),
    ];
    for (token, code) in &cases {
        let (status, problem) = step_up(&sidecar, &id, token).await;
        assert_eq!((status, problem["code"].as_str()), (422, Some(*code)), "{problem}");
        assert!(problem["detail"].is_string() && !problem.to_string().contains("sub-"), "{problem}");
    }
    let good = Key::Current.sign(&good);
    let (status, problem) = step_up(&sidecar, "01KB000000000000000000000X", &good).await;
    assert_eq!((status, problem["code"].as_str()), (404, Some("unknown_assessment")), "{problem}");
    for body in ["", "[]", r#"["a","b"]"#, r#"{"id":"x"}"#, r#"{"id":"x","token":"y","z":1}"#] {
        assert_eq!(sidecar.post("/v1/step-up", body).await.0, 422, "{body}");
    }
    assert_eq!(step_up(&sidecar, &id, &good).await.0, 200, "the refusals changed nothing");
}

#[tokio::test]
async fn without_the_signing_keys_a_step_up_is_refused_within_the_budget() {
    let issuer = Issuer::start().await;
    let sidecar = start(&issuer, &[("BUDGET", "900ms")]).await;
    let id = challenged(&sidecar, "sub-ada", POOL).await;
    let token = Key::Current.sign(&stronger(&issuer));
    for act in [Act::Hang, json_answer(503, "{}")] {
        issuer.publish(act);
        let started = std::time::Instant::now();
        let (status, problem) = step_up(&sidecar, &id, &token).await;
        assert_eq!((status, problem["code"].as_str()), (503, Some("keys_unavailable")), "{problem}");
        assert!(started.elapsed() < HANG);
    }
    let metrics = sidecar.client.get(sidecar.url("/metrics")).send().await.expect("metrics").text().await.expect("text");
    assert!(metrics.contains("riskgate_signing_key_failures_total 1"), "{metrics}");
}

#[tokio::test]
async fn step_up_is_off_without_pools_and_needs_the_sidecars_token() {
    let sidecar = Sidecar::start(&[]).await;
    let (status, problem) = step_up(&sidecar, "x", "y").await;
    assert_eq!((status, problem["code"].as_str()), (404, Some("not_configured")), "{problem}");
    let sidecar = Sidecar::start(&[("TOKEN", "a-token-of-the-sidecar")]).await;
    assert_eq!(step_up(&sidecar, "x", "y").await.0, 401);
}
