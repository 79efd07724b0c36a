//! Metrics and audit lines: the number of series is constant, lines match their schemas, and all metrics of dashboards and alerts exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use riskgate_config::Config;
use riskgate_engine::client_ip::ClientIp;
use riskgate_event::http;
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::clock;
use riskgate_runtime::{deadline::Deadline, mode::RuntimeMode};
use riskgate_telemetry::names;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::HANG;
use crate::runtime_api::{Answer, Environment};
use crate::sidecar::Sidecar;

/// Every service configured, at addresses where nothing listens.
const ALL_SERVICES: [(&str, &str); 7] = [
    ("PROVIDERS", "minfraud,ipqs,abuseipdb,crowdsec,crowdsec_cti,http"),
    ("MINFRAUD_ACCOUNT_ID", "1"),
    ("MINFRAUD_LICENSE_KEY", "k"),
    ("IPQS_KEY", "k"),
    ("ABUSEIPDB_KEY", "k"),
    ("CROWDSEC_KEY", "k"),
    ("CROWDSEC_CTI_KEY", "k"),
];

fn config(variables: &[(&str, &str)]) -> Config {
    let map: BTreeMap<String, String> = variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
    let (config, faults) = Config::read(&map);
    assert!(faults.is_empty(), "{faults:?}");
    config
}

fn rendered(variables: &[(&str, &str)]) -> String {
    let instance = Instance::strict(config(variables), Vec::new(), RuntimeMode::Sidecar).expect("an instance");
    instance.telemetry.render().expect("metrics are on")
}

fn series(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

fn every_service() -> Vec<(&'static str, &'static str)> {
    [&ALL_SERVICES[..], &[("HTTP_URL", "http://127.0.0.1:9/score"), ("AUDIT", "off")]].concat()
}

#[test]
fn every_metric_is_there_from_the_start_with_its_help() {
    let text = rendered(&every_service());
    for (name, help) in names::ALL {
        assert!(text.contains(&format!("# HELP {name} {help}\n")), "{name} has no help");
        assert!(
            text.lines()
                .any(|line| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}_count"))),
            "{name} has no series"
        );
    }
    // The budget and the alarm's 80 % of it are edges, whatever the budget.
    let text = rendered(&[("BUDGET", "1777ms"), ("AUDIT", "off")]);
    for edge in ["1.777", "1.422", "0.001", "3"] {
        assert!(text.contains(&format!(r#"riskgate_assessment_duration_seconds_bucket{{decision="deny",le="{edge}"}} 0"#)), "{edge}");
    }
    assert!(Instance::strict(config(&[("METRICS", "off")]), Vec::new(), RuntimeMode::Sidecar).expect("an instance").telemetry.render().is_none());
}

/// As many different sign-ins as ten seconds allow, at most a million, with hostile values in every field.
#[tokio::test]
async fn the_series_are_as_many_after_any_number_of_sign_ins() {
    let instance = Instance::strict(config(&[("AUDIT", "off"), ("DENY_CLIENTS", "banned")]), Vec::new(), RuntimeMode::Sidecar).expect("an instance");
    let before = series(&instance.telemetry.render().expect("metrics are on"));
    let end = Instant::now() + Duration::from_secs(10);
    let mut played = 0_u32;
    while played < 1_000_000 && (played < 2_000 || Instant::now() < end) {
        let n = played;
        let body = json!({
            "user": format!("user-{n}\"}}\n{{"), "client": if n.is_multiple_of(9) { "banned".to_owned() } else { format!("client-{n}") }, "pool": format!("pool-{n}"), "tenant": format!("tenant-{n}"),
            "ip": format!("{}.{}.{}.{}", 1 + n % 223, n / 7 % 256, n / 3 % 256, n % 256), "userAgent": format!("Agent/{n} ${{jndi:x}}"), "deviceId": format!("device-{n}"), "timezone": format!("Zone/{n}"),
        });
        let now = clock::read();
        let sign_in = http::parse(body.to_string().as_bytes(), ClientIp::Missing, now).expect("a sign-in");
        let deadline = instance.engine.deadline(now.mono, None);
        let assessment = instance.engine.assess(sign_in, deadline).await;
        instance.telemetry.record_assessment(&assessment, deadline).await;
        played += 1;
        if played.is_multiple_of(1_000) {
            instance.telemetry.upkeep();
        }
    }
    let text = instance.telemetry.render().expect("metrics are on");
    assert_eq!(series(&text), before, "after {played} sign-ins");
    assert!(text.contains(&format!("riskgate_score_count {played}\n")), "every one of {played} is counted");
}

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every name that begins so in a text.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.match_indices(prefix)
        .filter(|(at, _)| !text[..*at].ends_with(is_part))
        .map(|(at, _)| text[at..].chars().take_while(|c| is_part(*c)).collect())
        .collect()
}

#[track_caller]
fn check_names(file: &str, text: &str) {
    let known: BTreeSet<&str> = names::ALL.iter().map(|(name, _)| *name).collect();
    let used = names(text, "riskgate_");
    assert!(!used.is_empty(), "{file} uses no metric");
    for name in used {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
        assert!(known.contains(name.as_str()) || known.contains(base), "{file}: {name} is no metric of ours");
    }
}

#[test]
fn whatever_is_drawn_or_alarmed_on_exists() {
    let grafana = read("deploy/grafana/riskgate.json");
    let rules = read("deploy/prometheus/rules.yaml");
    for (file, text) in [
        ("deploy/grafana/riskgate.json", &grafana),
        ("deploy/prometheus/rules.yaml", &rules),
        ("deploy/grafana/riskgate-cloudwatch.json", &read("deploy/grafana/riskgate-cloudwatch.json")),
        ("deploy/cloudwatch/watch.yaml", &read("deploy/cloudwatch/watch.yaml")),
    ] {
        check_names(file, text);
    }
    // A rule's own recordings are recorded.
    for name in names(&rules, "riskgate:") {
        assert!(rules.contains(&format!("record: {name}\n")), "{name} is not recorded");
    }
    // A selected label value is one that exists.
    let there = rendered(&every_service());
    for text in [&grafana.replace("\\\"", "\""), &rules] {
        let mut found = 0;
        for label in ["decision", "state", "outcome", "cause", "tier", "stage", "result"] {
            for rest in text.split(&format!("{{{label}=")).skip(1) {
                let quoted = rest.trim_start_matches('~').trim_start_matches('"');
                for value in quoted.split('"').next().unwrap_or_default().split('|') {
                    assert!(there.contains(&format!("{label}=\"{value}\"")), "{label}={value} never appears");
                    found += 1;
                }
            }
        }
        assert!(found > 0);
    }
}

#[test]
fn each_alert_is_tested_firing_and_not_firing() {
    let rules = read("deploy/prometheus/rules.yaml");
    let tests = read("deploy/prometheus/rules_test.yaml");
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("- alertname: {alert}\n")), "{alert} is never shown firing");
        assert!(tests.contains(&format!("alertname: {alert}, eval_time: ")), "{alert} is never shown not firing");
    }
    let runbook = read("docs/RUNBOOK.md");
    for section in rules.lines().filter_map(|line| line.trim().strip_prefix("runbook: docs/RUNBOOK.md#")) {
        assert!(runbook.contains(&format!("\n### {section}\n")), "the runbook has no section {section}");
    }
}

/// Checks a line against AWS's specification of the embedded metric format.
fn check_emf(line: &Value) {
    let root = line.as_object().expect("an object");
    assert!(line.to_string().len() < 1_000_000);
    let aws = &root["_aws"];
    assert!(aws["Timestamp"].as_i64().is_some_and(|at| at > 1_600_000_000_000), "milliseconds");
    for directive in aws["CloudWatchMetrics"].as_array().expect("directives") {
        assert_eq!(directive["Namespace"], "riskgate");
        for set in directive["Dimensions"].as_array().expect("dimension sets") {
            let set = set.as_array().expect("a set");
            assert!(set.len() <= 30);
            for name in set.iter().map(|name| name.as_str().expect("a name")) {
                assert!(["decision", "mode", "provider", "result"].contains(&name), "{name} is no dimension of ours");
                assert!(root[name].as_str().is_some_and(|value| !value.is_empty() && value.len() <= 1024), "{name} is missing");
            }
        }
        let metrics = directive["Metrics"].as_array().expect("metrics");
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            let name = metric["Name"].as_str().expect("a name");
            assert!(names::ALL.iter().any(|(known, _)| *known == name), "{name}");
            assert!(root[name].as_f64().is_some_and(f64::is_finite), "{name} has no value");
            assert!(["Seconds", "Count", "None"].contains(&metric["Unit"].as_str().expect("a unit")));
        }
    }
}

/// The members of a line are the schema's: all that it requires, none that it does not know.
fn check_schema(line: &Value) {
    let schema: Value = serde_json::from_str(&read("data/audit.schema.json")).expect("JSON");
    let root = line.as_object().expect("an object");
    let schema = &schema["$defs"][if root.contains_key("outcome") { "outcome" } else { "decision" }];
    for required in schema["required"].as_array().expect("a list") {
        assert!(root.contains_key(required.as_str().expect("a name")), "{required} is missing");
    }
    for (name, value) in root {
        let rule = &schema["properties"][name];
        let is_metric = |pattern: &str| pattern == "^riskgate_[a-z_]+$" && name.starts_with("riskgate_");
        assert!(
            !rule.is_null() || schema["patternProperties"].as_object().is_some_and(|rules| rules.keys().any(|rule| is_metric(rule))),
            "{name} is not in the schema"
        );
        if let Some(allowed) = rule["enum"].as_array() {
            assert!(allowed.contains(value), "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn an_invocation_writes_one_line_with_its_metrics() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("output");
    let event = |client: &str| {
        format!(
            r#"{{"triggerSource":"PreAuthentication_Authentication","userPoolId":"eu-west-1_t","userName":"ada","callerContext":{{"clientId":"{client}"}},"request":{{"validationData":{{"ip":"8.8.8.8","deviceId":"d-1"}}}},"response":{{}}}}"#
        )
    };
    let variables = [
        ("DENY_CLIENTS", "banned"),
        ("PROVIDERS", "http,crowdsec"),
        ("HTTP_URL", "http://127.0.0.1:9/"),
        ("CROWDSEC_URL", "http://127.0.0.1:9"),
        ("CROWDSEC_KEY", "k"),
    ];
    let lambda = Environment::start_with_output(&variables, fs::File::create(&output).expect("a file").into(), std::process::Stdio::null()).await;
    assert!(matches!(lambda.invoke(event("web")).await, Answer::Event(_)));
    assert!(matches!(lambda.invoke(event("banned")).await, Answer::Error(_)));
    let success = event("web").replace("PreAuthentication_", "PostAuthentication_").replace("validationData", "clientMetadata");
    assert_eq!(lambda.invoke(success.clone()).await, Answer::Event(success));
    // Every line is written before the next event is requested.
    lambda.settled().await;
    let text = fs::read_to_string(&output).expect("reads");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3, "{text}");
    for line in &lines {
        check_emf(line);
        check_schema(line);
    }
    assert_eq!((&lines[0]["riskgate_cold_starts_total"], &lines[1]["riskgate_cold_starts_total"]), (&json!(1), &json!(0)));
    assert_eq!((&lines[0]["riskgate_degraded_total"], &lines[1]["decision"]), (&json!(1), &json!("deny")));
    assert!(["http", "crowdsec"].contains(&lines[0]["provider"].as_str().expect("one of the configured services")));
    // Without a store the sign-in is not known; the line has the user and the client.
    let expected = json!({"trigger": "post_authentication", "id": null, "outcome": "success", "learned": "no_attempt", "user": lines[0]["user"], "client": "web", "riskgate_outcomes_total": 1});
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&lines[2][name], value, "{name}: {text}");
    }
}

#[tokio::test]
async fn codes_of_challenges_and_step_ups_have_lines_of_metrics() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("output");
    let variables = [("STEP_UP_POOLS", "http://127.0.0.1:1/pool"), ("STEP_UP_CLIENTS", "web")];
    let lambda = Environment::start_with_output(&variables, fs::File::create(&output).expect("a file").into(), std::process::Stdio::null()).await;
    let passed = |name: &str| json!({ "challengeName": name, "challengeResult": true, "challengeMetadata": null });
    let create = json!({ "version": "1", "triggerSource": "CreateAuthChallenge_Authentication", "userPoolId": "pool", "userName": "ada", "callerContext": { "clientId": "web" },
        "request": { "challengeName": "CUSTOM_CHALLENGE", "session": [passed("SRP_A"), passed("PASSWORD_VERIFIER")] }, "response": {} });
    for _ in 0..2 {
        assert!(matches!(lambda.invoke(create.to_string()).await, Answer::Error(_)), "no code without a store");
    }
    lambda.invoke(r#"{"type":"TOKEN","methodArn":"arn:aws:execute-api:eu-west-1:123456789012:a/prod/GET/x","authorizationToken":"Bearer x"}"#).await;
    lambda.settled().await;
    let text = fs::read_to_string(&output).expect("reads");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    lines.iter().for_each(check_emf);
    let counts: Vec<(&str, &Value)> = lines
        .iter()
        .map(|line| {
            let name = if line["riskgate_challenge_codes_total"].is_null() { "riskgate_step_ups_total" } else { "riskgate_challenge_codes_total" };
            (line["result"].as_str().expect("a result"), &line[name])
        })
        .collect();
    assert_eq!(counts, [("undeliverable", &json!(1)), ("undeliverable", &json!(1)), ("malformed", &json!(1))], "{text}");
}

#[tokio::test]
async fn without_an_audit_line_the_metrics_have_their_own_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("output");
    let lambda = Environment::start_with_output(&[("AUDIT", "off")], fs::File::create(&output).expect("a file").into(), std::process::Stdio::null()).await;
    assert!(matches!(lambda.invoke(r#"{"request":{},"response":{}}"#).await, Answer::Event(_)));
    lambda.settled().await;
    let text = fs::read_to_string(&output).expect("reads");
    let line: Value = serde_json::from_str(&text).expect("one line");
    check_emf(&line);
    assert!(line.get("user").is_none() && line.get("reasons").is_none(), "{text}");
    let success = r#"{"triggerSource":"PostAuthentication_Authentication","userName":"ada","request":{},"response":{}}"#;
    assert!(matches!(lambda.invoke(success).await, Answer::Event(_)));
    let text = fs::read_to_string(&output).expect("reads");
    let line: Value = serde_json::from_str(text.lines().nth(1).expect("a second line")).expect("JSON");
    check_emf(&line);
    assert_eq!(line.as_object().expect("an object").len(), 2, "{text}");
}

/// A value of a person in every field, and none of them in what is written, counted or shown.
#[tokio::test]
async fn no_personal_value_reaches_metrics_page_or_audit_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let audit = directory.path().join("audit.jsonl");
    let sidecar = Sidecar::start(&[("AUDIT", audit.to_str().expect("a path"))]).await;
    let markers = ["marker-user", "81.2.69.144", "81.2.69", "marker-agent", "marker-device", "marker-language", "marker-zone"];
    for _ in 0..3 {
        let body = json!({
            "user": "marker-user@example.com", "client": "web", "ip": "81.2.69.144", "userAgent": "marker-agent/1.0 (X11)", "deviceId": "marker-device",
            "acceptLanguage": "marker-language", "timezone": "marker-zone",
        });
        let (status, assessment) = sidecar.post("/v1/assess", body.to_string()).await;
        let outcome = json!({"id": assessment["id"], "outcome": "success"});
        assert_eq!((status, sidecar.post("/v1/outcome", outcome.to_string()).await.0), (200, 200));
    }
    let success = json!({
        "triggerSource": "PostAuthentication_Authentication", "userPoolId": "eu-west-1_t", "userName": "marker-user@example.com", "callerContext": {"clientId": "web"},
        "request": {"userAttributes": {"sub": "marker-user"}, "clientMetadata": {"ip": "81.2.69.144", "userAgent": "marker-agent", "deviceId": "marker-device"}}, "response": {},
    });
    assert_eq!(sidecar.post("/2015-03-31/functions/riskgate/invocations", success.to_string()).await.0, 200);
    let mut page = String::new();
    let end = Instant::now() + Duration::from_secs(10);
    while !page.contains("\"web\"") {
        assert!(Instant::now() < end, "the page has no sign-ins: {page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        page = sidecar.stream("/v1/activity").await.text().await.expect("text");
    }
    let mut events = sidecar.stream("/events").await;
    page.push_str(&events.chunk().await.expect("the stream goes on").map(|chunk| String::from_utf8_lossy(&chunk).into_owned()).unwrap_or_default());
    let mut lines = String::new();
    while lines.lines().count() < 7 {
        assert!(Instant::now() < end, "the audit lines are not written: {lines}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        lines = fs::read_to_string(&audit).expect("an audit log");
    }
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        check_schema(&line);
        let is_decision = line["net"].is_string() && line["device"].is_string();
        assert!(line["user"].is_string() && (is_decision || line["learned"] == "no_attempt") || line["trigger"] == "outcome", "{line}");
    }
    let metrics = sidecar.stream("/metrics").await.text().await.expect("text");
    assert!(metrics.contains("riskgate_decisions_total"));
    for (what, text) in [("the page", &page), ("the audit line", &lines), ("the metrics", &metrics)] {
        for marker in markers {
            assert!(!text.contains(marker), "{what} shows {marker}");
        }
    }
}

/// Standard output is a full pipe without a reader.
#[tokio::test]
async fn a_stuck_standard_output_costs_a_sign_in_no_more_than_its_deadline() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // Linux gives a pipe 64 KiB; what riskgate writes finds no room.
    std::io::Write::write_all(&mut writer, &[b'x'; 65_536]).expect("fills the pipe");
    let lambda = Environment::start_with_output(&[("BUDGET", "400ms")], writer.into(), std::process::Stdio::null()).await;
    let success = r#"{"triggerSource":"PostAuthentication_Authentication","userName":"ada","request":{},"response":{}}"#;
    for event in [r#"{"request":{},"response":{}}"#, success].repeat(2) {
        let started = Instant::now();
        assert!(matches!(lambda.invoke(event).await, Answer::Event(_)));
        assert!(started.elapsed() < HANG, "{:?}", started.elapsed());
    }
    drop(reader);
}

#[tokio::test]
async fn a_disk_that_is_full_is_counted() {
    let instance = Instance::strict(config(&[("AUDIT", "/dev/full")]), Vec::new(), RuntimeMode::Sidecar).expect("an instance");
    let now = clock::read();
    let sign_in = http::parse(br#"{"user":"ada"}"#, ClientIp::Missing, now).expect("a sign-in");
    let deadline = Deadline::after(now.mono, Duration::from_secs(2));
    let assessment = instance.engine.assess(sign_in, deadline).await;
    instance.telemetry.record_assessment(&assessment, deadline).await;
    instance.telemetry.flush(deadline).await;
    assert!(instance.telemetry.render().expect("metrics").contains("\nriskgate_lines_lost_total 1\n"), "a full disk is counted");
}
