//! The client before a service: what it reads, refuses and reports.

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().expect("a value"))).collect()
}

#[test]
fn a_service_says_how_long_in_three_ways() {
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
fn json_is_told_by_its_type() {
    for (stated, expected) in [
        ("application/json", true),
        ("application/json; charset=utf-8", true),
        ("application/vnd.maxmind.com-minfraud-score+json; charset=UTF-8; version=2.0", true),
        ("text/html", false),
        ("text/plain", false),
        ("", false),
    ] {
        assert_eq!(is_json(&headers(&[("content-type", stated)])), expected, "{stated}");
    }
    assert!(is_json(&HeaderMap::new()));
}

/// Asks a name server over UDP, as the system's resolver does, and takes the addresses from its answer.
struct Asking(SocketAddr);

impl Resolve for Asking {
    fn resolve(&self, _: Name) -> Resolving {
        let server = self.0;
        Box::pin(async move {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
            socket.send_to(b"a question", server).await?;
            let mut answer = [0; 64];
            let read = socket.recv(&mut answer).await?;
            let named = std::str::from_utf8(&answer[..read])?.split_whitespace().filter_map(|text| text.parse().ok());
            Ok(allowed(named)?)
        })
    }
}

async fn asked_through(server: &tokio::net::UdpSocket) -> Option<Cause> {
    let resolver = Arc::new(Asking(server.local_addr().expect("an address")));
    let client = Client { resolver, ..Client::new(Duration::from_millis(50), Face::Lambda, Tls::default()) };
    client.send(Now::read(), |client| client.get("https://risk.example/")).await.err().map(|failure| failure.cause)
}

#[tokio::test]
async fn a_name_server_that_hangs_is_given_no_more_than_the_connect_timeout() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let started = tokio::time::Instant::now();
    assert_eq!(asked_through(&server).await, Some(Cause::Connect));
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(server.try_recv(&mut [0; 64]).is_ok(), "it was asked");
}

#[tokio::test]
async fn a_name_with_refused_addresses_only_is_reported_as_such() {
    for (addresses, expected) in [
        ("", Cause::Connect),
        ("169.254.169.254:443 [fe80::1]:443", Cause::AddressRefused),
        ("[fd00:ec2::254]:443", Cause::AddressRefused),
        ("169.254.171.32:443 127.0.0.1:1", Cause::Connect),
    ] {
        let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let answering = async {
            let (_, asker) = server.recv_from(&mut [0; 64]).await.expect("a question");
            server.send_to(addresses.as_bytes(), asker).await.expect("sent");
        };
        let (cause, ()) = tokio::join!(asked_through(&server), answering);
        assert_eq!(cause, Some(expected), "{addresses:?}");
    }
}

#[test]
fn codes_are_few_short_and_printable() {
    let long = "x".repeat(65);
    assert_eq!(codes(["PROXY", "", &long, "a\nb", "é", "two words"].into_iter()).as_slice(), ["PROXY", "two words"]);
    assert_eq!(codes(std::iter::repeat_n("A", 100)).len(), 16);
}

#[tokio::test]
async fn link_local_addresses_are_no_service() {
    for (ip, is_allowed) in
        [("169.254.169.254", false), ("::ffff:169.254.1.1", false), ("fe80::1", false), ("fd00:ec2::254", false), ("127.0.0.1", true), ("10.0.0.1", true)]
    {
        // Written as numbers a name needs no name server.
        let found = Resolver.resolve(ip.parse().expect("a name")).await;
        assert_eq!(found.is_ok_and(|found| found.count() == 1), is_allowed, "{ip}");
    }
}

#[tokio::test]
async fn a_connection_that_takes_longer_than_a_sign_in_may_wait_serves_later_ones() {
    let names = Arc::new(tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port"));
    let service = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (server, address) = (names.local_addr().expect("an address"), service.local_addr().expect("an address"));
    let naming = tokio::spawn(async move {
        while let Ok((_, asker)) = names.recv_from(&mut [0; 64]).await {
            let (names, answer) = (Arc::clone(&names), address.to_string());
            tokio::spawn(async move {
                // Ten times as long as a sign-in waits.
                tokio::time::sleep(Duration::from_millis(500)).await;
                let _ = names.send_to(answer.as_bytes(), asker).await;
            });
        }
    });
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = service.accept().await {
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let mut held = [0; 4096];
                while stream.read(&mut held).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            });
        }
    });
    let client = Client { resolver: Arc::new(Asking(server)), ..Client::new(Duration::from_millis(50), Face::Sidecar, Tls::default()) };
    let url = format!("http://risk.example:{}/", address.port());
    let send = async || client.send(Now::read(), |client| client.get(&url)).await.map(|exchange| exchange.status()).map_err(|failure| failure.cause);
    assert_eq!(send().await, Err(Cause::Connect));
    let mut last = send().await;
    for _ in 0..600 {
        if last.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        last = send().await;
    }
    assert_eq!(last, Ok(StatusCode::OK));
    naming.abort();
    serving.abort();
}
