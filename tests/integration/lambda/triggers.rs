//! The binary as Lambda starts it: what goes back to Cognito, byte for byte.

use std::process::Stdio;

use crate::runtime_api::{Answer, Environment};

const EVENT: &str = r#"{"version":"1","triggerSource":"PreAuthentication_Authentication","region":"eu-west-1","userPoolId":"eu-west-1_test","userName":"ada",
 "callerContext":{"awsSdkVersion":"aws-sdk-unknown-unknown","clientId":"web"},"big":12345678901234567890123,"odd":1e400,"none":null,
 "request":{"validationData":null,"userAttributes":{"sub":"9c5b","custom:n":7}},"response":{}}"#;

#[tokio::test]
async fn allow_returns_the_event_exactly() {
    let lambda = Environment::start(&[]).await;
    assert_eq!(lambda.invoke(EVENT).await, Answer::Event(EVENT.to_owned()));
    // AWS's own minimal test event, and triggers that are not ours.
    for event in [r#"{"request": {},"response":{} }"#, r#"{"triggerSource":"PreSignUp_SignUp","x":[1,2]}"#, r#"{"triggerSource":"Unheard_Of","request":7}"#] {
        assert_eq!(lambda.invoke(event).await, Answer::Event(event.to_owned()));
    }
}

#[tokio::test]
async fn a_denial_is_one_fixed_sentence_and_an_id() {
    let lambda = Environment::start(&[("DENY_CLIENTS", "web")]).await;
    let Answer::Error(body) = lambda.invoke(EVENT).await else { panic!("denied") };
    let error: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(error["errorType"], "SignInDenied");
    let message = error["errorMessage"].as_str().expect("a message");
    let (sentence, id) = message.rsplit_once(' ').expect("a sentence and an id");
    assert_eq!(sentence, "Sign-in was declined for security reasons. Contact support and quote");
    assert!(id.len() == 26 && id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
}

#[tokio::test]
async fn an_invalid_event_is_denied_without_parser_messages() {
    let lambda = Environment::start(&[]).await;
    for event in ["", "{", "[]", "7", "\u{feff}{}", r#"{"triggerSource":"PreAuthentication_Authentication","request":[]}"#, "\u{fffe}{\u{0}}\u{0}"] {
        let Answer::Error(body) = lambda.invoke(event.to_owned()).await else { panic!("{event:?} was answered as an event") };
        assert!(body.contains("Sign-in was declined") && !body.contains("expected") && !body.contains("at line"), "{event:?}: {body}");
    }
    assert_eq!(lambda.invoke(EVENT).await, Answer::Event(EVENT.to_owned()), "still up");
}

#[tokio::test]
async fn deadlines_of_every_kind_are_answered() {
    let lambda = Environment::start(&[]).await;
    for deadline in [None, Some(0), Some(50), Some(300), Some(900_000), Some(u32::MAX)] {
        lambda.set_deadline(deadline.map(|ms| std::time::Duration::from_millis(u64::from(ms))));
        assert_eq!(lambda.invoke(EVENT).await, Answer::Event(EVENT.to_owned()), "{deadline:?}");
    }
}

#[tokio::test]
async fn a_faulty_configuration_denies_no_sign_in() {
    let faulty = [("DENY_AT", "eighty"), ("BUDGET", "7s"), ("NOPE", "1"), ("DENY_CLIENTS", "web")];
    let output = tempfile::NamedTempFile::new().expect("a file");
    let lambda = Environment::start_with_output(&faulty, output.reopen().expect("a handle").into(), Stdio::null()).await;
    assert_eq!(lambda.invoke(EVENT).await, Answer::Event(EVENT.to_owned()), "monitor mode");
    lambda.settled().await;
    let lines = std::fs::read_to_string(output.path()).expect("what was written");
    assert!(lines.contains(r#""riskgate_config_faults":3,"#), "what the alarm reads: {lines}");
    let Answer::Event(body) = lambda.invoke(r#"{"riskgate":"check"}"#).await else { panic!("a check") };
    let check: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(check["faults"].as_array().map(Vec::len), Some(3), "{body}");
    assert_eq!(check["probes"][0]["what"], "history", "{body}");
    let mut refused = Environment::start(&[&faulty[..], &[("ON_BAD_CONFIG", "refuse")]].concat()).await;
    assert!(!refused.process.ended().await.success());
}

#[tokio::test]
async fn sigterm_ends_it_in_order() {
    let mut lambda = Environment::start(&[]).await;
    assert_eq!(lambda.invoke(EVENT).await, Answer::Event(EVENT.to_owned()));
    lambda.process.signal("-TERM");
    assert_eq!(lambda.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_log_level_that_drops_audit_lines_is_reported_at_start_and_by_the_check() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let variables = [("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", "WARN")];
    let lambda = Environment::start_with_output(&variables, Stdio::null(), log.reopen().expect("a handle").into()).await;
    let Answer::Event(body) = lambda.invoke(r#"{"riskgate":"check"}"#).await else { panic!("a check") };
    lambda.settled().await;
    let log = std::fs::read_to_string(log.path()).expect("the log");
    for text in [&body, &log] {
        assert!(text.contains("audit lines and metrics are dropped"), "{text}");
    }
    assert!(log.lines().any(|line| line.contains("are dropped") && line.contains(r#""level":"ERROR""#)), "it passes the level: {log}");
}
