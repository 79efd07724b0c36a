//! Faults of the server of a user pool's signing keys: the authorizer in both modes, and `POST /v1/step-up` in the sidecar.

use std::time::Duration;

use futures_util::FutureExt as _;
use riskgate_runtime::mode::RuntimeMode;
use serde_json::{Value, json};

use super::{
    SETTINGS,
    entry_points::EntryPoint,
    stories::{Scenario, ScenarioResult},
};
use crate::{
    issuer::{Issuer, Key, POOL, with},
    tokens::now,
    wire::{Act, json as json_answer},
};

/// Every sign-in is challenged.
const STEP_UP: [(&str, &str); 4] = [("REVIEW_AT", "0"), ("CHALLENGE_AT", "0"), ("DENY_AT", "100"), ("STEP_UP_CLIENTS", "web")];

/// Every scenario.
pub fn stories() -> Vec<Scenario> {
    // Lambda has no store here, so it cannot end the restriction: the token suffices all the same.
    let answered = ["allow without history", "allow; step-up: challenge_passed"];
    let refused = ["no answer to cache", "no answer to cache; step-up: keys_unavailable"];
    let story = |id, what, expected, play| Scenario { id, what, expected, play };
    vec![
        story("J1", "a token of a step-up; the server of the signing keys answers", answered, |mode| played(mode, None, &[]).boxed()),
        story("J2", "it answers late, but in time", answered, |mode| {
            played(mode, Some(|keys| Act::After(Duration::from_millis(200), Box::new(keys))), &[]).boxed()
        }),
        story("J3", "it hangs", refused, |mode| played(mode, Some(|_| Act::Hang), &[]).boxed()),
        story("J4", "it answers 500", refused, |mode| played(mode, Some(|_| json_answer(500, "{}")), &[]).boxed()),
        story("J5", "it breaks the connection", refused, |mode| played(mode, Some(|_| Act::Reset), &[]).boxed()),
        story("J6", "it answers nonsense", refused, |mode| played(mode, Some(|_| json_answer(200, "[]")), &[]).boxed()),
        story("J7", "it answers, and the store cannot be reached", ["allow without history", "allow without history; step-up: store"], |mode| {
            played(mode, None, &[("STORE", "redis://127.0.0.1:1/0"), ("PSEUDONYM_KEY", crate::fixtures::KEY)]).boxed()
        }),
    ]
}

/// Calls an API with a token that answers a challenge, then steps up with it where there is a route for it.
async fn played(runtime_mode: RuntimeMode, treat: Option<fn(Act) -> Act>, variables: &[(&str, &str)]) -> ScenarioResult {
    let issuer = Issuer::start().await;
    if let Some(treat) = treat {
        issuer.publish(treat(crate::issuer::jwks(&[Key::Current.jwk("1")])));
    }
    let url = issuer.url();
    let own = [("STEP_UP_POOLS", url.as_str())];
    let entry_point = EntryPoint::open(runtime_mode, &[&SETTINGS[..], &STEP_UP, &own, variables].concat()).await;
    let required = json!({ "riskgate:acr": "urn:cognito:loa:4", "riskgate:step_up_after": now() - 60, "auth_time": now() + 60 });
    let token = Key::Current.sign(&with(&issuer.claims(now()), &required));
    let request = json!({ "version": "2.0", "type": "REQUEST", "routeArn": "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/GET/orders",
        "headers": { "authorization": format!("Bearer {token}") } });
    let (answer, result) = entry_point.exchange(request.to_string().as_bytes()).await;
    let mut seen = match (answer["isAuthorized"].as_bool(), answer["context"]["degraded"].as_str()) {
        (Some(true), None) => "allow".to_owned(),
        (Some(true), Some(part)) => format!("allow without {part}"),
        (Some(false), _) => "deny".to_owned(),
        (None, _) => "no answer to cache".to_owned(),
    };
    let mut results = vec![result];
    if runtime_mode == RuntimeMode::Sidecar {
        let sign_in = json!({ "user": "sub-ada", "client": "web", "pool": POOL, "ip": "8.8.8.8" });
        let (assessed, assessment) = entry_point.assess(&sign_in.to_string()).await;
        let (answered, body) = entry_point.post("/v1/step-up", &json!({ "id": assessment["id"], "token": token }).to_string()).await;
        let end = [&body["outcome"], &body["code"]].into_iter().find_map(Value::as_str).unwrap_or("nothing");
        seen.push_str(&format!("; step-up: {end}"));
        results.extend([assessed, answered]);
    }
    ScenarioResult { seen, results }
}
