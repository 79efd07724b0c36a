//! The checks of docs/STEP_UP.md in Node and Python, run as the page prints them, against a test issuer.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::issuer::{Issuer, Key, with};

/// The block of code after the heading.
fn block(heading: &str, language: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/STEP_UP.md")).expect("the page");
    let (_, after) = text.split_once(&format!("\n### {heading}\n")).expect("the heading");
    let (_, code) = after.split_once(&format!("```{language}\n")).expect("a block");
    code.split_once("```").expect("the block's end").0.to_owned()
}

/// Runs the check for each token. Prints `ok` or `refused` for each.
async fn answers(issuer: &Issuer, mut command: Command, tokens: &[String]) -> Vec<String> {
    command.env("ISSUER", issuer.url()).env("CLIENTS", "web,ios").args(tokens);
    let output = tokio::task::spawn_blocking(move || command.output().expect("the program is installed")).await.expect("it ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// Tokens, and whether the check accepts them.
fn cases(issuer: &Issuer) -> Vec<(String, &'static str)> {
    let now = jiff::Timestamp::now().as_second();
    let challenged = json!({ "riskgate:acr": "urn:cognito:loa:4 urn:cognito:loa:3", "riskgate:step_up_after": now - 60 });
    let (calm, challenged) = (issuer.claims(now), with(&issuer.claims(now), &challenged));
    let sign = |claims: &Value, change: Value| Key::Current.sign(&with(claims, &change));
    let header = |alg: &str| Key::Current.token(&json!({ "kid": "1", "alg": alg }), &challenged);
    vec![
        (sign(&calm, json!({ "acr": "urn:cognito:loa:1" })), "ok"),
        (sign(&challenged, json!({})), "ok"),
        (sign(&challenged, json!({ "acr": "urn:cognito:loa:3", "client_id": "ios" })), "ok"),
        (sign(&calm, json!({ "riskgate:level": null })), "refused"),
        (sign(&challenged, json!({ "acr": "urn:cognito:loa:2" })), "refused"),
        (sign(&challenged, json!({ "acr": null })), "refused"),
        (sign(&challenged, json!({ "auth_time": now - 60 })), "refused"),
        (sign(&challenged, json!({ "auth_time": null })), "refused"),
        (sign(&challenged, json!({ "riskgate:acr": null })), "refused"),
        (sign(&challenged, json!({ "riskgate:step_up_after": null })), "refused"),
        (sign(&challenged, json!({ "exp": now - 61 })), "refused"),
        (sign(&challenged, json!({ "iss": "https://other.example/x" })), "refused"),
        (sign(&challenged, json!({ "client_id": "other" })), "refused"),
        (sign(&challenged, json!({ "token_use": "id", "aud": "web" })), "refused"),
        (Key::Stranger.sign(&challenged), "refused"),
        (header("none"), "refused"),
        (header("HS256"), "refused"),
        (header("RS512"), "refused"),
    ]
}

async fn check(issuer: &Issuer, command: Command) {
    let (tokens, expected): (Vec<String>, Vec<&str>) = cases(issuer).into_iter().unzip();
    assert_eq!(answers(issuer, command, &tokens).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_in_node_accepts_and_refuses_the_same_tokens() {
    let issuer = Issuer::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let code =
        block("Node", "js") + "\nfor (const token of process.argv.slice(2)) console.log(await checkStepUp(token).then(() => \"ok\", () => \"refused\"));\n";
    let file = directory.path().join("step_up.mjs");
    fs::write(&file, code).expect("written");
    let mut command = Command::new("node");
    command.arg(file);
    check(&issuer, command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_in_python_accepts_and_refuses_the_same_tokens() {
    let issuer = Issuer::start().await;
    let code = block("Python", "python")
        + "\nimport sys\nfor token in sys.argv[1:]:\n    try:\n        check_step_up(token)\n        print(\"ok\")\n    except Exception:\n        print(\"refused\")\n";
    let mut command = Command::new("python3");
    command.arg("-c").arg(code);
    check(&issuer, command).await;
}
