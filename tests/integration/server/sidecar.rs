//! The sidecar's routes, as a backend or an AWS SDK calls them.

use std::{collections::BTreeMap, net::SocketAddr};

use riskgate_config::Config;
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::mode::RuntimeMode;
use riskgate_server::sidecar::{self, ListenerRole};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

/// A sidecar on a free port, until it is dropped.
pub struct Sidecar {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its client.
    pub client: reqwest::Client,
    _stop: oneshot::Sender<()>,
}

impl Sidecar {
    /// Starts one with these variables.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        let variables = [("AUDIT", "off")].iter().chain(variables);
        let map: BTreeMap<String, String> = variables.map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
        let (config, faults) = Config::read(&map);
        let instance = Instance::strict(config, faults, RuntimeMode::Sidecar).expect("a configuration without fault");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(async move {
            sidecar::serve(listener, ListenerRole::Combined, instance, async move {
                let _ = stopped.await;
            })
            .await
        });
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls()).build().expect("a client");
        Sidecar { address, client, _stop: stop }
    }

    /// `POST` of JSON: status and parsed body.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.client.post(self.url(path)).header("content-type", "application/json").body(body);
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// `POST /v1/assess` with further headers.
    pub async fn assess(&self, headers: &[(&str, &str)], body: &Value) -> Value {
        let request = self.client.post(self.url("/v1/assess")).header("content-type", "application/json").body(body.to_string());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        serde_json::from_str(&request.send().await.expect("an answer").text().await.expect("a body")).expect("JSON")
    }

    /// `GET`: the answer, its body still to be read.
    pub async fn stream(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.expect("an answer")
    }

    /// Where a path is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

pub fn tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

#[tokio::test]
async fn an_assessment_has_the_documented_shape() {
    let sidecar = Sidecar::start(&[]).await;
    let (status, body) =
        sidecar.post("/v1/assess", json!({"user": "ada", "client": "web", "ip": "81.2.69.142", "timezone": "Europe/London"}).to_string()).await;
    assert_eq!(status, 200, "{body}");
    let keys: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut expected = vec![
        "id",
        "decision",
        "action",
        "score",
        "calibration",
        "level",
        "mode",
        "decided_by",
        "log_odds",
        "base",
        "reasons",
        "evidence",
        "degraded",
        "context",
        "elapsed_ms",
        "model",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((&body["decision"], &body["context"]), (&json!("allow"), &json!("trusted")));
    let sum: f64 = body["reasons"].as_array().expect("reasons").iter().map(|reason| reason["weight"].as_f64().expect("a weight")).sum();
    let (base, log_odds) = (body["base"].as_f64().expect("a base"), body["log_odds"].as_f64().expect("log-odds"));
    assert!((base + sum - log_odds).abs() < 1e-3, "{body}");
}

#[tokio::test]
async fn a_denial_is_an_answer_too() {
    let sidecar = Sidecar::start(&[("DENY_CIDRS", "8.8.8.0/24")]).await;
    let (status, body) = sidecar.post("/v1/assess", r#"{"user":"ada","ip":"::ffff:8.8.8.8"}"#).await;
    assert_eq!((status, &body["decision"], &body["action"]), (200, &json!("deny"), &json!("deny")), "{body}");
}

#[tokio::test]
async fn wrong_bodies_are_problems_that_name_the_fix() {
    let sidecar = Sidecar::start(&[("POOLS", "eu-west-1_ours")]).await;
    for (body, status) in [
        ("", 422),
        ("{", 422),
        (r#"{"ip":"8.8.8.8"}"#, 422),
        (r#"{"user":""}"#, 422),
        (r#"{"user":"ada","usr_agent":"x"}"#, 422),
        (r#"{"user":"ada","ip":"8.8.8.8, 10.0.0.1"}"#, 422),
        (r#"{"user":"ada","country":"Norway"}"#, 422),
        (r#"{"user":"ada","pool":"eu-west-1_theirs"}"#, 422),
    ] {
        let (found, problem) = sidecar.post("/v1/assess", body).await;
        assert_eq!(found, status, "{body}: {problem}");
        assert_eq!(problem["status"], json!(status), "{body}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{body}: {problem}");
    }
}

#[tokio::test]
async fn forwarded_addresses_count_from_the_right() {
    let sidecar = Sidecar::start(&[("TRUSTED_PROXIES", "2"), ("DENY_CIDRS", "8.8.4.4")]).await;
    let ask = |lines: &'static [&'static str], body: &'static str| {
        let request = sidecar.client.post(sidecar.url("/v1/assess")).header("content-type", "application/json").body(body);
        let request = lines.iter().fold(request, |request, line| request.header("x-forwarded-for", *line));
        async move { serde_json::from_str::<Value>(&request.send().await.expect("an answer").text().await.expect("a body")).expect("JSON") }
    };
    assert_eq!(ask(&["6.6.6.6, 8.8.4.4", "10.0.0.5"], r#"{"user":"ada"}"#).await["decision"], "deny");
    assert_eq!(ask(&["8.8.4.4, 6.6.6.6", "10.0.0.5"], r#"{"user":"ada"}"#).await["decision"], "allow", "the left-most is the client's own word");
    assert_eq!(ask(&["6.6.6.6, 8.8.4.4", "10.0.0.5"], r#"{"user":"ada","ip":"9.9.9.9"}"#).await["decision"], "allow", "the body's address beats the headers");
}

/// An address that no machine has. Nothing is ever opened to others.
#[test]
fn a_public_address_needs_a_token() {
    let serve = |variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_riskgate"));
        let output = command.args(["serve", "--listen", "192.0.2.1:8710"]).env_clear().envs(variables.iter().copied()).output().expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = serve(&[]);
    assert!(code == Some(2) && text.contains("RISKGATE_TOKEN"), "{text}");
    let (code, text) = serve(&[("RISKGATE_TOKEN", "0123456789abcdef0123")]);
    assert!(code == Some(1) && !text.contains("RISKGATE_TOKEN"), "{text}");
}

#[tokio::test]
async fn any_aws_sdk_can_invoke_the_trigger() {
    let sidecar = Sidecar::start(&[("DENY_CLIENTS", "kiosk")]).await;
    let event =
        |client: &str| format!(r#"{{"triggerSource":"PreAuthentication_Authentication","callerContext":{{"clientId":"{client}"}},"request":{{}},"n":1.0}}"#);
    let invoke = |event: String| {
        sidecar.client.post(sidecar.url("/2015-03-31/functions/riskgate/invocations")).header("content-type", "binary/octet-stream").body(event)
    };
    let allowed = invoke(event("web")).send().await.expect("an answer");
    assert!(allowed.headers().get("x-amz-function-error").is_none());
    assert_eq!(allowed.text().await.expect("a body"), event("web"));
    let denied = invoke(event("kiosk")).send().await.expect("an answer");
    assert_eq!(denied.status().as_u16(), 200);
    assert_eq!(denied.headers().get("x-amz-function-error").map(|value| value.as_bytes()), Some(&b"Unhandled"[..]));
    let error: Value = serde_json::from_str(&denied.text().await.expect("a body")).expect("JSON");
    assert_eq!(error["errorType"], "SignInDenied");
}

#[tokio::test]
async fn probes_metrics_and_unknown_routes() {
    let sidecar = Sidecar::start(&[]).await;
    let status = async |path: &str| sidecar.client.get(sidecar.url(path)).send().await.expect("an answer").status().as_u16();
    for (path, expected) in
        [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/openapi.json", 200), ("/nope", 404), ("/v1/assess", 405), ("/../etc/passwd", 404)]
    {
        assert_eq!(status(path).await, expected, "{path}");
    }
    sidecar.post("/v1/assess", r#"{"user":"ada","ip":"81.2.69.142"}"#).await;
    let text = sidecar.client.get(sidecar.url("/metrics")).send().await.expect("an answer").text().await.expect("a body");
    assert!(text.contains(r#"riskgate_decisions_total{decision="allow",mode="enforce",level="low"} 1"#), "{text}");
}

#[tokio::test]
async fn a_token_guards_all_but_the_probes() {
    let sidecar = Sidecar::start(&[("TOKEN", "0123456789abcdef0123")]).await;
    assert_eq!(sidecar.post("/v1/assess", r#"{"user":"ada"}"#).await.0, 401);
    for path in ["/metrics", "/openapi.json", "/", "/healthz", "/readyz"] {
        let status = sidecar.client.get(sidecar.url(path)).send().await.expect("an answer").status().as_u16();
        assert_eq!(status, if path.ends_with('z') { 200 } else { 401 }, "{path}");
    }
    let with = sidecar.client.get(sidecar.url("/metrics")).header("authorization", "Bearer 0123456789abcdef0123").send().await.expect("an answer");
    assert_eq!(with.status().as_u16(), 200);
    // A browser sends it as a password; `x:0123456789abcdef0123` in base64.
    for (credentials, expected) in [("eDowMTIzNDU2Nzg5YWJjZGVmMDEyMw==", 200), ("eDp3cm9uZw==", 401), ("!", 401), ("", 401)] {
        let page = sidecar.client.get(sidecar.url("/")).header("authorization", format!("Basic {credentials}")).send().await.expect("an answer");
        assert_eq!(page.status().as_u16(), expected, "{credentials}");
    }
}

#[tokio::test]
async fn an_outcome_is_accepted_once() {
    let sidecar = Sidecar::start(&[]).await;
    let (_, body) = sidecar.post("/v1/assess", json!({"user": "ada", "ip": "8.8.8.8", "deviceId": "d"}).to_string()).await;
    let report = |outcome: &str| json!({"id": body["id"], "outcome": outcome}).to_string();
    assert_eq!(sidecar.post("/v1/outcome", report("wonderful")).await.0, 422);
    assert_eq!(sidecar.post("/v1/outcome", report("success")).await, (200, json!({"outcome": "success", "learned": true})));
    assert_eq!(sidecar.post("/v1/outcome", report("success")).await.0, 404, "once");
    assert_eq!(sidecar.post("/v1/outcome", json!({"id": "01JD9W1Z5Y2N8Q4T7V6X3R0KMB", "outcome": "fraud"}).to_string()).await.0, 404);
    let metrics = sidecar.stream("/metrics").await.text().await.expect("text");
    for outcome in ["success", "learned"] {
        assert!(metrics.contains(&format!("riskgate_outcomes_total{{outcome=\"{outcome}\"}} 1\n")), "{outcome}");
    }
}
