//! AWS credentials that are missing, of a kind that is not read, or slow: named with the way out, and never cut off by one sign-in's deadline.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::HANG;
use crate::process::Process;
use crate::sidecar::tls;
use crate::wire::{Act, Server, json};

const KEY: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

const ISSUED: &str = r#"{"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#;

/// Runs `riskgate block list` with this AWS configuration file and these variables. Returns the exit code and the output.
fn block_list(home: &Path, config: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    std::fs::create_dir_all(home.join(".aws")).unwrap();
    std::fs::write(home.join(".aws/config"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
    command.args(["block", "list"]).env_clear().env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").env("RISKGATE_STORE", "dynamodb://riskgate").env("RISKGATE_PSEUDONYM_KEY", KEY);
    let output = command.envs(variables.iter().copied()).stdin(Stdio::null()).output().expect("it starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const SSO: &str = "[sso-session corp]\nsso_start_url = https://example.com/start\nsso_region = eu-west-1\n[profile ops]\nsso_session = corp\n\
                   sso_account_id = 111122223333\nsso_role_name = Ops\nregion = eu-west-1\n";

#[test]
fn credentials_that_cannot_be_used_are_named_with_the_way_out() {
    let home = tempfile::tempdir().unwrap();
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let ops = ("AWS_PROFILE", "ops");
    for (config, variables, words) in [
        (SSO, &[ops][..], "export-credentials"),
        (SSO, &[ops], "SSO"),
        ("[profile ops]\nregion = eu-west-1\ncredential_process = /bin/true\n", &[ops], "credential_process"),
        ("[profile ops]\nregion = eu-west-1\nlogin_session = arn:aws:iam::1:user/x\n", &[ops], "login session"),
        ("[profile other]\nregion = eu-west-1\n", &[ops, ("AWS_REGION", "eu-west-1")], "AWS_PROFILE"),
        ("", &[("AWS_REGION", "eu-west-1")], "no AWS credentials were found"),
        ("", &keys, "AWS_REGION"),
    ] {
        let (code, log) = block_list(home.path(), config, variables);
        assert!(code == Some(1) && log.contains("no_credentials") && log.contains(words) && !log.contains("connect"), "{words}: {code:?} {log}");
    }
    // A table that cannot be reached stays a matter of the network.
    let (_, log) = block_list(home.path(), "", &[&keys[..], &[("AWS_REGION", "eu-west-1")]].concat());
    assert!(log.contains("connect") && !log.contains("no_credentials"), "{log}");
    let (code, log) = block_list(home.path(), SSO, &[ops, ("RISKGATE_PSEUDONYM_KEY", "ssm://key")]);
    assert!(code == Some(2) && log.contains("no_credentials") && log.contains("export-credentials"), "{log}");
}

#[tokio::test]
async fn expired_credentials_are_named() {
    let table = Server::start(|_| json(400, r#"{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"x"}"#)).await;
    let origin = table.origin();
    let log = tokio::task::spawn_blocking(move || {
        let home = tempfile::tempdir().unwrap();
        let variables =
            [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL_DYNAMODB", origin.as_str())];
        block_list(home.path(), "", &variables).1
    });
    let log = log.await.unwrap();
    assert!(log.contains("have expired") && log.contains("export-credentials"), "{log}");
}

#[tokio::test]
async fn slow_credentials_serve_the_sign_ins_after_the_first() {
    let issuer = Server::start(|_| Act::After(Duration::from_millis(900), Box::new(json(200, ISSUED)))).await;
    let table = Server::start(|_| json(200, "{}")).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]).env_clear();
    command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/c", issuer.origin())).env("AWS_ENDPOINT_URL_DYNAMODB", table.origin());
    command.env("AWS_REGION", "eu-west-1").env("AWS_EC2_METADATA_DISABLED", "true").env("RISKGATE_STORE_TIMEOUT", "200ms");
    command.env("RISKGATE_STORE", "dynamodb://riskgate").env("RISKGATE_PSEUDONYM_KEY", KEY).env("RISKGATE_AUDIT", "off").env("RISKGATE_LOG", "off");
    let _process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls()).timeout(HANG).build().unwrap();
    let mut seen = Vec::new();
    for _ in 0..200 {
        let sent = client
            .post(format!("http://127.0.0.1:{port}/v1/assess"))
            .header("content-type", "application/json")
            .body(r#"{"user":"ada","ip":"8.8.8.8"}"#)
            .send();
        if let Ok(answer) = sent.await {
            let answer: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            seen.push(answer["evidence"]["history"].as_str().unwrap_or_default().to_owned());
        }
        if seen.last().is_some_and(|last| last == "fresh") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen.last().map(String::as_str), Some("fresh"), "{seen:?}");
    assert_eq!(issuer.requests().len(), 1, "one fetch for all of them");
}
