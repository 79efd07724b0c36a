//! The signing code of docs/SIGNED_CONTEXT.md, run as printed there, and the command, against the real verifier.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use riskgate_config::Config;
use riskgate_engine::{client_ip::ClientIp, context::Trust, personal::RawEvent};
use riskgate_event::cognito::{self, Event};
use riskgate_runtime::clock;
use serde_json::json;

const POOL: &str = "eu-west-1_AbCdEf";
const SECRET: [u8; 32] = [3; 32];

/// The first block of code in `language` after the heading.
fn block(heading: &str, language: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SIGNED_CONTEXT.md")).expect("the page");
    let (_, after) = text.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let (_, code) = after.split_once(&format!("```{language}\n")).expect("a block");
    code.split_once("```").expect("the block's end").0.to_owned()
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[track_caller]
fn check_accepted(token: &str, keys: &str) {
    let (config, faults) = Config::read(&BTreeMap::from([("RISKGATE_CONTEXT_KEYS".to_owned(), keys.to_owned())]));
    assert!(faults.is_empty(), "{faults:?}");
    let event = json!({
        "userPoolId": POOL, "userName": "ada", "callerContext": { "clientId": "web" },
        "request": { "userAttributes": {}, "validationData": { "riskgate": token } }, "response": {},
    });
    let raw = RawEvent::new(serde_json::value::to_raw_value(&event).expect("JSON"));
    let Ok(Event::PreAuthentication(sign_in)) = cognito::parse(raw, clock::read(), &config.trust) else { unreachable!("a pre-authentication") };
    assert_eq!(sign_in.context.trust, Trust::Signed, "{token}");
    assert_eq!(sign_in.context.ip, ClientIp::parse("8.8.8.8"));
    assert_eq!(sign_in.context.user_agent.as_ref().expect("an agent").text.expose(), "Ünïcode \"agent\"/1.0");
}

fn shared() -> String {
    format!("k1:HS256:{}", B64.encode(SECRET))
}

#[test]
fn a_context_signed_by_node_is_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    let code = block("Node", "js")
        + "\nconsole.log(signContext({ pool: \"eu-west-1_AbCdEf\", client: \"web\", user: \"ada\", ip: \"8.8.8.8\", userAgent: 'Ünïcode \"agent\"/1.0' }));\n";
    let file = directory.path().join("sign_context.mjs");
    fs::write(&file, code).expect("written");
    let token = run(Command::new("node").arg(file).env("CONTEXT_KEY", B64.encode(SECRET)));
    check_accepted(&token, &shared());
}

#[test]
fn a_context_signed_by_python_is_accepted() {
    let code = block("Python", "python") + "\nprint(sign_context(\"eu-west-1_AbCdEf\", \"web\", \"ada\", ip=\"8.8.8.8\", userAgent='Ünïcode \"agent\"/1.0'))\n";
    let token = run(Command::new("python3").arg("-c").arg(code).env("CONTEXT_KEY", B64.encode(SECRET)));
    check_accepted(&token, &shared());
}

#[test]
fn a_context_signed_by_the_edge_recipe_is_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("sign_context.mjs"), block("Node", "js")).expect("written");
    let call = "\nconst viewer = { \"cloudfront-viewer-address\": \"8.8.8.8:46532\", \"user-agent\": 'Ünïcode \"agent\"/1.0' };\n\
                console.log((await handler({ headers: viewer })).body);\n";
    let file = directory.path().join("edge.mjs");
    fs::write(&file, block("At the edge", "js") + call).expect("written");
    let token = run(Command::new("node").arg(file).envs([("CONTEXT_KEY", B64.encode(SECRET).as_str()), ("POOL", POOL), ("CLIENT", "web")]));
    check_accepted(&token, &shared());
}

/// `riskgate sign-context` with the same claims.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
    command.env_clear().args(["sign-context", "--pool", POOL, "--client", "web", "--user", "ADA", "--ip", "8.8.8.8", "--user-agent", "Ünïcode \"agent\"/1.0"]);
    command
}

#[test]
fn the_command_signs_with_a_shared_key() {
    check_accepted(&run(command().env("RISKGATE_CONTEXT_KEYS", shared())), &shared());
}

#[test]
fn the_command_signs_with_keys_of_openssl() {
    let directory = tempfile::tempdir().expect("a directory");
    for (alg, arguments) in [("EdDSA", &["-algorithm", "ed25519"][..]), ("ES256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..])] {
        let private = directory.path().join(format!("{alg}.pem"));
        run(Command::new("openssl").arg("genpkey").args(arguments).arg("-out").arg(&private));
        let public = Command::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&private).output().expect("openssl is installed").stdout;
        let token = run(command().args(["--kid", "edge", "--private-key"]).arg(&private));
        check_accepted(&token, &format!("edge:{alg}:{}", B64.encode(public)));
    }
}

#[test]
fn the_command_names_what_is_missing() {
    for (name, value, expected) in [
        ("UNSET", String::new(), "RISKGATE_CONTEXT_KEYS has no matching HS256 key"),
        ("RISKGATE_CONTEXT_KEYS", "k1:HS256:c2hvcnQ".to_owned(), "RISKGATE_CONTEXT_KEYS: entry 1 has a key of less than 32 bytes"),
        ("RISKGATE_CONTEXT_KEYS", format!("k1:EdDSA:{}", B64.encode(SECRET)), "RISKGATE_CONTEXT_KEYS has no matching HS256 key"),
    ] {
        let output = command().env(name, &value).output().expect("it runs");
        let result = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{result}");
        assert!(result.contains(expected), "{result}");
        assert!(value.is_empty() || !result.contains(value.rsplit(':').next().unwrap_or_default()), "a key is printed: {result}");
    }
}
