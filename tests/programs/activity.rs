//! The activity table in Redis and DynamoDB, and `riskgate dashboard` on it: what one process decides, another one shows and acts on.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use riskgate_engine::evidence::{FailureReason, store_parts::StorePart};
use riskgate_pipeline::activity_log::ActivityLog;
use riskgate_runtime::{deadline::Deadline, mode::RuntimeMode};
use riskgate_store::{
    Store,
    activity::{ActivityBatch, ActivityCounts, ActivityRange, ActivityRow, RowOrder},
};
use serde_json::{Value, json};

use crate::{
    fixtures::{self, Backend, KEY, TestEngine, at, free_port},
    harness::HANG,
    interrupted::{Fault, Interrupted},
    process::Process,
    runtime_api::Environment,
};

const VIEW: &str = "a-view-token-of-length";
const ADA: &str = "the-token-of-ada-of-length";
const NAME: &str = "planted-name@example.com";
const IP: &str = "81.2.69.142";

fn row(number: i64) -> ActivityRow {
    let time = Timestamp::from_millisecond(at(0, "20:00:00").as_millisecond() + number * 300_007).unwrap();
    let user = format!("user-{}", number % 7);
    ActivityRow { user: user.into(), at: time, id: format!("id-{number}").into(), what: format!(r#"{{"number":{number}}}"#), order: RowOrder::ByTime }
}

async fn stores() -> Vec<Backend> {
    fixtures::atomic().await.into_iter().filter(|backend| backend.store.has_activity()).collect()
}

#[tokio::test]
async fn rows_are_found_by_time_and_by_user_and_counts_add_up() {
    for Backend { name, store, .. } in &stores().await {
        let (ttl, now) = (Duration::from_secs(30 * 86_400), at(2, "00:00:00"));
        let rows: Vec<ActivityRow> = (0..200).map(row).collect();
        for turn in rows.chunks(60) {
            let mut batch = ActivityBatch { rows: turn.to_vec(), ..ActivityBatch::default() };
            batch.count(at(0, "23:59:59"), ActivityCounts { decisions: [1, 0, 0, 2], degraded: 1, rows: 3 });
            batch.count(at(1, "00:00:00"), ActivityCounts { decisions: [0, 1, 0, 0], ..ActivityCounts::default() });
            store.put_activity(&batch, ttl, now).await.unwrap();
        }
        let all = ActivityRange { from: at(0, "00:00:00"), to: at(3, "00:00:00") };
        let page = store.read_activity(all, 1000, now).await.unwrap();
        assert_eq!((page.rows.as_slice(), page.is_complete), (rows.as_slice(), true), "{name}");
        // The newest ones, without a gap, wherever they are stored.
        let newest = store.read_activity(all, 70, now).await.unwrap();
        assert!(!newest.is_complete && !newest.rows.is_empty() && newest.rows.len() <= 70, "{name}: {}", newest.rows.len());
        assert_eq!(newest.rows, rows[rows.len() - newest.rows.len()..], "{name}");
        let part = ActivityRange { from: rows[40].at, to: rows[90].at };
        assert_eq!(store.read_activity(part, 1000, now).await.unwrap().rows, rows[40..=90], "{name}");
        let of_user: Vec<ActivityRow> = rows.iter().filter(|row| row.user == "user-3").cloned().collect();
        assert_eq!(store.read_activity_of("user-3", all, now).await.unwrap(), of_user, "{name}");
        let (day, next) = (at(0, "00:00:00").as_second(), at(1, "00:00:00").as_second());
        let counts = store.read_activity_counts(day, now).await.unwrap();
        assert_eq!(counts.get(&(day + 23 * 3600)), Some(&ActivityCounts { decisions: [4, 0, 0, 8], degraded: 4, rows: 12 }), "{name}: {counts:?}");
        assert_eq!(store.read_activity_counts(next, now).await.unwrap().get(&next).map(|counts| counts.decisions), Some([0, 4, 0, 0]), "{name}");
        for row in &of_user {
            store.delete_activity(row).await.unwrap();
        }
        assert_eq!(store.read_activity_of("user-3", all, now).await.unwrap(), [], "{name}");
        assert_eq!(store.read_activity(all, 1000, now).await.unwrap().rows.len(), rows.len() - of_user.len(), "{name}");
        let much_later = at(60, "00:00:00");
        store
            .put_activity(&ActivityBatch { rows: vec![ActivityRow { at: much_later, ..row(999) }], ..ActivityBatch::default() }, ttl, much_later)
            .await
            .unwrap();
        let left = store.read_activity(ActivityRange { to: much_later, ..all }, 1000, much_later).await.unwrap();
        assert_eq!(left.rows.len(), 1, "{name}: rows end with ACTIVITY_TTL");
    }
}

/// A process over the store of a backend.
struct Running {
    origin: String,
    client: reqwest::Client,
    _process: Process,
}

/// Waits until a rule decides. Blocks of networks apply within ten seconds.
async fn until_decided_by(sidecar: &Running, rule: &str) {
    for _ in 0..150 {
        if sidecar.post("/v1/assess", None, &attempt(NAME)).await.1["decided_by"] == rule {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("no assessment was decided by {rule}");
}

/// The variables of a process over a store.
fn environment(backend: &Backend) -> Vec<(&'static str, String)> {
    let port = backend.port();
    let store = if backend.name == "redis" { format!("redis://127.0.0.1:{port}/0") } else { "dynamodb://riskgate".to_owned() };
    let aws = [("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing"), ("AWS_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true")];
    let mut variables: Vec<(&str, String)> = aws.map(|(name, value)| (name, value.to_owned())).into();
    variables.extend([
        ("AWS_ENDPOINT_URL_DYNAMODB", format!("http://127.0.0.1:{port}")),
        ("RISKGATE_STORE", store),
        ("RISKGATE_PSEUDONYM_KEY", KEY.to_owned()),
        ("RISKGATE_STORE_TIMEOUT", "2s".to_owned()),
        ("RISKGATE_DASHBOARD_VIEW_TOKEN", VIEW.to_owned()),
        ("RISKGATE_DASHBOARD_OPERATORS", format!("ada={ADA}")),
    ]);
    variables
}

impl Running {
    async fn start(backend: &Backend, command: &str, audit: &str) -> Self {
        let port = free_port();
        let mut process = Command::new(env!("CARGO_BIN_EXE_riskgate"));
        process.args([command, "--listen", &format!("127.0.0.1:{port}")]).env_clear().envs(environment(backend)).env("RISKGATE_AUDIT", audit);
        let process = Process::start(process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        for _ in 0..800 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                return Running { origin: format!("http://127.0.0.1:{port}"), client, _process: process };
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{command} does not listen");
    }

    async fn get(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        let request = self.client.get(format!("{}{path}", self.origin));
        let answer = token.into_iter().fold(request, |request, token| request.bearer_auth(token)).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.origin)).header("content-type", "application/json").body(body.to_string());
        let answer = token.into_iter().fold(request, |request, token| request.bearer_auth(token)).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    /// Asks until the answer is as wanted.
    async fn until(&self, path: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..400 {
            last = self.get(path, Some(VIEW)).await.1;
            if is_wanted(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path}: {last}");
    }
}

fn attempt(user: &str) -> Value {
    json!({ "user": user, "ip": IP, "client": "web", "deviceId": "planted-device" })
}

#[tokio::test]
async fn what_a_sidecar_decides_is_shown_and_acted_on_by_a_dashboard_of_its_store() {
    for backend in stores().await {
        let (name, directory) = (backend.name, tempfile::tempdir().unwrap());
        let audit = directory.path().join("audit.jsonl");
        let sidecar = Running::start(&backend, "serve", "off").await;
        let dashboard = Running::start(&backend, "dashboard", audit.to_str().unwrap()).await;
        let (status, assessment) = sidecar.post("/v1/assess", None, &attempt(NAME)).await;
        assert_eq!(status, 200, "{name}");
        let id = assessment["id"].as_str().unwrap();
        assert_eq!(sidecar.post("/v1/outcome", None, &json!({ "id": id, "outcome": "success" })).await.0, 200, "{name}");

        // Users and decisions need a token, aggregates none.
        assert_eq!(dashboard.get("/v1/activity/decisions", None).await.0, 401, "{name}");
        let shown = dashboard.until("/v1/activity/decisions?range=10m", |shown| shown["rows"][0]["outcome"] == "success").await;
        assert_eq!((&shown["rows"][0]["id"], &shown["rows"][0]["decision"]), (&assessment["id"], &assessment["decision"]), "{name}");
        dashboard.until("/v1/activity?range=7d", |summary| summary["total"] == 1 && summary["notice"].is_null()).await;
        let decision = dashboard.get(&format!("/v1/activity/decisions/{id}"), Some(VIEW)).await.1;
        assert_eq!(decision["reasons"].as_array().map(Vec::len), assessment["reasons"].as_array().map(Vec::len), "{name}");

        // The user is found by name, with what the store knows.
        let found = dashboard.post("/v1/activity/users", Some(VIEW), &json!({ "name": NAME })).await.1;
        assert_eq!(found["user"], shown["rows"][0]["user"], "{name}");
        let user = found["user"].as_str().unwrap();
        let account = dashboard.get(&format!("/v1/activity/users/{user}"), Some(VIEW)).await.1;
        assert_eq!((&account["total"], &account["records"][0]["successes"]), (&json!(1), &json!(1)), "{name}: {account}");

        // An action applies to the sidecar, and is undone.
        let action = json!({ "action": "suspend", "subject": "user", "value": user, "note": "chargeback 4711" });
        assert_eq!(dashboard.post("/v1/actions", Some(VIEW), &action).await.0, 403, "{name}: a viewer does not act");
        let (status, taken) = dashboard.post("/v1/actions", Some(ADA), &action).await;
        assert_eq!(status, 200, "{name}: {taken}");
        assert_eq!(sidecar.post("/v1/assess", None, &attempt(NAME)).await.1["decided_by"], "suspended", "{name}");
        let undo = format!("/v1/actions/{}/undo", taken["id"].as_str().unwrap());
        assert_eq!(dashboard.post(&undo, Some(ADA), &json!({ "note": "it was the owner" })).await.0, 200, "{name}");
        assert_ne!(sidecar.post("/v1/assess", None, &attempt(NAME)).await.1["decided_by"], "suspended", "{name}");

        // The command that the page shows does the same, by what the page knows: the pseudonyms of the account and the network.
        let net = shown["rows"][0]["net"].as_str().unwrap();
        for (subject, value) in [("account", user), ("network", net)] {
            let run = |arguments: &[&str]| {
                let output =
                    std::process::Command::new(env!("CARGO_BIN_EXE_riskgate")).arg("block").args(arguments).envs(environment(&backend)).output().unwrap();
                assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            };
            run(&["add", subject, value, "--for", "1h", "--note", "a wave"]);
            until_decided_by(&sidecar, "suspended").await;
            run(&["remove", subject, value]);
            until_decided_by(&sidecar, "thresholds").await;
        }

        // A label is in the store: another dashboard shows it, and its undoing too.
        let label = json!({ "action": "label", "subject": "decision", "value": id, "label": "fraud", "note": "reported by phone" });
        let (status, taken) = dashboard.post("/v1/actions", Some(ADA), &label).await;
        assert_eq!(status, 200, "{name}: {taken}");
        let other = Running::start(&backend, "dashboard", "off").await;
        let path = format!("/v1/activity/decisions/{id}");
        other.until(&path, |decision| decision["outcome"] == "fraud").await;
        let undo = format!("/v1/actions/{}/undo", taken["id"].as_str().unwrap());
        assert_eq!(dashboard.post(&undo, Some(ADA), &json!({ "note": "another account" })).await.0, 200, "{name}");
        other.until(&path, |decision| decision["outcome"] == "success").await;
        let lines: Vec<Value> = std::fs::read_to_string(&audit).unwrap().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let operations: Vec<&Value> = lines.iter().filter(|line| line["trigger"] == "operator").map(|line| &line["operation"]).collect();
        assert_eq!(operations, ["suspend", "suspend", "label", "label"], "{name}");

        // No name, address or device is stored, and forgetting erases the rows.
        let now = Timestamp::now();
        let all = ActivityRange { from: now - Duration::from_secs(3600), to: now + Duration::from_secs(60) };
        let rows = backend.store.read_activity(all, 1000, now).await.unwrap().rows;
        assert!(rows.len() >= 4, "{name}: {rows:?}");
        for personal in [NAME, "planted", IP] {
            assert!(!format!("{rows:?}").contains(personal), "{name}: {personal} is stored");
        }
        let forgotten =
            Command::new(env!("CARGO_BIN_EXE_riskgate")).args(["history", "forget", "--name", NAME]).env_clear().envs(environment(&backend)).output();
        let forgotten = forgotten.unwrap();
        assert!(forgotten.status.success(), "{name}: {}", String::from_utf8_lossy(&forgotten.stderr));
        let left = backend.store.read_activity(all, 1000, now).await.unwrap().rows;
        assert!(left.iter().all(|row| !row.what.contains(user)), "{name}: {left:?}");
    }
}

#[tokio::test]
async fn on_an_address_of_the_network_nothing_is_shown_without_a_token() {
    let backend = fixtures::redis();
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
    command.args(["dashboard", "--listen", &format!("0.0.0.0:{port}")]).env_clear().envs(environment(&backend));
    let _process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |path: &str, token: Option<&str>| {
        for _ in 0..400 {
            let request = client.get(format!("http://127.0.0.1:{port}{path}")).header("host", "dashboard.example.com");
            if let Ok(answer) = token.into_iter().fold(request, |request, token| request.bearer_auth(token)).send().await {
                return answer.status().as_u16();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the dashboard does not listen");
    };
    for path in ["/", "/v1/activity", "/v1/activity/decisions", "/events", "/metrics"] {
        assert_eq!(status(path, None).await, 401, "{path}");
        assert_eq!(status(path, Some("a-wrong-token-of-length")).await, 401, "{path}");
    }
    for path in ["/", "/v1/activity", "/v1/activity/decisions"] {
        assert_eq!(status(path, Some(VIEW)).await, 200, "{path}");
    }
    assert_eq!(status("/healthz", None).await, 200);
}

#[tokio::test]
async fn a_lambda_function_writes_its_row_within_the_invocation() {
    for backend in stores().await {
        if backend.name != "redis" {
            continue;
        }
        let url = format!("redis://127.0.0.1:{}/0", backend.port());
        let lambda = Environment::start(&[("STORE", &url), ("PSEUDONYM_KEY", KEY), ("STORE_TIMEOUT", "2s"), ("BUDGET", "2900ms")]).await;
        let event = fixtures::pre("ada", "web", fixtures::claims(fixtures::HOME));
        lambda.invoke(event.to_string()).await;
        lambda.settled().await;
        let now = Timestamp::now();
        let range = ActivityRange { from: now - Duration::from_secs(600), to: now + Duration::from_secs(60) };
        let rows = backend.store.read_activity(range, 10, now).await.unwrap().rows;
        assert_eq!(rows.len(), 1, "{rows:?}");
        let hours = backend.store.read_activity_counts(riskgate_store::activity::day_start(rows[0].at), now).await.unwrap();
        assert_eq!(hours.values().map(|counts| counts.decisions.iter().sum::<u64>()).sum::<u64>(), 1);
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_written_is_reported_and_is_waited_for_no_longer_than_the_store_may_take() {
    for backend in stores().await {
        for (fault, cause) in [(Fault::Refused, FailureReason::Connect), (Fault::Frozen, FailureReason::Timeout)] {
            let slow = Interrupted::over(&backend.store);
            let engine = TestEngine::over(&(Arc::clone(&slow) as Arc<dyn Store>), &[("STORE_TIMEOUT", "2s")]);
            let assessment = engine.attempt("ada", fixtures::HOME, Timestamp::now()).await;
            let log = ActivityLog::new(Duration::from_secs(86_400), RuntimeMode::Lambda);
            let failing = || engine.health().store.failing().find(|(part, _)| *part == StorePart::Activity).map(|(_, cause)| cause);
            let deadline = || Deadline::after(tokio::time::Instant::now(), HANG);
            slow.fail_from(0, fault);
            let recorded = tokio::time::timeout(HANG, log.record_decision(engine.enricher(), &assessment, deadline())).await;
            assert_eq!((recorded, failing()), (Ok(()), Some(cause)), "{}", backend.name);
            assert_eq!(engine.health().store.failures(StorePart::Activity), 1, "{}", backend.name);
            slow.recover();
            log.record_decision(engine.enricher(), &assessment, deadline()).await;
            assert_eq!(failing(), None, "{}", backend.name);
        }
    }
}

#[test]
fn the_dashboard_refuses_to_start_without_a_reader_or_a_shared_store() {
    for (arguments, variables, problem) in [
        (vec!["--store", "redis://127.0.0.1:1/0"], vec![], "RISKGATE_DASHBOARD_VIEW_TOKEN"),
        (vec![], vec![("RISKGATE_DASHBOARD_VIEW_TOKEN", VIEW)], "--store or RISKGATE_STORE must name a shared store"),
        (vec!["--store", "memory"], vec![("RISKGATE_DASHBOARD_VIEW_TOKEN", VIEW)], "must name a shared store"),
        (vec!["--store", "file:///x"], vec![("RISKGATE_DASHBOARD_VIEW_TOKEN", VIEW)], "RISKGATE_STORE"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
        let output = command.arg("dashboard").args(&arguments).env_clear().env("RISKGATE_PSEUDONYM_KEY", KEY).envs(variables).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(problem), "{arguments:?}: {text}");
    }
}
