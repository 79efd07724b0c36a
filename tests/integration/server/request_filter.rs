//! The sidecar's shell, over raw TCP: what a client may send, and how little a hostile one can take from the others.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use riskgate_config::Config;
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::mode::RuntimeMode;
use riskgate_server::sidecar::{self, ListenerRole};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::Instant,
};

const BODY: &str = r#"{"user":"ada","ip":"8.8.8.8"}"#;
const TOKEN: &str = "a-token-of-some-length";

/// A sidecar on its own port. It ends when this value is dropped.
struct Sidecar {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Sidecar {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let mut map: BTreeMap<String, String> = variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
        map.insert("RISKGATE_AUDIT".to_owned(), "off".to_owned());
        let (config, faults) = Config::read(&map);
        let instance = Instance::strict(config, faults, RuntimeMode::Sidecar).expect("no fault");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(sidecar::serve(listener, ListenerRole::Combined, Arc::clone(&instance), async {
            let _ = stopped.await;
        }));
        Sidecar { address, _stop: stop }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Sends bytes and reads until the server closes or is silent for 300 ms after an answer.
    async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // A server that refuses early may close before all is written.
        let _ = stream.write_all(bytes).await;
        read(&mut stream).await
    }

    #[track_caller]
    fn check<'a>(&'a self, request: &'a str, status: &'a str) -> impl Future<Output = String> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let answer = self.send(request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{at}: {request:?} gave {answer:?}");
            answer
        }
    }

    /// How long a good sign-in takes on a new connection.
    async fn sign_in(&self) -> Duration {
        let started = Instant::now();
        let mut stream = self.connect().await;
        stream.write_all(assess("").as_bytes()).await.expect("written");
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        started.elapsed()
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let wait = if answer.is_empty() { Duration::from_secs(8) } else { Duration::from_millis(300) };
        match tokio::time::timeout(wait, stream.read(&mut buffer)).await {
            Ok(Ok(0)) | Err(_) => break,
            Ok(Ok(count)) => answer.extend_from_slice(&buffer[..count]),
            Ok(Err(_)) => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A good request with more header lines.
fn assess(headers: &str) -> String {
    format!("POST /v1/assess HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{BODY}", BODY.len())
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

#[tokio::test]
async fn a_good_request_is_answered_with_every_guard_in_its_head() {
    let sidecar = Sidecar::start(&[]).await;
    let answer = sidecar.check(&assess(""), "200").await.to_ascii_lowercase();
    for line in [
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "content-security-policy: default-src 'none'",
        "cross-origin-resource-policy: same-origin",
        "x-request-id: ",
    ] {
        assert!(answer.contains(line), "{line} is missing from {answer}");
    }
    assert!(!answer.contains("\r\nserver:") && !answer.contains("access-control-"), "{answer}");
}

#[tokio::test]
async fn only_a_known_host_is_served() {
    let sidecar = Sidecar::start(&[]).await;
    for host in ["localhost", "LOCALHOST:8710", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8710"] {
        sidecar.check(&assess("").replace("Host: localhost", &format!("Host: {host}")), "200").await;
    }
    for host in
        ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "8.8.8.8", "0.0.0.0", "", "localhost@evil.example", "evil.example:localhost"]
    {
        sidecar.check(&assess("").replace("Host: localhost", &format!("Host: {host}")), "421").await;
    }
    sidecar.check(&assess("").replace("Host: localhost\r\n", ""), "421").await;
    sidecar.check(&assess("Host: evil.example\r\n"), "421").await;
    sidecar.check(&assess("Host: localhost\r\n"), "421").await;
}

#[tokio::test]
async fn requests_of_other_sites_are_refused() {
    let sidecar = Sidecar::start(&[]).await;
    sidecar.check(&assess("Origin: http://localhost\r\n"), "200").await;
    for origin in ["https://evil.example", "null", "http://localhost:81", "localhost", "http://localhost\r\nOrigin: http://evil.example"] {
        sidecar.check(&assess(&format!("Origin: {origin}\r\n")), "403").await;
    }
    // A form can be posted anywhere, in three content types: the one route that takes any type refuses by Origin.
    let invoke = "POST /2015-03-31/functions/riskgate/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n";
    sidecar.check(&format!("{invoke}Origin: https://evil.example\r\n\r\n{{}}"), "403").await;
    sidecar.check(&format!("{invoke}\r\n{{}}"), "200").await;
}

#[tokio::test]
async fn only_json_is_read() {
    let sidecar = Sidecar::start(&[]).await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""] {
        sidecar.check(&assess("").replace("application/json", kind), "415").await;
    }
    sidecar.check(&assess("").replace("application/json", "Application/JSON; charset=utf-8"), "200").await;
}

#[tokio::test]
async fn the_token_is_required_and_only_in_its_header() {
    let sidecar = Sidecar::start(&[("TOKEN", TOKEN)]).await;
    sidecar.check(&assess(&format!("Authorization: Bearer {TOKEN}\r\n")), "200").await;
    for line in [
        String::new(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: Bearer {}\r\n", &TOKEN[..TOKEN.len() - 1]),
        format!("Authorization: Bearer {TOKEN}x\r\n"),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: {TOKEN}\r\n"),
        format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer wrong\r\n"),
        format!("X-Token: {TOKEN}\r\nCookie: token={TOKEN}\r\n"),
    ] {
        let answer = sidecar.check(&assess(&line), "401").await;
        assert!(answer.to_ascii_lowercase().contains("www-authenticate: bearer"), "{answer}");
        assert!(!answer.contains(TOKEN), "{answer}");
    }
    for path in ["/v1/assess?token=", "/v1/assess?access_token=", "/openapi.json?token="] {
        sidecar.check(&get(&format!("{path}{TOKEN}"), ""), "401").await;
    }
    // An unknown route reveals nothing, and a probe needs no secret.
    sidecar.check(&get("/nowhere", ""), "401").await;
    sidecar.check(&get("/healthz", ""), "200").await;
    sidecar.check(&get("/readyz", ""), "200").await;
}

#[tokio::test]
async fn bodies_are_bounded() {
    let sidecar = Sidecar::start(&[]).await;
    let head = "POST /v1/assess HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    // Refused by its length alone, before a byte of it was sent.
    sidecar.check(&format!("{head}Content-Length: 1073741824\r\nExpect: 100-continue\r\n\r\n"), "413").await;
    sidecar.check(&format!("{head}Content-Length: 16385\r\n\r\n"), "413").await;
    // Without a length, it is refused while it is sent.
    let chunk = format!("{:x}\r\n{}\r\n", 8192, "a".repeat(8192));
    sidecar.check(&format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(300)), "413").await;
    let fits = format!("{BODY}{}", " ".repeat(16 * 1024 - BODY.len()));
    sidecar.check(&format!("{head}Content-Length: {}\r\n\r\n{fits}", fits.len()), "200").await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let sidecar = Sidecar::start(&[]).await;
    for bomb in [
        format!("X-Bomb: {}\r\n", "a".repeat(1 << 20)),
        format!("{}: x\r\n", "a".repeat(1 << 20)),
        (0..2000).map(|number| format!("X-{number}: x\r\n")).collect::<String>(),
        "X-Many: x\r\n".repeat(101),
    ] {
        sidecar.check(&assess(&bomb), "431").await;
    }
    let answer = sidecar.send(get(&format!("/{}", "a".repeat(1 << 20)), "").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 414 ") || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// Two readings of one request are how a second one is smuggled past a proxy: each is refused, and the connection is closed.
#[tokio::test]
async fn no_request_can_be_read_in_two_ways() {
    let sidecar = Sidecar::start(&[]).await;
    let smuggled = get("/healthz", "");
    let head = "POST /v1/assess HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    // A length beside chunks: the chunks hold, and the connection is closed after them (RFC 9112, 6.3).
    for request in [
        format!("{head}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}", 5 + smuggled.len()),
        format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunked}{smuggled}"),
    ] {
        let answer = sidecar.send(request.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request:?} gave {answer:?}");
        assert!(answer.contains("connection: close"), "{request:?} gave {answer:?}");
    }
    for request in [
        format!("{head}Content-Length: 2\r\nContent-Length: {}\r\n\r\n{BODY}{smuggled}", BODY.len()),
        format!("{head}Content-Length: 2, {}\r\n\r\n{BODY}{smuggled}", BODY.len()),
        format!("{head}Content-Length: +{}\r\n\r\n{BODY}{smuggled}", BODY.len()),
        format!("{head}Content-Length: 0x1d\r\n\r\n{BODY}{smuggled}"),
        format!("{head}Content-Length: -1\r\n\r\n{BODY}{smuggled}"),
        format!("{head}Content-Length : {}\r\n\r\n{BODY}{smuggled}", BODY.len()),
        format!("{head}Transfer-Encoding: xchunked\r\n\r\n{chunked}{smuggled}"),
        format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n{chunked}{smuggled}"),
        format!("{head}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked, x\r\n\r\n{chunked}{smuggled}"),
        format!("{head}Transfer-Encoding:\x0bchunked\r\n\r\n{chunked}{smuggled}"),
        format!("{head}X-Fold: a\r\n b\r\nContent-Length: {}\r\n\r\n{BODY}{smuggled}", BODY.len()),
        format!("{head}X-Nul: a\0b\r\nContent-Length: {}\r\n\r\n{BODY}{smuggled}", BODY.len()),
        format!("{head}X-Return: a\rb\r\nContent-Length: {}\r\n\r\n{BODY}{smuggled}", BODY.len()),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n-1\r\n{BODY}\r\n0\r\n\r\n{smuggled}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{BODY}\r\n0\r\n\r\n{smuggled}"),
        format!("G\u{7f}T / HTTP/1.1\r\nHost: localhost\r\n\r\n{smuggled}"),
        format!("GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n{smuggled}"),
        format!("GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n{smuggled}"),
        format!("GET /healthz\r\n\r\n{smuggled}"),
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let answer = sidecar.send(request.as_bytes()).await;
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "a second request was answered: {request:?} gave {answer:?}");
        assert!(!answer.contains("HTTP/1.1 2"), "{request:?} gave {answer:?}");
    }
    // Two requests that can be read in one way only are two requests.
    let both = sidecar.send(format!("{}{smuggled}", assess("")).as_bytes()).await;
    assert_eq!(both.matches("HTTP/1.1 200").count(), 2, "{both}");
}

#[tokio::test]
async fn odd_paths_and_methods_lead_nowhere() {
    let sidecar = Sidecar::start(&[]).await;
    for path in [
        "/../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/assess/..;/metrics",
        "//v1/assess",
        "/v1/assess/",
        "/V1/ASSESS",
        "/v1/%61ssess",
        "/v1/config",
        "/env",
        "/debug/pprof",
        "/.env",
        "/%00",
    ] {
        sidecar.check(&get(path, ""), "404").await;
    }
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "PROPFIND"] {
        sidecar.check(&format!("{method} /v1/assess HTTP/1.1\r\nHost: localhost\r\n\r\n"), "405").await;
    }
    sidecar.check("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "404").await;
    sidecar.check("CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", "421").await;
    sidecar.check("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "421").await;
    sidecar.check("GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "200").await;
}

#[tokio::test]
async fn slow_senders_hold_no_slot() {
    let sidecar = Sidecar::start(&[("MAX_IN_FLIGHT", "2")]).await;
    let head = "POST /v1/assess HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = sidecar.connect().await;
        stream.write_all(head.as_bytes()).await.expect("written");
        slow.push(stream);
    }
    sidecar.sign_in().await;
    // Each gets an answer in its own time, and its connection is closed.
    let answer = read(&mut slow[0]).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let sidecar = Sidecar::start(&[]).await;
    let mut stream = sidecar.connect().await;
    let started = Instant::now();
    let cut = async {
        stream.write_all(b"POST /v1/assess HTTP/1.1\r\n").await?;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            stream.write_all(b"X-Slow: loris\r\n").await?;
        }
    };
    let ended: Result<std::io::Result<()>, _> = tokio::time::timeout(Duration::from_secs(12), cut).await;
    assert!(ended.is_ok(), "still open after {:?}", started.elapsed());
}

#[tokio::test]
async fn silent_connections_are_evicted_for_requests() {
    let sidecar = Sidecar::start(&[("MAX_IN_FLIGHT", "8")]).await;
    // More silent connections than the sidecar has slots (MAX_IN_FLIGHT + 512), but few enough more that the kernel's queue holds
    // them: it is a sign-in that would have to wait.
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(sidecar.connect().await);
    }
    let mut besieged: Vec<Duration> = Vec::new();
    for _ in 0..50 {
        besieged.push(sidecar.sign_in().await);
        silent.push(sidecar.connect().await);
    }
    // If a slot were only freed by a timeout, each of them would take five seconds.
    let all: Duration = besieged.iter().sum();
    assert!(all < Duration::from_secs(100), "{besieged:?}");
}

#[tokio::test]
async fn too_many_at_once_are_refused_at_once() {
    // A service that never answers keeps a sign-in in flight for as long as it may take.
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", deaf.local_addr().expect("an address"));
    let sidecar =
        Sidecar::start(&[("MAX_IN_FLIGHT", "1"), ("PROVIDERS", "http"), ("HTTP_URL", &url), ("PROVIDER_TIMEOUT", "2500ms"), ("BUDGET", "2900ms")]).await;
    let mut first = sidecar.connect().await;
    first.write_all(assess("").as_bytes()).await.expect("written");
    let _asked = deaf.accept().await.expect("the service is called");
    // Were it not refused at once, it would get its turn when the first has ended, and a 200.
    let answer = sidecar.check(&assess(""), "503").await;
    assert!(answer.to_ascii_lowercase().contains("retry-after: 1"), "{answer}");
    sidecar.check(&get("/healthz", ""), "200").await;
    assert!(read(&mut first).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn every_described_route_is_there() {
    let sidecar = Sidecar::start(&[]).await;
    let described = sidecar.check(&get("/openapi.json", "Connection: close\r\n"), "200").await;
    let (_, body) = described.split_once("\r\n\r\n").expect("a body");
    let description: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(description["openapi"], "3.1.0");
    let paths = description["paths"].as_object().expect("paths");
    assert!(paths.len() >= 5, "{paths:?}");
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            let answer = sidecar.send(format!("{} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", method.to_uppercase()).as_bytes()).await;
            let status = answer.get(9..12).expect("a status");
            assert!(methods[method]["responses"][status].is_object() || method == "post" && status == "415", "{method} {path} answered {status}");
        }
    }
}

#[tokio::test]
async fn no_route_reveals_the_configuration() {
    let sidecar = Sidecar::start(&[("DENY_CIDRS", "192.0.2.77/32")]).await;
    let check = r#"{"riskgate":"check"}"#;
    let request = format!("POST /2015-03-31/functions/riskgate/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{check}", check.len());
    let mut answers = vec![sidecar.check(&request, "200").await];
    for path in ["/", "/healthz", "/readyz", "/openapi.json", "/metrics"] {
        answers.push(sidecar.check(&get(path, ""), "200").await);
    }
    for answer in answers {
        assert!(!answer.contains("192.0.2.77") && !answer.contains("RISKGATE_DENY_CIDRS"), "{answer}");
    }
}
