//! The catalogue of faults: each is brought about over real TCP in both faces, and `docs/FAULTS.md` is what was seen.
//!
//! `RISKGATE_WRITE_FAULTS=1 cargo test --test it faults::` writes the page; every other run holds it against what it sees.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    runtime_api::{Answer, Environment},
    sidecar::Sidecar,
    tls,
    wire::{Act, Server, answer, json as json_answer},
};

/// What every row runs under: short times, so that a lapse shows, and a fallback that cannot be mistaken for a score.
const SETTINGS: [(&str, &str); 5] =
    [("BUDGET", "1200ms"), ("PROVIDER_TIMEOUT", "700ms"), ("CONNECT_TIMEOUT", "300ms"), ("STORE_TIMEOUT", "300ms"), ("FALLBACK", "deny")];

const BUDGET: Duration = Duration::from_millis(1200);

/// An answer may come so much after its budget, measured at the client.
const GRACE: Duration = Duration::from_millis(50);

/// The triggers that follow a sign-in: each waits for the store alone.
const LATER: [&str; 2] = [
    r#"{"version":"1","triggerSource":"PostAuthentication_Authentication","userPoolId":"eu-west-1_test","userName":"ada","callerContext":{"clientId":"web"},"request":{"userAttributes":{"sub":"9c5b"},"newDeviceUsed":false},"response":{}}"#,
    r#"{"version":"1","triggerSource":"TokenGeneration_Authentication","userPoolId":"eu-west-1_test","userName":"ada","callerContext":{"clientId":"web"},"request":{"userAttributes":{"sub":"9c5b"},"groupConfiguration":{}},"response":{"claimsOverrideDetails":null}}"#,
];

/// `STORE_TIMEOUT`, the 50 ms that may be added, and as much for a busy machine.
const LATER_WITHIN: Duration = Duration::from_millis(400);

/// One row of the catalogue.
struct Row {
    id: &'static str,
    place: &'static str,
    fault: &'static str,
    bring: Bring,
    /// What the evidence says of the service; empty where the event never gets so far.
    evidence: &'static str,
    /// `allow` or `deny`.
    verdict: &'static str,
}

impl Row {
    fn is_the_stores(&self) -> bool {
        matches!(self.bring, Bring::Store(_) | Bring::NoStore)
    }

    /// Whose evidence the row is about.
    fn source(&self) -> &'static str {
        if self.is_the_stores() { "history" } else { "http" }
    }
}

/// How a fault is brought about.
enum Bring {
    /// The service treats every request so.
    Service(Act),
    /// The service is somewhere else.
    Url(&'static str),
    /// The service's port is closed.
    Closed,
    /// The service's queue of connections is full, so that a connection is never made.
    Full,
    /// What should speak TLS answers the first bytes so.
    Tls(Act),
    /// The service speaks TLS under a certificate that it made itself.
    Certificate,
    /// The event itself, both ways in; the service answers well.
    Event(String),
    /// The store, a Redis, answers the first bytes so; no service is configured.
    Store(Act),
    /// The store's port is closed.
    NoStore,
}

/// What one face did.
struct Seen {
    /// What the evidence says of the service; `None` where the answer does not tell.
    evidence: Option<String>,
    verdict: &'static str,
    late: Duration,
    took: Duration,
}

fn rows() -> Vec<Row> {
    let mut rows = service_rows();
    rows.extend(event_rows());
    rows.extend(store_rows());
    rows
}

/// A store that is down never triggers the fallback, and the two later triggers go back as they came.
fn store_rows() -> [Row; 5] {
    [
        row("D1", "store", "the port is closed", Bring::NoStore, "connect", "allow"),
        row("D2", "store", "never answers", Bring::Store(Act::Hang), "timeout", "allow"),
        row("D3", "store", "accepted, then reset", Bring::Store(Act::Reset), "reset", "allow"),
        row("D4", "store", "accepted, then closed without a word", Bring::Store(Act::HangUp), "reset", "allow"),
        row("D5", "store", "is no Redis", Bring::Store(Act::RawThenHangUp(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())), "bad_answer", "allow"),
    ]
}

fn service_rows() -> Vec<Row> {
    use Bring::{Closed, Full, Service, Tls, Url};
    let late = |ms, act| Act::After(Duration::from_millis(ms), Box::new(act));
    let fine = || json_answer(200, r#"{"score":1}"#);
    let raw = |text: &str| text.as_bytes().to_vec();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let half = format!("{head}content-length: 11\r\n\r\n{{\"sco");
    let chunk = [b"400\r\n".as_slice(), &[b'a'; 1024], b"\r\n"].concat();
    let redirect = |status, to| Service(answer(status, &[("location", to)], ""));
    let bomb = Service(answer(200, &[("content-type", "application/json"), ("content-encoding", "gzip")], gzip_bomb()));
    let huge = Service(Act::RawThenHangUp(raw(&format!("{head}content-length: 10000000000\r\n\r\n{{"))));
    let endless = Service(Act::Endless(raw(&format!("{head}transfer-encoding: chunked\r\n\r\n")), chunk));
    let endless_head = Service(Act::Endless(raw("HTTP/1.1 200 OK\r\n"), format!("x-{}: y\r\n", "a".repeat(1000)).into_bytes()));
    let slow = Service(Act::Drip(Duration::from_millis(100), raw(&format!("{head}content-length: 11\r\n\r\n{{\"score\":1}}"))));
    let large = Service(json_answer(200, format!("{{\"score\":1,\"x\":\"{}\"}}", "y".repeat(5_000_000))));
    let again = answer(429, &[("retry-after", "30"), ("content-type", "application/json")], "{}");
    let alert = Tls(Act::RawThenHangUp(vec![0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]));
    let mut rows = vec![
        row("C1", "connect", "the port is closed", Closed, "connect", "deny"),
        row("C2", "connect", "the connection is never made", Full, "connect", "deny"),
        row("C3", "connect", "no such host name", Url("https://risk.invalid/"), "connect", "deny"),
        row("C4", "connect", "accepted, then reset", Service(Act::Reset), "reset", "deny"),
        row("C5", "connect", "accepted, then closed without a word", Service(Act::HangUp), "reset", "deny"),
        row("T1", "TLS", "a certificate that nobody vouches for", Bring::Certificate, "tls", "deny"),
        row("T2", "TLS", "only TLS 1.1 is spoken", alert, "tls", "deny"),
        row("T3", "TLS", "plain HTTP instead of TLS", Tls(Act::RawThenHangUp(raw("HTTP/1.1 400 Bad Request\r\n\r\n"))), "tls", "deny"),
        row("T4", "TLS", "silence instead of a handshake", Tls(Act::Hang), "connect", "deny"),
        row("T5", "TLS", "reset in the handshake", Tls(Act::Reset), "connect", "deny"),
        row("H1", "head", "never comes", Service(Act::Hang), "timeout", "deny"),
        row("H2", "head", "comes after the service's time", Service(late(900, fine())), "timeout", "deny"),
        row("H3", "head", "comes late, but in time", Service(late(300, fine())), "fresh", "allow"),
        row("H4", "head", "reset in the middle", Service(Act::RawThenReset(raw("HTTP/1.1 200 OK\r\ncontent-"))), "reset", "deny"),
        row("H5", "head", "ends in the middle", Service(Act::RawThenHangUp(raw("HTTP/1.1 200 OK\r\ncontent-"))), "reset", "deny"),
        row("H6", "head", "never ends", endless_head, "too_large", "deny"),
        row("H7", "head", "is no HTTP", Service(Act::RawThenHangUp(raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"))), "bad_answer", "deny"),
        row("B1", "body", "one byte in 100 ms", slow, "timeout", "deny"),
        row("B2", "body", "reset in the middle", Service(Act::RawThenReset(half.clone().into_bytes())), "reset", "deny"),
        row("B3", "body", "ends in the middle", Service(Act::RawThenHangUp(half.into_bytes())), "reset", "deny"),
        row("B4", "body", "says that it has 10 GB", huge, "too_large", "deny"),
        row("B5", "body", "chunks without end", endless, "too_large", "deny"),
        row("B6", "body", "5 MB of JSON", large, "too_large", "deny"),
        row("B7", "body", "10 KB of gzip that are 10 MB", bomb, "bad_answer", "deny"),
        row("B8", "body", "HTML", Service(answer(200, &[("content-type", "text/html")], "<html></html>")), "bad_answer", "deny"),
        row("B9", "body", "none, with status 204", Service(answer(204, &[], "")), "bad_answer", "deny"),
        row("R1", "redirect", "301 to the instance's credentials", redirect(301, "http://169.254.169.254/latest/"), "redirect", "deny"),
        row("R2", "redirect", "307 to a file", redirect(307, "file:///etc/passwd"), "redirect", "deny"),
        row("R3", "redirect", "302 to itself, for ever", redirect(302, "/"), "redirect", "deny"),
        row("S1", "status", "401", Service(json_answer(401, "{}")), "key_refused", "deny"),
        row("S2", "status", "402", Service(json_answer(402, "{}")), "no_credit", "deny"),
        row("S3", "status", "403", Service(json_answer(403, "{}")), "key_refused", "deny"),
        row("S4", "status", "404", Service(json_answer(404, "{}")), "http_4xx", "deny"),
        row("S5", "status", "429 with Retry-After", Service(again), "rate_limited", "deny"),
        row("S6", "status", "500", Service(json_answer(500, "{}")), "http_5xx", "deny"),
        row("S7", "status", "503", Service(json_answer(503, "{}")), "http_5xx", "deny"),
    ];
    let bodies = [
        ("V1", "null", "null"),
        ("V2", "an empty list", "[]"),
        ("V3", "no score", "{}"),
        ("V4", "a score in quotes", r#"{"score":"1"}"#),
        ("V5", "NaN in quotes", r#"{"score":"NaN"}"#),
        ("V6", "-1", r#"{"score":-1}"#),
        ("V7", "101", r#"{"score":101}"#),
        ("V8", "1e400", r#"{"score":1e400}"#),
        ("V9", "half an object", r#"{"score":1"#),
    ];
    rows.extend(bodies.map(|(id, fault, body)| row(id, "value", fault, Service(json_answer(200, body)), "bad_answer", "deny")));
    rows
}

fn event_rows() -> Vec<Row> {
    let event = |context: Value| {
        json!({"version":"1","triggerSource":"PreAuthentication_Authentication","region":"eu-west-1","userPoolId":"eu-west-1_test","userName":"ada",
            "callerContext":{"clientId":"web"},"request":{"validationData":context,"userAttributes":{"sub":"9c5b"}},"response":{}})
    };
    let with = |pointer: &str, value: Value| {
        let mut event = event(json!({"ip":"8.8.8.8"}));
        *event.pointer_mut(pointer).expect("a place in the event") = value;
        Bring::Event(event.to_string())
    };
    let context = |context: Value| Bring::Event(event(context).to_string());
    let text = |text: &str| Bring::Event(text.to_owned());
    let mut rows = vec![
        row("E1", "event", "empty", text(""), "", "deny"),
        row("E2", "event", "cut off", text(r#"{"triggerSource":"PreAuthentication_Authentication","requ"#), "", "deny"),
        row("E3", "event", "a byte order mark", text("\u{feff}{}"), "", "deny"),
        row("E4", "event", "a list", text("[]"), "", "deny"),
        row("E5", "event", "a trigger that is not ours", text(r#"{"triggerSource":"PreSignUp_SignUp","request":1}"#), "", "allow"),
        row("E6", "event", "AWS's minimal test event", text(r#"{"request":{},"response":{}}"#), "not_asked", "allow"),
        row("E7", "event", "version 2 and unknown fields", with("/version", json!("2")), "fresh", "allow"),
        row("E8", "event", "no validation data", context(Value::Null), "not_asked", "allow"),
        row("E9", "event", "no request", with("/request", Value::Null), "not_asked", "allow"),
        row("E10", "event", "an unknown user", with("/request", json!({"userNotFound":true,"validationData":{"ip":"8.8.8.8"}})), "fresh", "allow"),
        row("E11", "event", "a name with NUL, line breaks and a right-to-left override", with("/userName", json!("a\u{0}\r\n\u{202e}b")), "fresh", "allow"),
        row("E12", "event", "a name of 10,000 characters", with("/userName", json!("é".repeat(10_000))), "fresh", "allow"),
        row("E13", "event", "a name that is no text", with("/userName", json!(7)), "fresh", "allow"),
    ];
    let addresses = [
        "203.0.113.7, 10.0.0.1",
        " 8.8.8.8 ",
        "8.8.8.008",
        "0x7f000001",
        "2130706433",
        "127.1",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "::1",
        "fc00::1",
        "0.0.0.0",
    ];
    let ids = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12"];
    for (id, ip) in ids.into_iter().zip(addresses) {
        rows.push(row(id, "address", ip, context(json!({"ip":ip})), "not_asked", "allow"));
    }
    rows.push(row("A1", "agent", "64 KB", context(json!({"ip":"8.8.8.8","userAgent":"x".repeat(65_536)})), "fresh", "allow"));
    rows.push(row("A2", "agent", "binary", context(json!({"ip":"8.8.8.8","userAgent":"\u{0}\u{1}\u{fffd}"})), "fresh", "allow"));
    rows.push(row("A3", "agent", "${jndi:ldap://x}", context(json!({"ip":"8.8.8.8","userAgent":"${jndi:ldap://x}"})), "fresh", "allow"));
    rows
}

fn row(id: &'static str, place: &'static str, fault: &'static str, bring: Bring, evidence: &'static str, verdict: &'static str) -> Row {
    Row { id, place, fault, bring, evidence, verdict }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_has_its_answer_in_time_in_both_faces() {
    let rows = rows();
    let seen: Vec<(Seen, Seen)> = stream::iter(&rows).map(|row| async { tokio::join!(in_lambda(row), in_sidecar(row)) }).buffered(6).collect().await;
    let mut wrong = String::new();
    for (row, (lambda, sidecar)) in rows.iter().zip(&seen) {
        for (face, seen) in [("Lambda", lambda), ("sidecar", sidecar)] {
            let asked = seen.evidence.as_ref().is_none_or(|evidence| evidence == row.evidence);
            if !asked || seen.verdict != row.verdict || seen.late > GRACE {
                let _ = writeln!(
                    wrong,
                    "{} {face}: {} {}, late {:?}, took {:?}; expected {} {}",
                    row.id,
                    seen.evidence.as_deref().unwrap_or("-"),
                    seen.verdict,
                    seen.late,
                    seen.took,
                    row.evidence,
                    row.verdict
                );
            }
        }
    }
    print_lateness(seen.iter().flat_map(|(lambda, sidecar)| [lambda, sidecar]));
    assert!(wrong.is_empty(), "\n{wrong}");
    hold(&page(&rows, &seen));
}

/// The service's URL for a row; what keeps it in place is returned beside it.
async fn place(bring: &Bring) -> (String, Vec<Box<dyn std::any::Any + Send>>) {
    match bring {
        Bring::Service(act) => {
            let act = act.clone();
            let server = Server::start(move |_| act.clone()).await;
            (server.origin(), vec![Box::new(server)])
        }
        Bring::Event(_) => {
            let server = Server::json(r#"{"score":1}"#).await;
            (server.origin(), vec![Box::new(server)])
        }
        Bring::Url(url) => ((*url).to_owned(), Vec::new()),
        Bring::Store(act) => {
            let server = tls::Server::pretending(act.clone()).await;
            (format!("redis://{}/0", server.address()), vec![Box::new(server)])
        }
        Bring::NoStore => {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            (format!("redis://{}/0", listener.local_addr().expect("an address")), Vec::new())
        }
        Bring::Closed => {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            (format!("http://{}", listener.local_addr().expect("an address")), Vec::new())
        }
        Bring::Full => {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
            let listener = socket.listen(1).expect("listening");
            let address = listener.local_addr().expect("an address");
            let mut kept: Vec<Box<dyn std::any::Any + Send>> = vec![Box::new(listener)];
            // Nobody accepts them: once the queue is full, the next SYN is dropped.
            for _ in 0..8 {
                if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(address)).await {
                    kept.push(Box::new(stream));
                }
            }
            (format!("http://{address}"), kept)
        }
        Bring::Tls(act) => {
            let server = tls::Server::pretending(act.clone()).await;
            (server.origin("127.0.0.1"), vec![Box::new(server)])
        }
        Bring::Certificate => {
            let server = tls::Server::start(tls::Authority::new().certificate("127.0.0.1", tls::Validity::Now)).await;
            (server.origin("127.0.0.1"), vec![Box::new(server)])
        }
    }
}

/// The event that both faces get.
fn event_of(row: &Row) -> String {
    match &row.bring {
        Bring::Event(event) => event.clone(),
        _ => json!({
            "version":"1","triggerSource":"PreAuthentication_Authentication","userPoolId":"eu-west-1_test","userName":"ada","callerContext":{"clientId":"web"},
            "request":{"validationData":{"ip":"8.8.8.8"},"userAttributes":{"sub":"9c5b"}},"response":{}})
        .to_string(),
    }
}

async fn in_lambda(row: &Row) -> Seen {
    let (url, _kept) = place(&row.bring).await;
    let audit = tempfile::NamedTempFile::new().expect("a file");
    let path = audit.path().to_string_lossy().into_owned();
    let lambda = Environment::start(&[&variables(row, &url)[..], &[("AUDIT", &path)]].concat()).await;
    // The first invocation waits for the process to start, which is not the answer's time.
    lambda.invoke(r#"{"triggerSource":"PreSignUp_SignUp"}"#).await;
    let started = Instant::now();
    let answered = lambda.invoke(event_of(row)).await;
    let took = started.elapsed();
    let verdict = match answered {
        Answer::Event(_) => "allow",
        Answer::Error(_) => "deny",
        Answer::Gone => "gone",
    };
    let mut late = took.saturating_sub(BUDGET);
    if row.is_the_stores() {
        for event in LATER {
            let started = Instant::now();
            assert_eq!(lambda.invoke(event).await, Answer::Event(event.to_owned()), "{}", row.id);
            late = late.max(started.elapsed().saturating_sub(LATER_WITHIN));
        }
    }
    Seen { evidence: Some(audited(audit.path(), row)), verdict, late, took }
}

async fn in_sidecar(row: &Row) -> Seen {
    let (url, _kept) = place(&row.bring).await;
    let sidecar = Sidecar::start(&variables(row, &url)).await;
    let started = Instant::now();
    let (status, body) = match &row.bring {
        Bring::Event(event) => sidecar.post("/2015-03-31/functions/riskgate/invocations", event.clone()).await,
        _ => sidecar.post("/v1/assess", r#"{"user":"ada","client":"web","ip":"8.8.8.8"}"#).await,
    };
    let took = started.elapsed();
    let verdict = match (status, body["decision"].as_str(), body["errorType"].as_str()) {
        (200, Some("allow" | "review"), _) => "allow",
        (200, Some("deny"), _) => "deny",
        (200, None, Some(_)) => "deny",
        (200, None, None) => "allow",
        _ => "gone",
    };
    // The Lambda Invoke API answers as Cognito is answered: without a word of the evidence.
    let evidence = body.get("evidence").map(|evidence| evidence[row.source()].as_str().unwrap_or_default().to_owned());
    let mut late = took.saturating_sub(BUDGET);
    if row.is_the_stores() {
        for event in LATER {
            let started = Instant::now();
            let (_, answered) = sidecar.post("/2015-03-31/functions/riskgate/invocations", event).await;
            assert_eq!(answered, serde_json::from_str::<Value>(event).expect("an event"), "{}", row.id);
            late = late.max(started.elapsed().saturating_sub(LATER_WITHIN));
        }
    }
    Seen { evidence, verdict, late, took }
}

/// What a row runs under.
fn variables<'a>(row: &Row, url: &'a str) -> Vec<(&'static str, &'a str)> {
    let own = match row.bring {
        Bring::Store(_) | Bring::NoStore => [("STORE", url), ("PSEUDONYM_KEY", "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")],
        _ => [("PROVIDERS", "http"), ("HTTP_URL", url)],
    };
    [&SETTINGS[..], &own].concat()
}

/// What the last audit line says of the service, or of the store.
fn audited(path: &Path, row: &Row) -> String {
    let lines = std::fs::read_to_string(path).expect("audit lines");
    let decided = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).rfind(|line| line.get("evidence").is_some());
    decided.unwrap_or_default()["evidence"][row.source()].as_str().unwrap_or_default().to_owned()
}

/// Ten kilobytes that decompress to ten megabytes.
fn gzip_bomb() -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b' '; 10_000_000]).expect("written");
    encoder.finish().expect("a gzip stream")
}

fn print_lateness<'a>(seen: impl Iterator<Item = &'a Seen>) {
    let took: Vec<Duration> = seen.map(|seen| seen.took).collect();
    println!("answers by how long before their budget of {BUDGET:?} they came:");
    let steps: [(u64, &str); 7] = [
        (100, "over 1100 ms"),
        (300, "over 900 ms"),
        (600, "over 600 ms"),
        (800, "over 400 ms"),
        (1000, "over 200 ms"),
        (1200, "in time"),
        (1250, "within 50 ms after"),
    ];
    let mut from = Duration::ZERO;
    for (until, name) in steps {
        let until = Duration::from_millis(until);
        println!("{name:>20} {}", took.iter().filter(|took| (from..until).contains(*took)).count());
        from = until;
    }
    println!("{:>20} {}", "later", took.iter().filter(|took| **took >= from).count());
}

/// The page that the run writes.
fn page(rows: &[Row], seen: &[(Seen, Seen)]) -> String {
    let mut page = String::from(
        "# Faults, and what riskgate answers\n\nWritten by `RISKGATE_WRITE_FAULTS=1 cargo test --test it faults::`, which brings each fault about over real TCP in both faces;\n\
         every other run fails where this page and what it sees differ. All rows run under `FALLBACK=deny`, so that `deny` shows the fallback at work,\n\
         and every answer came within its budget. What is no event at all is answered like a denial: nobody is let in by it.\n\n\
         | id | where | fault | the evidence of the service, or the store | answer in Lambda | answer of the sidecar |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for (row, (lambda, sidecar)) in rows.iter().zip(seen) {
        let evidence = lambda.evidence.as_deref().unwrap_or_default();
        let fault = row.fault.replace('|', "\\|");
        let _ = writeln!(page, "| {} | {} | {fault} | {evidence} | {} | {} |", row.id, row.place, lambda.verdict, sidecar.verdict);
    }
    page
}

/// Holds the page against the committed one, or writes it.
fn hold(page: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "docs", "FAULTS.md"].iter().collect();
    if std::env::var_os("RISKGATE_WRITE_FAULTS").is_some() {
        std::fs::write(&path, page).expect("written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/FAULTS.md is not what was seen; write it with RISKGATE_WRITE_FAULTS=1");
}
