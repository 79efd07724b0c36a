//! Nothing personal and no secret in anything that the binary writes, at its most talkative.

use std::{fs::File, io::Read, process::Stdio};

use riskgate_config::Config;
use riskgate_event::signed_context::{Claims, sign};
use riskgate_telemetry::subscriber;
use serde_json::{Value, json};

use crate::runtime_api::{Answer, Environment};

/// Values that a sign-in carries: none of them, nor the network of the address, may be written anywhere.
const PERSONAL: [&str; 11] = [
    "marker.anna@example.com",
    "+4791234567",
    "marker-anna",
    "4f3c5ab0-aaaa-4000-8000-0000000000a1",
    "81.2.69.160",
    "81.2.69.",
    "2a02:2770:1:2::3",
    "2a02:2770",
    "marker-device-77",
    "MarkerAgent/9.9",
    "xx-MARKER",
];

/// Secrets of the configuration.
const SECRETS: [&str; 3] = ["marker-header-secret", "marker-ipqs-secret", "bWFya2VyLWNvbnRleHQtc2VjcmV0LW9mLTMyLWJ5dGVz"];

fn event(trigger: &str, data: Value) -> String {
    json!({
        "version": "1", "triggerSource": trigger, "region": "eu-west-1", "userPoolId": "eu-west-1_test", "userName": "marker-anna",
        "callerContext": { "awsSdkVersion": "x", "clientId": "web" },
        "request": {
            "userAttributes": { "sub": PERSONAL[3], "email": PERSONAL[0], "phone_number": PERSONAL[1], "preferred_username": "marker-anna" },
            "validationData": data, "newDeviceUsed": true, "groupConfiguration": {}, "scopes": [],
        },
        "response": {},
    })
    .to_string()
}

fn context(key: &[u8], ip: &str) -> String {
    let claims = Claims {
        aud: "eu-west-1_test".to_owned(),
        client_id: "web".to_owned(),
        sub: Some(PERSONAL[0].to_owned()),
        iat: i64::try_from(std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()).expect("a date"),
        jti: "marker-nonce-0000001".to_owned(),
        ip: Some(ip.to_owned()),
        device_id: Some("marker-device-77".to_owned()),
        ..Claims::default()
    };
    sign(&claims, "k1", jsonwebtoken::Algorithm::HS256, &jsonwebtoken::EncodingKey::from_secret(key)).expect("a token")
}

#[tokio::test]
async fn nothing_personal_is_written() {
    for format in ["json", "text"] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("output");
        let file = File::create(&path).expect("a file");
        let keys = format!("k1:HS256:{}", SECRETS[2]);
        let lambda = Environment::start_with_output(
            &[
                ("LOG", "trace"),
                ("LOG_FORMAT", format),
                ("CONTEXT_KEYS", &keys),
                ("PROVIDERS", "http,ipqs"),
                ("IPQS_URL", "http://127.0.0.1:1"),
                ("IPQS_SEND", "all"),
                ("IPQS_KEY", SECRETS[1]),
                ("HTTP_URL", "http://127.0.0.1:1/{ip}?agent={userAgent}"),
                ("HTTP_SEND", "all"),
                ("HTTP_HEADERS", "Authorization: Bearer marker-header-secret"),
            ],
            Stdio::from(file.try_clone().expect("a handle")),
            Stdio::from(file),
        )
        .await;
        let claims = |ip: &str| json!({ "ip": ip, "userAgent": "MarkerAgent/9.9", "deviceId": "marker-device-77", "acceptLanguage": "xx-MARKER", "timezone": "Europe/xx-MARKER" });
        let good = context(b"marker-context-secret-of-32-bytes", "81.2.69.160");
        let forged = context(b"another-key-of-more-than-32-bytes", "2a02:2770:1:2::3");
        let mut decided = 0;
        for data in [claims("81.2.69.160"), claims("2a02:2770:1:2::3"), claims("81.2.69.160, x"), json!({ "riskgate": good }), json!({ "riskgate": forged })] {
            for trigger in ["PreAuthentication_Authentication", "PostAuthentication_Authentication", "TokenGeneration_Authentication", "PreSignUp_SignUp"] {
                assert_ne!(lambda.invoke(event(trigger, data.clone())).await, Answer::Gone);
            }
            decided += 1;
        }
        for broken in
            [r#""marker-anna""#, r#"["marker-anna"]"#, r#"{"request":"marker-anna"}"#, "{marker-anna", r#"{"userName":"marker-anna","userName":"marker-anna"}"#]
        {
            assert_ne!(lambda.invoke(broken).await, Answer::Gone);
        }
        let Answer::Event(check) = lambda.invoke(r#"{"riskgate":"check"}"#).await else { panic!("a check") };
        assert!(check.contains(r#""faults":[]"#), "{check}");
        drop(lambda);
        let mut output = String::new();
        File::open(&path).expect("the output").read_to_string(&mut output).expect("text");
        assert!(output.matches("\"schema\"").count() >= decided, "the audit lines are missing: {output}");
        for value in PERSONAL.iter().chain(&SECRETS).copied().chain([good.as_str(), forged.as_str()]) {
            assert!(!check.contains(value), "{value} is in the check: {check}");
            let line = output.lines().find(|line| line.contains(value));
            assert!(line.is_none(), "{value} is written ({format}): {line:?}");
        }
    }
}

/// A panic's text may contain anything. The test runs itself as a separate process and reads its standard error.
#[test]
fn a_panic_is_logged_with_its_place_and_without_its_text() {
    const CHILD: &str = "RISKGATE_TEST_PANICS";
    let this = "telemetry::privacy::a_panic_is_logged_with_its_place_and_without_its_text";
    if std::env::var_os(CHILD).is_some() {
        subscriber::install(&Config::defaults().telemetry);
        std::panic::panic_any("marker-anna");
    }
    let mut command = std::process::Command::new(std::env::current_exe().expect("a test is a program"));
    let output = command.args(["--exact", this, "--nocapture"]).env(CHILD, "1").output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("\"a panic\"") && text.contains("tests/integration/telemetry/privacy.rs"), "{text}");
    assert!(!text.contains("marker-anna"), "{text}");
}
