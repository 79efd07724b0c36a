//! Monitor mode: nothing that riskgate decides denies or restricts, in Lambda and in the sidecar.

use riskgate_config::Config;
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::mode::RuntimeMode;
use serde_json::json;

use crate::{
    runtime_api::{Answer, Environment},
    sidecar::Sidecar,
};

/// Every way to deny at once.
const DENYING: [(&str, &str); 9] = [
    ("DENY_CLIENTS", "kiosk"),
    ("DENY_CIDRS", "8.8.8.0/24"),
    ("NO_IP", "deny"),
    ("REVIEW_AT", "0"),
    ("DENY_AT", "0"),
    ("FALLBACK", "deny"),
    ("PROVIDERS", "http"),
    // Nothing listens there.
    ("HTTP_URL", "http://127.0.0.1:9/"),
    ("TRUSTED_CLIENTS", "web,kiosk"),
];

fn event(client: &str, ip: Option<&str>) -> String {
    json!({ "version": "1", "triggerSource": "PreAuthentication_Authentication", "userPoolId": "eu-west-1_test", "userName": "ada", "n": 1.0,
        "callerContext": { "clientId": client }, "request": { "validationData": ip.map(|ip| json!({ "ip": ip })), "userAttributes": {} }, "response": {} })
    .to_string()
}

/// Events that cannot be read although they are JSON.
const UNREADABLE: [&str; 6] = [
    r#"{"triggerSource":"PreAuthentication_Authentication","callerContext":{"clientId":"web"}, "n":1.0, "request":[]}"#,
    r#"{"triggerSource":"PostAuthentication_Authentication","callerContext":{"clientId":"web"},"request":7}"#,
    r#"{"triggerSource":"TokenGeneration_Authentication","callerContext":{"clientId":"web"},"request":{"userAttributes":"x"}}"#,
    r#"{"triggerSource":"PreAuthentication_Authentication","callerContext":{"clientId":"web"},"request":{"validationData":[1]}}"#,
    "[1, 2.0]",
    "7.0",
];

#[tokio::test]
async fn lambda_returns_every_event_unchanged() {
    let lambda = Environment::start(&[&DENYING[..], &[("MODE", "monitor")]].concat()).await;
    for event in [event("kiosk", None), event("web", Some("8.8.8.8")), event("web", Some("9.9.9.9")), event("web", None)] {
        assert_eq!(lambda.invoke(event.clone()).await, Answer::Event(event));
    }
    for event in UNREADABLE {
        assert_eq!(lambda.invoke(event).await, Answer::Event(event.to_owned()));
    }
    // What is not JSON cannot be sent back: nothing is decided of it.
    assert_eq!(lambda.invoke("{").await, Answer::Event("null".to_owned()));
}

#[tokio::test]
async fn a_single_client_may_be_monitored() {
    let lambda = Environment::start(&[("MODE__web", "monitor"), ("DENY_CLIENTS", "web,kiosk")]).await;
    for (client, is_let_in) in [("web", true), ("kiosk", false)] {
        assert_eq!(matches!(lambda.invoke(event(client, None)).await, Answer::Event(_)), is_let_in, "{client}");
        let unreadable = UNREADABLE[0].replace("web", client);
        assert_eq!(matches!(lambda.invoke(unreadable).await, Answer::Event(_)), is_let_in, "{client}");
    }
    assert!(matches!(lambda.invoke("[]").await, Answer::Error(_)), "an unknown client is under MODE");
}

#[tokio::test]
async fn the_sidecar_denies_and_challenges_nobody() {
    let sidecar = Sidecar::start(&[&DENYING[..], &[("MODE", "monitor")]].concat()).await;
    for (client, ip) in [("kiosk", "9.9.9.9"), ("web", "8.8.8.8"), ("web", "9.9.9.9")] {
        let (_, answer) = sidecar.post("/v1/assess", json!({ "user": "ada", "client": client, "ip": ip }).to_string()).await;
        assert_eq!((&answer["action"], &answer["decision"]), (&json!("allow"), &json!("deny")), "{client} {ip}");
    }
    let challenging = Sidecar::start(&[("REVIEW_AT", "0"), ("CHALLENGE_AT", "0"), ("DENY_AT", "100"), ("MODE", "monitor")]).await;
    let (_, answer) = challenging.post("/v1/assess", json!({ "user": "ada", "ip": "9.9.9.9" }).to_string()).await;
    assert_eq!((&answer["action"], &answer["decision"], answer.get("challenge")), (&json!("allow"), &json!("challenge"), None));
    let invoke = |event: &'static str| sidecar.client.post(sidecar.url("/2015-03-31/functions/riskgate/invocations")).body(event).send();
    for event in UNREADABLE {
        let answer = invoke(event).await.expect("an answer");
        assert!(answer.headers().get("x-amz-function-error").is_none(), "{event}");
        assert_eq!(answer.text().await.expect("a body"), event);
    }
}

#[tokio::test]
async fn a_restriction_from_before_monitor_mode_withholds_nothing() {
    let variables = [("REVIEW_AT", "0"), ("DENY_AT", "100"), ("WITHHOLD_GROUPS", "admins"), ("WITHHOLD_SCOPES", "pay"), ("MODE__web", "monitor")];
    let read: std::collections::BTreeMap<_, _> = variables.map(|(name, value)| (format!("RISKGATE_{name}"), value.to_owned())).into();
    let instance = Instance::strict(Config::read(&read).0, Vec::new(), RuntimeMode::Sidecar).expect("an instance");
    let (web, kiosk) = (instance.token_config("web"), instance.token_config("kiosk"));
    assert!(web.withhold_groups.is_empty() && web.withhold_scopes.is_empty() && !web.withhold_own_account && kiosk.withhold_own_account);
    assert_eq!((&kiosk.withhold_groups[..], &kiosk.withhold_scopes[..]), (&["admins".to_owned()][..], &["pay".to_owned()][..]));
}
