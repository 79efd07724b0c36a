//! Verified sessions: what the triggers send. The binary as Lambda starts it, and a server in the place of AWS.

use serde_json::{Value, json};

use crate::{
    fixtures,
    runtime_api::{Answer, Environment},
    wire::{self, Server},
};

fn event(source: &str, user: &str) -> String {
    let request = json!({ "userAttributes": { "sub": format!("sub-{user}") }, "clientMetadata": { "ip": "84.208.20.110" } });
    let event = json!({ "version": "1", "triggerSource": source, "region": "eu-west-1", "userPoolId": "eu-west-1_test", "userName": user,
        "callerContext": { "clientId": "app" }, "request": request, "response": {} });
    event.to_string()
}

#[tokio::test]
async fn post_authentication_makes_one_request_more_and_pre_authentication_none() {
    let (aws, redis) = (Server::start(|_| wire::json(200, r#"{"MessageId":"m"}"#)).await, fixtures::redis_server());
    let (origin, store) = (aws.origin(), format!("redis://127.0.0.1:{}/0", redis.port));
    let queue = format!("{origin}/1/sessions");
    let variables = [
        ("STORE", store.as_str()),
        ("PSEUDONYM_KEY", fixtures::KEY),
        ("SESSION_QUEUE", queue.as_str()),
        ("AWS_ENDPOINT_URL", origin.as_str()),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_REGION", "eu-west-1"),
    ];
    let lambda = Environment::start(&variables).await;
    let mut requests = Vec::new();
    for user in ["ada", "bob", "ada"] {
        for source in ["PreAuthentication_Authentication", "PostAuthentication_Authentication"] {
            let before = aws.count();
            let event = event(source, user);
            let Answer::Event(answer) = lambda.invoke(event.clone()).await else { panic!("{source} is allowed") };
            assert_eq!(answer, event, "byte for byte");
            lambda.settled().await;
            requests.push(aws.count() - before);
        }
    }
    assert_eq!(requests, [0, 1, 0, 1, 0, 1]);
    let sent = aws.requests();
    let [first, ..] = sent.as_slice() else { panic!("no request") };
    assert_eq!((first.line.as_str(), first.header("x-amz-target")), ("POST /", Some("AmazonSQS.SendMessage")));
    let message: Value = serde_json::from_str(&first.body).expect("JSON");
    assert_eq!(message["DelaySeconds"], 10);
}
