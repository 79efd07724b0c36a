//! Standard error that is not read, audit files that are moved, deleted or truncated, and signals: the sidecar goes on and counts lost lines.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    process::{Process, SidecarProcess},
    runtime_api::{Answer, Environment},
    sidecar::tls,
};

/// Longer than any answer takes on a busy machine.
const HANG: Duration = Duration::from_secs(20);

/// The sidecar with a client.
struct TestSidecar {
    process: Process,
    origin: String,
    client: reqwest::Client,
}

impl TestSidecar {
    async fn start(variables: &[(&str, &str)], stderr: Stdio) -> Self {
        let SidecarProcess { process, origin } = SidecarProcess::start(variables, stderr).await;
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls()).timeout(HANG).build().unwrap();
        TestSidecar { process, origin, client }
    }

    async fn get(&self, path: &str) -> String {
        self.client.get(format!("{}{path}", self.origin)).send().await.expect("an answer").text().await.expect("a body")
    }

    async fn sign_in(&self, user: &str) -> Value {
        let body = serde_json::json!({ "user": user, "ip": "8.8.8.8" }).to_string();
        let sent = self.client.post(format!("{}/v1/assess", self.origin)).header("content-type", "application/json").body(body).send();
        serde_json::from_str(&sent.await.expect("an answer").text().await.expect("a body")).expect("JSON")
    }

    /// Sends what is logged until the log's queue, 8,192 lines or 8 MB, is full; gives the lines that were lost.
    async fn lose_log_lines(&self) -> u64 {
        let mut lost = 0;
        for _ in 0..200 {
            let requests = (0..200).map(|_| self.client.post(format!("{}/v1/assess", self.origin)).body("{").send());
            futures_util::future::join_all(requests).await.into_iter().for_each(|answer| drop(answer.expect("an answer")));
            let metrics = self.get("/metrics").await;
            let line = metrics.lines().find_map(|line| line.strip_prefix("riskgate_log_lines_lost_total ")).expect("the counter");
            lost = line.parse().expect("a number");
            if lost > 0 {
                break;
            }
        }
        lost
    }

    /// The ids of a file's lines, once it has so many complete lines.
    async fn ids(&self, path: &Path, wanted: usize) -> Vec<String> {
        let mut text = String::new();
        for _ in 0..1_000 {
            text = fs::read_to_string(path).unwrap_or_default();
            if text.matches('\n').count() >= wanted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).map_or_else(|_| format!("no JSON: {line}"), |line| line["id"].as_str().unwrap().to_owned()))
            .collect()
    }
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().expect("an id").to_owned()
}

fn full_pipe() -> (std::io::PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // Linux gives a pipe 64 KiB.
    writer.write_all(&[b'x'; 65_536]).expect("fills the pipe");
    (reader, writer.into())
}

#[tokio::test]
async fn a_full_standard_error_stops_nothing_and_is_counted() {
    let (mut reader, stderr) = full_pipe();
    let mut sidecar = TestSidecar::start(&[("LOG", "trace"), ("AUDIT", "off")], stderr).await;
    let lost = sidecar.lose_log_lines().await;
    assert!(lost > 0, "lines that find no room are counted");
    assert_eq!(sidecar.get("/healthz").await, "ok\n");
    assert!(sidecar.sign_in("ada").await["decision"].is_string());
    assert!(sidecar.get("/readyz").await.contains(r#"{"what":"logs","why":"lines_lost"}"#));
    sidecar.process.signal("-TERM");
    assert_eq!(sidecar.process.ended().await.code(), Some(0), "SIGTERM ends it all the same");
    let mut written = Vec::new();
    reader.read_to_end(&mut written).expect("what was written");
}

#[tokio::test]
async fn a_log_that_is_read_again_reports_its_loss() {
    let (reader, stderr) = full_pipe();
    let sidecar = TestSidecar::start(&[("LOG", "debug"), ("AUDIT", "off")], stderr).await;
    assert!(sidecar.lose_log_lines().await > 0);
    let (found, is_found) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let lines = std::io::BufRead::lines(std::io::BufReader::new(reader));
        let _ = found.send(lines.map_while(Result::ok).any(|line| line.contains("log lines were lost")));
    });
    let mut answer = Err(std::sync::mpsc::TryRecvError::Empty);
    for _ in 0..400 {
        // The loss is reported when the next lines are written.
        sidecar.client.post(format!("{}/v1/assess", sidecar.origin)).body("{").send().await.expect("an answer");
        answer = is_found.try_recv();
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(answer, Ok(true));
}

#[tokio::test]
async fn a_full_standard_error_does_not_hold_up_lambda() {
    let (_reader, stderr) = full_pipe();
    let mut lambda = Environment::start_with_output(&[("LOG", "trace"), ("AUDIT", "off"), ("METRICS", "off")], Stdio::null(), stderr).await;
    let success = r#"{"triggerSource":"PostAuthentication_Authentication","userName":"ada","request":{},"response":{}}"#;
    for event in ["{", r#"{"triggerSource":"Unheard_Of"}"#, success].repeat(20) {
        assert_ne!(lambda.invoke(event).await, Answer::Gone, "{event}");
    }
    lambda.process.signal("-TERM");
    assert_eq!(lambda.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn lambda_writes_its_log_lines_before_it_requests_the_next_event() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let lambda = Environment::start_with_output(&[("LOG", "info")], Stdio::null(), log.reopen().unwrap().into()).await;
    for round in 1..=20 {
        lambda.invoke(r#"{"triggerSource":"Unheard_Of"}"#).await;
        lambda.settled().await;
        assert_eq!(fs::read_to_string(log.path()).unwrap().matches("returned without a decision").count(), round);
    }
}

#[test]
fn a_program_that_cannot_start_ends_although_standard_error_is_full() {
    let (_reader, stderr) = full_pipe();
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
    let mut child = command.arg("serve").env_clear().env("RISKGATE_DENY_AT", "eighty").stdin(Stdio::null()).stderr(stderr).spawn().unwrap();
    for _ in 0..2_000 {
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(2));
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("it hangs");
}

#[tokio::test]
async fn a_moved_or_deleted_audit_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let sidecar = TestSidecar::start(&[("AUDIT", &path.to_string_lossy()), ("LOG", "off")], Stdio::null()).await;
    let first = id(&sidecar.sign_in("ada").await);
    assert_eq!(sidecar.ids(&path, 1).await, [first.as_str()]);
    let moved = folder.path().join("audit.jsonl.1");
    fs::rename(&path, &moved).unwrap();
    let second = id(&sidecar.sign_in("ada").await);
    assert_eq!(sidecar.ids(&path, 1).await, [second.as_str()], "moved");
    fs::remove_file(&path).unwrap();
    let third = id(&sidecar.sign_in("ada").await);
    assert_eq!(sidecar.ids(&path, 1).await, [third.as_str()], "deleted");
    fs::File::create(&path).unwrap();
    let fourth = id(&sidecar.sign_in("ada").await);
    assert_eq!(sidecar.ids(&path, 1).await, [fourth.as_str()], "truncated in place");
    assert_eq!(sidecar.ids(&moved, 1).await, [first.as_str()]);
    assert!(sidecar.get("/metrics").await.contains("\nriskgate_lines_lost_total 0\n"));
}

#[tokio::test]
async fn an_audit_file_that_cannot_be_opened_again_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let sidecar = TestSidecar::start(&[("AUDIT", &inner.join("audit.jsonl").to_string_lossy()), ("LOG", "off")], Stdio::null()).await;
    fs::remove_dir_all(&inner).unwrap();
    sidecar.sign_in("ada").await;
    let mut readiness = String::new();
    for _ in 0..1_000 {
        readiness = sidecar.get("/readyz").await;
        if readiness.contains(r#"{"what":"audit","why":"lines_lost"}"#) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(readiness.contains("lines_lost"), "{readiness}");
    assert!(sidecar.get("/metrics").await.contains("\nriskgate_lines_lost_total 1\n"));
    fs::create_dir(&inner).unwrap();
    let found = id(&sidecar.sign_in("ada").await);
    assert_eq!(sidecar.ids(&inner.join("audit.jsonl"), 1).await, [found.as_str()]);
    assert!(!sidecar.get("/readyz").await.contains("lines_lost"), "and is over");
}

#[tokio::test]
async fn a_hangup_opens_the_audit_file_again_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut sidecar = TestSidecar::start(&[("AUDIT", &path.to_string_lossy()), ("LOG", "off")], Stdio::null()).await;
    sidecar.sign_in("ada").await;
    sidecar.ids(&path, 1).await;
    fs::rename(&path, folder.path().join("audit.jsonl.1")).unwrap();
    sidecar.process.signal("-HUP");
    for _ in 0..1_000 {
        if path.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(path.exists(), "without a line to write");
    let after = id(&sidecar.sign_in("ada").await);
    assert_eq!(sidecar.ids(&path, 1).await, [after.as_str()]);
    sidecar.process.signal("-TERM");
    assert_eq!(sidecar.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_torn_last_line_does_not_swallow_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, "{\"schema\":1,\"time\":\"2026-").unwrap();
    let sidecar = TestSidecar::start(&[("AUDIT", &path.to_string_lossy()), ("LOG", "off")], Stdio::null()).await;
    let first = id(&sidecar.sign_in("ada").await);
    let found = sidecar.ids(&path, 2).await;
    assert!(found.len() == 2 && found[1] == first, "{found:?}");
}

#[tokio::test]
async fn an_audit_file_that_is_a_named_pipe_waits_for_its_reader_and_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let mut sidecar = TestSidecar::start(&[("AUDIT", &path.to_string_lossy()), ("LOG", "off")], Stdio::null()).await;
    let first = id(&sidecar.sign_in("ada").await);
    let mut reader = std::io::BufReader::new(fs::File::open(&path).unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    assert!(line.contains(&first), "{line}");
    sidecar.process.signal("-TERM");
    assert_eq!(sidecar.process.ended().await.code(), Some(0));
}

#[test]
fn readiness_is_not_reported_by_a_program_that_refuses_to_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (variables, code) in
        [(&[("RISKGATE_DENY_AT", "eighty")][..], 2), (&[("RISKGATE_LISTEN", "192.0.2.1:8710")], 2), (&[("RISKGATE_LISTEN", taken.as_str())], 1)]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_riskgate")).arg("serve").env_clear().envs(variables.iter().copied()).output().expect("it starts");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && !log.contains("ready to decide"), "{variables:?}: {log}");
    }
}
