//! The authorizer of API Gateway, from the challenged sign-in to the token that lifts its restriction.

use serde_json::{Value, json};

use super::now;
use crate::{
    harness::HANG,
    issuer::{Issuer, Key, POOL, with},
    sidecar::Sidecar,
    wire::Act,
};

const ARN: &str = "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/GET/orders";

/// Every sign-in is challenged.
const CHALLENGE: [(&str, &str); 6] = [
    ("REVIEW_AT", "0"),
    ("CHALLENGE_AT", "0"),
    ("DENY_AT", "100"),
    ("STEP_UP_CLIENTS", "web"),
    ("WITHHOLD_GROUPS", "admins"),
    ("WITHHOLD_SCOPES", "payments/write"),
];

async fn start(issuer: &Issuer, variables: &[(&str, &str)]) -> Sidecar {
    let url = issuer.url();
    Sidecar::start(&[&CHALLENGE[..], &[("STEP_UP_POOLS", url.as_str())], variables].concat()).await
}

async fn invoke(sidecar: &Sidecar, event: &Value) -> Value {
    sidecar.post("/2015-03-31/functions/riskgate/invocations", event.to_string()).await.1
}

/// A Cognito event of the user.
fn event(source: &str, version: &str) -> Value {
    json!({ "version": version, "triggerSource": source, "userPoolId": POOL, "userName": "ada", "callerContext": { "clientId": "web" },
        "request": { "userAttributes": { "sub": "sub-ada" }, "groupConfiguration": { "groupsToOverride": ["admins", "staff"] } }, "response": {} })
}

/// What the pre-token-generation trigger answers.
async fn token_details(sidecar: &Sidecar) -> Value {
    invoke(sidecar, &event("TokenGeneration_Authentication", "2")).await["response"]["claimsAndScopeOverrideDetails"].clone()
}

/// A sign-in with the right password, and the claims that its access token gets.
async fn sign_in(sidecar: &Sidecar) -> Value {
    for source in ["PreAuthentication_Authentication", "PostAuthentication_Authentication"] {
        let answer = invoke(sidecar, &event(source, "1")).await;
        assert_eq!(answer["triggerSource"], source, "{answer}");
    }
    token_details(sidecar).await["accessTokenGeneration"]["claimsToAddOrOverride"].clone()
}

fn rest(token: &str) -> Value {
    json!({ "type": "TOKEN", "methodArn": ARN, "authorizationToken": format!("Bearer {token}") })
}

fn http(token: &str) -> Value {
    json!({ "version": "2.0", "type": "REQUEST", "routeArn": ARN, "headers": { "authorization": format!("Bearer {token}") } })
}

fn effect(answer: &Value) -> Option<&str> {
    answer["policyDocument"]["Statement"][0]["Effect"].as_str()
}

#[tokio::test]
async fn a_challenged_user_calls_the_api_after_a_step_up_only() {
    let issuer = Issuer::start().await;
    let sidecar = start(&issuer, &[]).await;
    let claims = sign_in(&sidecar).await;
    assert_eq!(claims["riskgate:acr"], "urn:cognito:loa:4 urn:cognito:loa:3", "{claims}");
    assert!(claims["riskgate:step_up_after"].as_i64().is_some_and(|after| (after - now()).abs() < 60), "{claims}");
    let details = token_details(&sidecar).await;
    assert_eq!(details["accessTokenGeneration"]["scopesToSuppress"], json!(["payments/write", "aws.cognito.signin.user.admin"]));
    assert_eq!(details["groupOverrideDetails"]["groupsToOverride"], json!(["staff"]));
    let password_only = with(&with(&issuer.claims(now()), &claims), &json!({ "acr": "urn:cognito:loa:1" }));
    let denied = invoke(&sidecar, &rest(&Key::Current.sign(&password_only))).await;
    assert_eq!((effect(&denied), &denied["principalId"]), (Some("Deny"), &json!("sub-ada")), "{denied}");
    let context = &denied["context"];
    assert_eq!((&context["cause"], &context["error"]), (&json!("acr"), &json!("insufficient_user_authentication")));
    assert_eq!(context["acr_values"], "urn:cognito:loa:4 urn:cognito:loa:3");
    let header = context["www_authenticate"].as_str().expect("a header");
    let expected = "Bearer error=\"insufficient_user_authentication\", acr_values=\"urn:cognito:loa:4 urn:cognito:loa:3\", max_age=\"";
    assert!(header.starts_with(expected), "{header}");
    // A stronger token from before the challenge is not enough.
    let older = with(&password_only, &json!({ "acr": "urn:cognito:loa:4", "auth_time": claims["riskgate:step_up_after"] }));
    assert_eq!(invoke(&sidecar, &http(&Key::Current.sign(&older))).await["context"]["cause"], "auth_time");
    assert!(token_details(&sidecar).await["accessTokenGeneration"]["scopesToSuppress"].is_array(), "the restriction stays");
    let stronger = with(&password_only, &json!({ "acr": "urn:cognito:loa:3", "auth_time": now() + 60 }));
    let allowed = invoke(&sidecar, &http(&Key::Current.sign(&stronger))).await;
    assert_eq!((&allowed["isAuthorized"], &allowed["context"]["sub"]), (&json!(true), &json!("sub-ada")), "{allowed}");
    let details = token_details(&sidecar).await;
    assert_eq!(details["accessTokenGeneration"].get("scopesToSuppress"), None, "{details}");
    assert_eq!(details["accessTokenGeneration"]["claimsToAddOrOverride"].get("riskgate:acr"), None, "{details}");
}

#[tokio::test]
async fn an_older_proof_does_not_end_a_newer_challenge() {
    let issuer = Issuer::start().await;
    let sidecar = start(&issuer, &[]).await;
    let claims = sign_in(&sidecar).await;
    // A token from an hour ago, when an earlier challenge was passed.
    let earlier = json!({ "riskgate:step_up_after": now() - 7200, "auth_time": now() - 3600 });
    let token = Key::Current.sign(&with(&with(&issuer.claims(now()), &claims), &earlier));
    assert_eq!(effect(&invoke(&sidecar, &rest(&token)).await), Some("Allow"));
    assert!(token_details(&sidecar).await["accessTokenGeneration"]["scopesToSuppress"].is_array(), "the newer restriction stays");
}

#[tokio::test]
async fn each_refused_token_has_its_own_cause() {
    let issuer = Issuer::start().await;
    let sidecar = start(&issuer, &[]).await;
    let challenge = now() - 60;
    let challenged = json!({ "riskgate:acr": "urn:cognito:loa:4 urn:cognito:loa:3", "riskgate:step_up_after": challenge });
    let good = with(&issuer.claims(now()), &challenged);
    let changed = |change: Value| Key::Current.sign(&with(&good, &change));
    let header = |alg: &str| Key::Current.token(&json!({ "kid": "1", "alg": alg }), &good);
    assert_eq!(effect(&invoke(&sidecar, &rest(&Key::Current.sign(&good))).await), Some("Allow"));
    let cases = [
        (changed(json!({ "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_other" })), "issuer"),
        (changed(json!({ "client_id": "other" })), "audience"),
        (changed(json!({ "token_use": "id", "aud": "web" })), "token_use"),
        (Key::Stranger.sign(&good), "signature"),
        (header("none"), "unsecured"),
        (header("HS256"), "key_confusion"),
        (header("RS512"), "algorithm"),
        (changed(json!({ "exp": now() - 61 })), "expired"),
        (changed(json!({ "riskgate:level": null, "riskgate:acr": null, "riskgate:step_up_after": null })), "missing_level"),
        (changed(json!({ "riskgate:acr": null })), "missing_required_acr"),
        (changed(json!({ "riskgate:step_up_after": null })), "missing_step_up_after"),
        (changed(json!({ "acr": "urn:cognito:loa:2" })), "acr"),
        (changed(json!({ "acr": null })), "missing_acr"),
        (changed(json!({ "auth_time": challenge })), "auth_time"),
        (changed(json!({ "auth_time": null })), "missing_auth_time"),
    ];
    let insufficient = ["acr", "missing_acr", "auth_time", "missing_auth_time"];
    for (token, cause) in &cases {
        let answer = invoke(&sidecar, &http(token)).await;
        assert_eq!((&answer["isAuthorized"], answer["context"]["cause"].as_str()), (&json!(false), Some(*cause)), "{answer}");
        let answer = invoke(&sidecar, &rest(token)).await;
        match insufficient.contains(cause) {
            true => assert_eq!((effect(&answer), answer["context"]["cause"].as_str()), (Some("Deny"), Some(*cause)), "{answer}"),
            // API Gateway turns exactly this message into status 401.
            false => assert_eq!(answer["errorMessage"], "Unauthorized", "{cause}: {answer}"),
        }
    }
    let without_token = json!({ "version": "2.0", "type": "REQUEST", "routeArn": ARN, "headers": {} });
    let answer = invoke(&sidecar, &without_token).await;
    assert_eq!((&answer["context"]["cause"], &answer["context"]["www_authenticate"]), (&json!("no_token"), &json!("Bearer")), "{answer}");
}

#[tokio::test]
async fn without_the_signing_keys_every_request_is_refused_within_the_budget() {
    let issuer = Issuer::start().await;
    let sidecar = start(&issuer, &[("BUDGET", "600ms")]).await;
    issuer.publish(Act::Hang);
    let started = std::time::Instant::now();
    for event in [rest(&Key::Current.sign(&issuer.claims(now()))), http(&Key::Current.sign(&issuer.claims(now())))] {
        let answer = invoke(&sidecar, &event).await;
        assert_eq!(answer["errorMessage"], "the token could not be checked", "API Gateway does not cache an error: {answer}");
    }
    assert!(started.elapsed() < HANG);
    let off = Sidecar::start(&[]).await;
    assert!(invoke(&off, &rest("a.b.c")).await["errorMessage"].is_string(), "without STEP_UP_POOLS nothing is allowed");
}

#[tokio::test]
async fn monitor_mode_restricts_and_denies_nobody() {
    let issuer = Issuer::start().await;
    let sidecar = start(&issuer, &[("MODE", "monitor")]).await;
    let claims = sign_in(&sidecar).await;
    assert_eq!((claims.get("riskgate:acr"), claims.get("riskgate:step_up_after")), (None, None), "{claims}");
    let required = json!({ "riskgate:acr": "urn:cognito:loa:3", "riskgate:step_up_after": now() - 60, "acr": "urn:cognito:loa:1" });
    let answer = invoke(&sidecar, &rest(&Key::Current.sign(&with(&issuer.claims(now()), &required)))).await;
    assert_eq!((effect(&answer), &answer["context"]["would_deny"]), (Some("Allow"), &json!("acr")), "{answer}");
    // A forged token is no decision about risk.
    assert_eq!(invoke(&sidecar, &rest(&Key::Stranger.sign(&issuer.claims(now())))).await["errorMessage"], "Unauthorized");
}
