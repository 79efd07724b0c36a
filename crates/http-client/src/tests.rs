//! What the client reads, refuses and reports.

use crate::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().expect("a value"))).collect()
}

#[test]
fn a_requested_wait_is_seconds_a_date_or_a_reset_time() {
    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    for (pairs, expected) in [
        (vec![("retry-after", "29241")], Some(29_241)),
        (vec![("retry-after", "Sun, 06 Nov 1994 08:51:37 GMT"), DATE], Some(120)),
        (vec![("retry-after", "Sun, 06 Nov 1994 08:51:37 GMT")], None),
        (vec![("x-ratelimit-reset", "784111837"), DATE], Some(60)),
        (vec![("x-ratelimit-reset", "784111000"), DATE], None),
        (vec![("retry-after", "-5")], None),
        (vec![("retry-after", "soon")], None),
        (vec![], None),
    ] {
        assert_eq!(retry_after(&headers(&pairs)), expected.map(Duration::from_secs), "{pairs:?}");
    }
}

#[test]
fn json_is_recognized_by_its_content_type() {
    for (content_type, expected) in [
        ("application/json", true),
        ("application/json; charset=utf-8", true),
        ("application/vnd.maxmind.com-minfraud-score+json; charset=UTF-8; version=2.0", true),
        ("text/html", false),
        ("text/plain", false),
        ("", false),
    ] {
        assert_eq!(is_json(&headers(&[("content-type", content_type)])), expected, "{content_type}");
    }
    assert!(is_json(&HeaderMap::new()));
}

/// Queries a name server over UDP, as the system's resolver does. The response is a text with addresses.
struct UdpResolver(SocketAddr);

impl Resolve for UdpResolver {
    fn resolve(&self, _: Name) -> Resolving {
        let server = self.0;
        Box::pin(async move {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
            socket.send_to(b"a query", server).await?;
            let mut answer = [0; 64];
            let read = socket.recv(&mut answer).await?;
            let addresses = std::str::from_utf8(&answer[..read])?.split_whitespace().filter_map(|text| text.parse().ok());
            Ok(allowed(addresses)?)
        })
    }
}

/// Sends a request through a name server and returns why it failed.
async fn failure_through(server: &tokio::net::UdpSocket) -> Option<FailureReason> {
    let resolver = Arc::new(UdpResolver(server.local_addr().expect("an address")));
    let client = Client { resolver, ..Client::new(Duration::from_millis(50), RuntimeMode::Lambda, Tls::default()) };
    client.send(clock::read(), |client| client.get("https://risk.example/")).await.err().map(|failure| failure.cause)
}

#[tokio::test]
async fn a_hanging_name_server_is_limited_by_the_connect_timeout() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let started = tokio::time::Instant::now();
    assert_eq!(failure_through(&server).await, Some(FailureReason::Connect));
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(server.try_recv(&mut [0; 64]).is_ok(), "it was queried");
}

#[tokio::test]
async fn a_name_with_only_refused_addresses_is_reported() {
    for (addresses, expected) in [
        ("", FailureReason::Connect),
        ("169.254.169.254:443 [fe80::1]:443", FailureReason::AddressRefused),
        ("[fd00:ec2::254]:443", FailureReason::AddressRefused),
        ("169.254.171.32:443 127.0.0.1:1", FailureReason::Connect),
    ] {
        let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let respond = async {
            let (_, client) = server.recv_from(&mut [0; 64]).await.expect("a query");
            server.send_to(addresses.as_bytes(), client).await.expect("sent");
        };
        let (cause, ()) = tokio::join!(failure_through(&server), respond);
        assert_eq!(cause, Some(expected), "{addresses:?}");
    }
}

#[tokio::test]
async fn link_local_addresses_are_refused() {
    for (ip, is_allowed) in
        [("169.254.169.254", false), ("::ffff:169.254.1.1", false), ("fe80::1", false), ("fd00:ec2::254", false), ("127.0.0.1", true), ("10.0.0.1", true)]
    {
        // An address as a name needs no name server.
        let addresses = FilteringResolver.resolve(ip.parse().expect("a name")).await;
        assert_eq!(addresses.is_ok_and(|addresses| addresses.count() == 1), is_allowed, "{ip}");
    }
}

#[tokio::test]
async fn a_slow_connection_is_opened_in_the_background_for_later_sign_ins() {
    let names = Arc::new(tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port"));
    let service = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (server, address) = (names.local_addr().expect("an address"), service.local_addr().expect("an address"));
    let name_server = tokio::spawn(async move {
        while let Ok((_, client)) = names.recv_from(&mut [0; 64]).await {
            let (names, answer) = (Arc::clone(&names), address.to_string());
            tokio::spawn(async move {
                // Ten times as long as a sign-in waits.
                tokio::time::sleep(Duration::from_millis(500)).await;
                let _ = names.send_to(answer.as_bytes(), client).await;
            });
        }
    });
    let http_server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = service.accept().await {
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            });
        }
    });
    let client = Client { resolver: Arc::new(UdpResolver(server)), ..Client::new(Duration::from_millis(50), RuntimeMode::Sidecar, Tls::default()) };
    let url = format!("http://risk.example:{}/", address.port());
    let send = async || client.send(clock::read(), |client| client.get(&url)).await.map(|response| response.status()).map_err(|failure| failure.cause);
    assert_eq!(send().await, Err(FailureReason::Connect));
    let mut last = send().await;
    for _ in 0..600 {
        if last.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        last = send().await;
    }
    assert_eq!(last, Ok(StatusCode::OK));
    name_server.abort();
    http_server.abort();
}
