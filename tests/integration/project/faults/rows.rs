//! One fault, one sign-in: what is brought about, and the answer that is right.

use std::{any::Any, time::Duration};

use serde_json::{Value, json};

use crate::{
    tls::{self, Validity},
    wire::{Act, Server, answer, json as json_answer},
};

/// One row of the catalogue.
pub struct Row {
    pub id: &'static str,
    pub place: &'static str,
    pub fault: &'static str,
    pub bring: Bring,
    /// The outcome of the service or the store; empty if the event is refused earlier.
    pub evidence: &'static str,
    /// `allow` or `deny`.
    pub verdict: &'static str,
}

/// How a fault is brought about.
pub enum Bring {
    /// The service treats every request so.
    Service(Act),
    /// The service is somewhere else.
    Url(&'static str),
    /// The service's port is closed.
    Closed,
    /// The service's queue of connections is full: a connection is never made.
    Full,
    /// What should speak TLS answers the first bytes so.
    Tls(Act),
    /// The service answers well, behind a certificate for a name.
    Certificate(&'static str, Validity, Vouched),
    /// The event itself; the service answers well.
    Event(Vec<u8>),
    /// The store, a Redis, answers the first bytes so; no service is configured.
    Store(Act),
    /// The store's port is closed.
    NoStore,
}

/// Whether `SERVICES_CA` names who signed a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    Yes,
    No,
}

/// A fault in place, until it is dropped.
pub struct FaultSetup {
    pub variables: Vec<(&'static str, String)>,
    _held_open: Vec<Box<dyn Any + Send>>,
}

/// Every row.
pub fn rows() -> Vec<Row> {
    let mut rows = service_rows();
    rows.extend(event_rows());
    rows.extend(store_rows());
    rows
}

impl Row {
    /// Whose evidence the row is about.
    pub fn source(&self) -> &'static str {
        match self.bring {
            Bring::Store(_) | Bring::NoStore => "history",
            _ => "http",
        }
    }

    /// Brings the fault about.
    pub async fn place(&self) -> FaultSetup {
        let service = |url: String| vec![("PROVIDERS", "http".to_owned()), ("HTTP_URL", url)];
        let store = |address| vec![("STORE", format!("redis://{address}/0")), ("PSEUDONYM_KEY", "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned())];
        match &self.bring {
            Bring::Service(act) => {
                let act = act.clone();
                let server = Server::start(move |_| act.clone()).await;
                FaultSetup { variables: service(server.origin()), _held_open: vec![Box::new(server)] }
            }
            Bring::Event(_) => {
                let server = Server::json(r#"{"score":1}"#).await;
                FaultSetup { variables: service(server.origin()), _held_open: vec![Box::new(server)] }
            }
            Bring::Url(url) => FaultSetup { variables: service((*url).to_owned()), _held_open: Vec::new() },
            Bring::Store(act) => {
                let server = tls::Server::pretending(act.clone()).await;
                FaultSetup { variables: store(server.address()), _held_open: vec![Box::new(server)] }
            }
            Bring::NoStore => FaultSetup { variables: store(free_address()), _held_open: Vec::new() },
            Bring::Closed => FaultSetup { variables: service(format!("http://{}", free_address())), _held_open: Vec::new() },
            Bring::Full => {
                let (address, held_open) = full().await;
                FaultSetup { variables: service(format!("http://{address}")), _held_open: held_open }
            }
            Bring::Tls(act) => {
                let server = tls::Server::pretending(act.clone()).await;
                FaultSetup { variables: service(server.origin("127.0.0.1")), _held_open: vec![Box::new(server)] }
            }
            Bring::Certificate(name, validity, vouched) => {
                let authority = tls::Authority::new();
                let server = tls::Server::start(authority.certificate(name, *validity)).await;
                let mut variables = service(server.origin("127.0.0.1"));
                if *vouched == Vouched::Yes {
                    variables.push(("SERVICES_CA", authority.pem()));
                }
                FaultSetup { variables, _held_open: vec![Box::new(server)] }
            }
        }
    }
}

/// An address at which nothing listens.
fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// A listener whose queue is full: once it is, the next SYN is dropped.
async fn full() -> (std::net::SocketAddr, Vec<Box<dyn Any + Send>>) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("listening");
    let address = listener.local_addr().expect("an address");
    let mut held_open: Vec<Box<dyn Any + Send>> = vec![Box::new(listener)];
    for _ in 0..8 {
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(address)).await {
            held_open.push(Box::new(stream));
        }
    }
    (address, held_open)
}

/// A store that is down never triggers the fallback, and the two later triggers go back as they came.
fn store_rows() -> Vec<Row> {
    let raw = |text: &str| text.as_bytes().to_vec();
    vec![
        row("D1", "store", "the port is closed", Bring::NoStore, "connect", "allow"),
        row("D2", "store", "never answers", Bring::Store(Act::Hang), "timeout", "allow"),
        row("D3", "store", "accepted, then reset", Bring::Store(Act::Reset), "reset", "allow"),
        row("D4", "store", "accepted, then closed without an answer", Bring::Store(Act::HangUp), "reset", "allow"),
        row("D5", "store", "is not a Redis server", Bring::Store(Act::RawThenHangUp(raw("HTTP/1.1 400 Bad Request\r\n\r\n"))), "bad_answer", "allow"),
        row("D6", "store", "one byte per 100 ms", Bring::Store(Act::Drip(Duration::from_millis(100), raw("+OK\r\n+OK\r\n"))), "timeout", "allow"),
        row("D7", "store", "half an answer, then reset", Bring::Store(Act::RawThenReset(raw("*3\r\n$5\r\nab"))), "reset", "allow"),
        row("D8", "store", "declares 10 GB", Bring::Store(Act::Endless(raw("$10000000000\r\n"), vec![b'a'; 65_536])), "timeout", "allow"),
        row("D9", "store", "requires a password", Bring::Store(Act::Endless(Vec::new(), raw("-NOAUTH Authentication required.\r\n"))), "key_refused", "allow"),
        row(
            "D10",
            "store",
            "is loading its data",
            Bring::Store(Act::Endless(Vec::new(), raw("-LOADING Redis is loading the dataset in memory\r\n"))),
            "shed",
            "allow",
        ),
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
        row("C2", "connect", "the connection is never established", Full, "connect", "deny"),
        row("C3", "connect", "no such host name", Url("https://risk.invalid/"), "connect", "deny"),
        row("C4", "connect", "accepted, then reset", Service(Act::Reset), "reset", "deny"),
        row("C5", "connect", "accepted, then closed without an answer", Service(Act::HangUp), "reset", "deny"),
        row("T1", "TLS", "a certificate of an unknown authority", Bring::Certificate("127.0.0.1", Validity::Current, Vouched::No), "tls", "deny"),
        row("T2", "TLS", "only TLS 1.1 is spoken", alert, "tls", "deny"),
        row("T3", "TLS", "plain HTTP instead of TLS", Tls(Act::RawThenHangUp(raw("HTTP/1.1 400 Bad Request\r\n\r\n"))), "tls", "deny"),
        row("T4", "TLS", "no answer to the handshake", Tls(Act::Hang), "connect", "deny"),
        row("T5", "TLS", "reset during the handshake", Tls(Act::Reset), "connect", "deny"),
        row("T6", "TLS", "a certificate of the year 2000", Bring::Certificate("127.0.0.1", Validity::Over, Vouched::Yes), "tls", "deny"),
        row("T7", "TLS", "another host's certificate", Bring::Certificate("risk.example", Validity::Current, Vouched::Yes), "tls", "deny"),
        row("T8", "TLS", "a private authority, set in SERVICES_CA", Bring::Certificate("127.0.0.1", Validity::Current, Vouched::Yes), "fresh", "allow"),
        row("H1", "head", "never arrives", Service(Act::Hang), "timeout", "deny"),
        row("H2", "head", "arrives after the service's timeout", Service(Act::After(super::TOO_LATE, Box::new(fine()))), "timeout", "deny"),
        row("H3", "head", "arrives late, but in time", Service(late(300, fine())), "fresh", "allow"),
        row("H4", "head", "reset in the middle", Service(Act::RawThenReset(raw("HTTP/1.1 200 OK\r\ncontent-"))), "reset", "deny"),
        row("H5", "head", "ends in the middle", Service(Act::RawThenHangUp(raw("HTTP/1.1 200 OK\r\ncontent-"))), "reset", "deny"),
        row("H6", "head", "never ends", endless_head, "too_large", "deny"),
        row("H7", "head", "is not HTTP", Service(Act::RawThenHangUp(raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"))), "bad_answer", "deny"),
        row("B1", "body", "one byte per 100 ms", slow, "timeout", "deny"),
        row("B2", "body", "reset in the middle", Service(Act::RawThenReset(half.clone().into_bytes())), "reset", "deny"),
        row("B3", "body", "ends in the middle", Service(Act::RawThenHangUp(half.into_bytes())), "reset", "deny"),
        row("B4", "body", "declares 10 GB", huge, "too_large", "deny"),
        row("B5", "body", "chunks without end", endless, "too_large", "deny"),
        row("B6", "body", "5 MB of JSON", large, "too_large", "deny"),
        row("B7", "body", "10 KB of gzip that decompress to 10 MB", bomb, "bad_answer", "deny"),
        row(
            "B10",
            "body",
            "brotli, not requested",
            Service(answer(200, &[("content-type", "application/json"), ("content-encoding", "br")], vec![0x8b; 64])),
            "bad_answer",
            "deny",
        ),
        row("B8", "body", "HTML", Service(answer(200, &[("content-type", "text/html")], "<html></html>")), "bad_answer", "deny"),
        row("B9", "body", "none, with status 204", Service(answer(204, &[], "")), "bad_answer", "deny"),
        row("R1", "redirect", "301 to the instance's credentials", redirect(301, "http://169.254.169.254/latest/"), "redirect", "deny"),
        row("R2", "redirect", "307 to a file", redirect(307, "file:///etc/passwd"), "redirect", "deny"),
        row("R3", "redirect", "302 to itself, without end", redirect(302, "/"), "redirect", "deny"),
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
        ("V4", "a score of 101 in quotes", r#"{"score":"101"}"#),
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
        Bring::Event(event.to_string().into_bytes())
    };
    let context = |context: Value| Bring::Event(event(context).to_string().into_bytes());
    let text = |text: &str| Bring::Event(text.as_bytes().to_vec());
    let utf16 = || Bring::Event("\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect());
    let later = |trigger: &str, request: &str| {
        text(&format!(r#"{{"triggerSource":"{trigger}","userPoolId":"p","userName":"ada","request":{request},"response":{{}}}}"#))
    };
    let mut rows = vec![
        row("E1", "event", "empty", text(""), "", "deny"),
        row("E2", "event", "cut off", text(r#"{"triggerSource":"PreAuthentication_Authentication","requ"#), "", "deny"),
        row("E3", "event", "a byte order mark", text("\u{feff}{}"), "", "deny"),
        row("E4", "event", "a list", text("[]"), "", "deny"),
        row("E5", "event", "a trigger that riskgate does not handle", text(r#"{"triggerSource":"PreSignUp_SignUp","request":1}"#), "", "allow"),
        row("E6", "event", "AWS's minimal test event", text(r#"{"request":{},"response":{}}"#), "not_asked", "allow"),
        row("E7", "event", "version 2 and unknown fields", with("/version", json!("2")), "fresh", "allow"),
        row("E8", "event", "no validation data", context(Value::Null), "not_asked", "allow"),
        row("E9", "event", "no request", with("/request", Value::Null), "not_asked", "allow"),
        row("E10", "event", "an unknown user", with("/request", json!({"userNotFound":true,"validationData":{"ip":"8.8.8.8"}})), "fresh", "allow"),
        row("E11", "event", "a name with NUL, line breaks and a right-to-left override", with("/userName", json!("a\u{0}\r\n\u{202e}b")), "fresh", "allow"),
        row("E12", "event", "a name of 10,000 characters", with("/userName", json!("é".repeat(10_000))), "fresh", "allow"),
        row("E13", "event", "a name that is not text", with("/userName", json!(7)), "fresh", "allow"),
        row("E14", "event", "UTF-16", utf16(), "", "deny"),
        row("E15", "event", "no user attributes", with("/request", json!({"validationData":{"ip":"8.8.8.8"}})), "fresh", "allow"),
        row("E16", "event", "a post-authentication without attributes", later("PostAuthentication_Authentication", "{}"), "", "allow"),
        row("E17", "event", "a post-authentication whose request is null", later("PostAuthentication_Authentication", "null"), "", "allow"),
        row("E18", "event", "a token generation with an empty request", later("TokenGeneration_Authentication", "{}"), "", "allow"),
        row("E19", "event", "a token whose groups are null", later("TokenGeneration_RefreshTokens", r#"{"groupConfiguration":null}"#), "", "allow"),
    ];
    let addresses = [
        ("I1", "203.0.113.7, 10.0.0.1"),
        ("I2", " 8.8.8.8 "),
        ("I3", "8.8.8.008"),
        ("I4", "0x7f000001"),
        ("I5", "2130706433"),
        ("I6", "127.1"),
        ("I7", "10.0.0.1"),
        ("I8", "100.64.0.1"),
        ("I9", "169.254.169.254"),
        ("I10", "::1"),
        ("I11", "fc00::1"),
        ("I12", "0.0.0.0"),
        ("I13", "255.255.255.255"),
        ("I14", "192.0.2.1"),
    ];
    for (id, ip) in addresses {
        // Blanks around an address are ignored.
        let evidence = if ip.trim() == "8.8.8.8" { "fresh" } else { "not_asked" };
        rows.push(row(id, "address", ip, context(json!({"ip":ip})), evidence, "allow"));
    }
    for (id, ip) in [("I17", "8.8.8.8:4711"), ("I18", "\"[2001:4860:4860::8888]:4711\""), ("I19", "for=8.8.8.8;proto=https")] {
        rows.push(row(id, "address", ip, context(json!({"ip":ip})), "fresh", "allow"));
    }
    rows.push(row(
        "I20",
        "address",
        "`unknown`, with other placeholders",
        context(json!({"ip":"unknown","deviceId":"00000000-0000-0000-0000-000000000000","userAgent":"-","timezone":"Etc/Unknown"})),
        "not_asked",
        "allow",
    ));
    rows.push(row(
        "I15",
        "address",
        "in the event as X-Forwarded-For",
        context(json!({"X-Forwarded-For":"8.8.8.8","x-forwarded-for":"8.8.8.8"})),
        "not_asked",
        "allow",
    ));
    rows.push(row("I16", "address", "with an invalid time zone", context(json!({"ip":"8.8.8.8","timezone":"Mars/Olympus_Mons"})), "fresh", "allow"));
    rows.push(row("A1", "user agent", "64 KB", context(json!({"ip":"8.8.8.8","userAgent":"x".repeat(65_536)})), "fresh", "allow"));
    rows.push(row("A2", "user agent", "binary", context(json!({"ip":"8.8.8.8","userAgent":"\u{0}\u{1}\u{fffd}"})), "fresh", "allow"));
    rows.push(row("A3", "user agent", "${jndi:ldap://x}", context(json!({"ip":"8.8.8.8","userAgent":"${jndi:ldap://x}"})), "fresh", "allow"));
    rows
}

fn row(id: &'static str, place: &'static str, fault: &'static str, bring: Bring, evidence: &'static str, verdict: &'static str) -> Row {
    Row { id, place, fault, bring, evidence, verdict }
}

/// Ten kilobytes that decompress to ten megabytes.
fn gzip_bomb() -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b' '; 10_000_000]).expect("written");
    encoder.finish().expect("a gzip stream")
}
