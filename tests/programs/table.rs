//! A table that fails: the cause is reported, the two later triggers go on, and no sign-in waits longer than `STORE_TIMEOUT`.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use riskgate_engine::evidence::{FailureReason, store_parts::StorePart};
use riskgate_pipeline::claims;
use riskgate_runtime::clock;
use riskgate_runtime::deadline::Deadline;
use riskgate_store::{Store, dynamodb::DynamoDb};
use serde_json::json;
use tokio::time::Instant;

use super::{
    fixtures::{HOME, TestEngine, at, history},
    harness::HANG,
    wire::{Act, Server, answer},
};

fn store(url: &str) -> Arc<dyn Store> {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("testing", "testing", None, None, "tests"))
        .endpoint_url(url)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .build();
    Arc::new(DynamoDb::with_client(Client::from_conf(config), "riskgate"))
}

async fn check(what: &str, url: &str, expected: &str) {
    let store = store(url);
    // An answer may come late on a busy machine; only what never comes is waited for.
    let timeout = if expected == "timeout" { "300ms" } else { "2400ms" };
    let engine = TestEngine::over(&store, &[("STORE_TIMEOUT", timeout), ("BUDGET", "2900ms")]);
    let time = at(0, "12:00:00");
    let started = Instant::now();
    let assessment = engine.attempt("ada", HOME, time).await;
    let took = started.elapsed();
    let outcome = assessment.decision.score.signals.evidence.history_outcome.as_label();
    assert_eq!((outcome, assessment.decision.action.as_label()), (expected, "allow"), "{what}");
    assert!(took < HANG, "{what}: the sign-in took {took:?}");
    let started = Instant::now();
    let learned = engine.success("ada", "web", time).await;
    assert!(learned.is_err() && started.elapsed() < HANG, "{what}: {learned:?} after {:?}", started.elapsed());
    let event = json!({ "triggerSource": "TokenGeneration_Authentication", "userPoolId": "pool", "userName": "ada", "callerContext": { "clientId": "web" },
        "request": { "userAttributes": { "sub": "sub-ada" }, "groupConfiguration": {} }, "response": {} });
    let started = Instant::now();
    let claimed = claims::pre_token_generation(engine.enricher(), &engine.config.token, *engine.token(event.clone(), time)).await;
    let claimed = claimed.unwrap_or_else(|_| panic!("{what}: a token was refused"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(claimed.event.text()).unwrap(), event, "{what}: it goes back as it came");
    assert!(started.elapsed() < HANG, "{what}: the token took {:?}", started.elapsed());
}

#[tokio::test]
async fn a_table_that_misbehaves_is_named_and_waited_for_no_longer_than_it_may_take() {
    let dynamo = |status, kind: &str| {
        answer(status, &[("content-type", "application/x-amz-json-1.0")], format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{kind}","message":"x"}}"#))
    };
    for (what, act, expected) in [
        ("never answers", Act::Hang, "timeout"),
        ("is reset", Act::Reset, "connect"),
        ("is closed without a word", Act::HangUp, "connect"),
        ("drips", Act::Drip(Duration::from_millis(100), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()), "timeout"),
        ("is cut off", Act::RawThenHangUp(b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n{".to_vec()), "bad_answer"),
        ("answers 500", dynamo(500, "InternalServerError"), "http_5xx"),
        ("is throttled", dynamo(400, "ProvisionedThroughputExceededException"), "rate_limited"),
        ("refuses the role", dynamo(400, "AccessDeniedException"), "key_refused"),
        ("is not there", dynamo(400, "ResourceNotFoundException"), "no_store"),
        ("answers with HTML", answer(200, &[("content-type", "text/html")], "<html></html>"), "bad_answer"),
    ] {
        let server = Server::start(move |_| act.clone()).await;
        check(what, &server.origin(), expected).await;
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check("is closed", &format!("http://{closed}"), "connect").await;
}

/// A role that may do everything but one action: the lists, the counters or the nonces are missing, and the action is named.
#[tokio::test]
async fn the_action_that_a_role_lacks_is_named() {
    let json = [("content-type", "application/x-amz-json-1.0")];
    let server = Server::start(move |request| match request.header("x-amz-target") {
        Some("DynamoDB_20120810.Query") => answer(400, &json, r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User: x"}"#),
        _ => answer(200, &json, "{}"),
    })
    .await;
    let engine = TestEngine::over(&store(&server.origin()), &[]);
    let sources = engine.enricher();
    let now = clock::read();
    sources.probe_store(now, Deadline::after(now.mono, HANG)).await;
    assert!(engine.health().store.failing().eq([(StorePart::Store, FailureReason::KeyRefused)]), "before the first sign-in");
    let assessment = engine.attempt("ada", HOME, at(0, "12:00:00")).await;
    assert!(assessment.decision.score.signals.evidence.history_outcome.is_usable());
    assert_eq!(history(&assessment).unread.cause(StorePart::BlockList), Some(FailureReason::KeyRefused));
    let problem = sources.store_problem().unwrap();
    assert_eq!(problem, "AWS refuses dynamodb:Query: allow the role this action on the table that STORE names");
}
