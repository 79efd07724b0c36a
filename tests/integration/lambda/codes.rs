//! Codes by e-mail: the binary as Lambda starts it, and a server in the place of SES.

use std::{
    fs::File,
    io::Read as _,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    fixtures,
    harness::HANG,
    runtime_api::{Answer, Environment},
    wire::{self, Act, Server},
};

/// Values of the user that must not be written anywhere.
const PERSONAL: [&str; 4] = ["marker.anna@example.com", "marker-anna", "4f3c5ab0-aaaa-4000-8000-0000000000a1", "81.2.69."];

/// Every sign-in is challenged, and calls of AWS can be signed.
const BASE: [(&str, &str); 7] = [
    ("REVIEW_AT", "0"),
    ("CHALLENGE_AT", "0"),
    ("DENY_AT", "100"),
    ("PSEUDONYM_KEY", fixtures::KEY),
    ("AWS_ACCESS_KEY_ID", "testing"),
    ("AWS_SECRET_ACCESS_KEY", "testing"),
    ("AWS_REGION", "us-east-1"),
];

fn event(trigger: &str, request: &Value) -> String {
    let passed = |name: &str| json!({ "challengeName": name, "challengeResult": true, "challengeMetadata": null });
    let mut event = json!({
        "version": "1", "triggerSource": format!("{trigger}_Authentication"), "region": "eu-west-1", "userPoolId": "eu-west-1_test", "userName": PERSONAL[1],
        "callerContext": { "clientId": "web" },
        "request": { "userAttributes": { "sub": PERSONAL[2], "email": PERSONAL[0], "email_verified": "true", "locale": "de-AT" },
            "session": [passed("SRP_A"), passed("PASSWORD_VERIFIER")], "clientMetadata": { "ip": "81.2.69.160" } },
        "response": {} });
    request.as_object().expect("an object").iter().for_each(|(name, value)| event["request"][name] = value.clone());
    event.to_string()
}

fn response(answer: &Answer) -> Value {
    let Answer::Event(text) = answer else { panic!("{answer:?}") };
    serde_json::from_str::<Value>(text).expect("JSON")["response"].clone()
}

#[tokio::test]
async fn a_code_is_mailed_through_ses_and_written_nowhere_else() {
    for format in ["json", "text"] {
        let ses = Server::start(|_| wire::json(200, r#"{"MessageId":"0102"}"#)).await;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("output");
        let file = File::create(&path).expect("a file");
        let (origin, redis) = (ses.origin(), fixtures::redis_server());
        let store = format!("redis://127.0.0.1:{}/0", redis.port);
        let variables = [
            ("STORE", store.as_str()),
            ("LOG", "trace"),
            ("LOG_FORMAT", format),
            ("CHALLENGE_FROM", "Example <security@example.com>"),
            ("CHALLENGE_SES_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL_SESV2", origin.as_str()),
        ];
        let lambda =
            Environment::start_with_output(&[&BASE[..], &variables].concat(), Stdio::from(file.try_clone().expect("a handle")), Stdio::from(file)).await;
        let next = response(&lambda.invoke(event("DefineAuthChallenge", &json!({}))).await);
        assert_eq!(next["challengeName"], "CUSTOM_CHALLENGE", "{next}");
        let made = response(&lambda.invoke(event("CreateAuthChallenge", &json!({ "challengeName": "CUSTOM_CHALLENGE" }))).await);
        assert_eq!(made["publicChallengeParameters"], json!({ "CODE_DELIVERY_DELIVERY_MEDIUM": "EMAIL", "CODE_DELIVERY_DESTINATION": "m***@e***" }));
        let requests = ses.requests();
        let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
        assert_eq!(request.line, "POST /v2/email/outbound-emails");
        assert!(request.header("authorization").expect("a signature").contains("/eu-west-1/ses/aws4_request"), "{request:?}");
        let mail: Value = serde_json::from_str(&request.body).expect("JSON");
        assert_eq!((&mail["FromEmailAddress"], &mail["Destination"]["ToAddresses"]), (&json!("Example <security@example.com>"), &json!([PERSONAL[0]])));
        let simple = &mail["Content"]["Simple"];
        assert_eq!(simple["Subject"]["Data"], "Ihr Anmeldecode");
        let text = simple["Body"]["Text"]["Data"].as_str().expect("a text");
        let code: String =
            text.lines().map(str::trim).find(|line| line.len() == 8 && line.bytes().all(|byte| byte.is_ascii_digit())).expect("a code").to_owned();
        assert!(simple["Body"]["Html"]["Data"].as_str().expect("HTML").contains(&code));
        let answer = json!({ "challengeAnswer": code, "privateChallengeParameters": made["privateChallengeParameters"] });
        assert_eq!(response(&lambda.invoke(event("VerifyAuthChallengeResponse", &answer)).await)["answerCorrect"], true);
        // A user without a verified address gets no code.
        let unverified =
            json!({ "challengeName": "CUSTOM_CHALLENGE", "userAttributes": { "sub": PERSONAL[2], "email": PERSONAL[0], "email_verified": "false" } });
        assert!(matches!(lambda.invoke(event("CreateAuthChallenge", &unverified)).await, Answer::Error(_)));
        assert_eq!(ses.count(), 1);
        lambda.settled().await;
        // Lambda waits for a log line only briefly, so the last ones may follow the answer.
        let (mut output, started) = (String::new(), Instant::now());
        while !(output.contains("no_recipient") && output.contains("define_auth_challenge")) {
            assert!(started.elapsed() < HANG, "{output}");
            tokio::time::sleep(Duration::from_millis(10)).await;
            output.clear();
            File::open(&path).expect("the output").read_to_string(&mut output).expect("text");
        }
        drop(lambda);
        for value in PERSONAL.iter().copied().chain([code.as_str()]) {
            let line = output.lines().find(|line| line.contains(value));
            assert!(line.is_none(), "{value} is written ({format}): {line:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_or_silence_of_ses_fails_the_sign_in_and_is_reported() {
    let refusal = || wire::json(400, r#"{"message":"Email address is not verified: marker.anna@example.com"}"#);
    for (treat, failures) in [(refusal as fn() -> Act, 1), (|| Act::Hang, 1)] {
        let (ses, redis) = (Server::start(move |_| treat()).await, fixtures::redis_server());
        let (origin, store) = (ses.origin(), format!("redis://127.0.0.1:{}/0", redis.port));
        let variables = [("STORE", store.as_str()), ("CHALLENGE_FROM", "security@example.com"), ("AWS_ENDPOINT_URL", origin.as_str())];
        let lambda = Environment::start(&[&BASE[..], &variables].concat()).await;
        lambda.invoke(event("DefineAuthChallenge", &json!({}))).await;
        let started = Instant::now();
        let Answer::Error(body) = lambda.invoke(event("CreateAuthChallenge", &json!({ "challengeName": "CUSTOM_CHALLENGE" }))).await else {
            panic!("a denial")
        };
        assert!(body.contains("Sign-in was declined") && !body.contains("verified"), "{body}");
        assert!(started.elapsed() < HANG, "{:?}", started.elapsed());
        let Answer::Event(check) = lambda.invoke(r#"{"riskgate":"check"}"#).await else { panic!("a check") };
        let check: Value = serde_json::from_str(&check).expect("JSON");
        assert_eq!(check["challenge"]["failures"], failures, "{}", check["challenge"]);
    }
}

#[tokio::test]
async fn without_a_store_no_code_is_sent() {
    let ses = Server::json(r#"{"MessageId":"0102"}"#).await;
    let origin = ses.origin();
    let variables = [("CHALLENGE_FROM", "security@example.com"), ("AWS_ENDPOINT_URL", origin.as_str())];
    let lambda = Environment::start(&[&BASE[..], &variables].concat()).await;
    let create = event("CreateAuthChallenge", &json!({ "challengeName": "CUSTOM_CHALLENGE" }));
    assert!(matches!(lambda.invoke(create).await, Answer::Error(_)) && ses.count() == 0);
    let Answer::Event(check) = lambda.invoke(r#"{"riskgate":"check"}"#).await else { panic!("a check") };
    assert!(check.contains(r#""challenge":{"failures":1"#), "{check}");
}
