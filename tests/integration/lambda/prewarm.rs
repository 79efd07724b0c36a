//! Connections that are open before the first sign-in: a Lambda's init opens them, and waits for none that does not come.

use std::time::Duration;

use riskgate_engine::service::Service;
use riskgate_runtime::clock;
use riskgate_runtime::mode::RuntimeMode;
use tokio::time::Instant;

use crate::harness::{HANG, TestEnricher};
use crate::runtime_api::{Answer, Environment, event};
use crate::tls;
use crate::wire::{Act, Server, json};

#[tokio::test]
async fn the_first_call_uses_the_connection_that_init_opened() {
    let server = Server::json(r#"{"score":1}"#).await;
    let url = format!("{}/v1/score?key=secret", server.origin());
    let lambda = Environment::start(&[("PROVIDERS", "http"), ("HTTP_URL", &url), ("HTTP_HEADERS", "X-Key: secret"), ("FALLBACK", "deny")]).await;
    assert_eq!(lambda.invoke(event("8.8.8.8")).await, Answer::Event(event("8.8.8.8")));
    let requests = server.requests();
    assert_eq!(requests.iter().map(|request| request.line.as_str()).collect::<Vec<_>>(), ["HEAD /", "POST /v1/score?key=secret"]);
    assert!(requests[0].header("x-key").is_none() && requests[0].body.is_empty(), "no key and no user's data: {:?}", requests[0]);
    assert_eq!((server.connections(), server.count()), (1, 1));
}

#[tokio::test]
async fn what_does_not_come_is_waited_for_no_longer_than_a_connection_may_take() {
    let (hanging, well) = (Server::start(|_| Act::Hang).await, Server::start(|_| Act::After(Duration::from_millis(50), Box::new(json(403, "{}")))).await);
    let (hanging_origin, origin) = (hanging.origin(), well.origin());
    let services =
        [("PROVIDERS", "abuseipdb,http"), ("ABUSEIPDB_URL", &hanging_origin), ("ABUSEIPDB_KEY", "k"), ("HTTP_URL", &origin), ("CONNECT_TIMEOUT", "200ms")];
    let enricher = TestEnricher::new(RuntimeMode::Lambda, &services);
    let started = Instant::now();
    enricher.sources.warm(clock::read()).await;
    let took = started.elapsed();
    // All at once: the one that hangs costs the other nothing, and both together what one may.
    assert!(took >= Duration::from_millis(200) && took < HANG, "{took:?}");
    assert_eq!((well.connections(), well.count()), (1, 0));
    assert_eq!((enricher.calls(Service::Http), enricher.calls(Service::Abuseipdb)), (0, 0), "no call, so nothing is paid for");
}

/// Prints what it saves: `cargo test --release --test it warm:: -- --nocapture`.
#[tokio::test]
async fn the_first_sign_in_does_not_wait_for_the_handshake() {
    let authority = tls::Authority::new();
    let server = tls::Server::start(authority.certificate("localhost", tls::Validity::Current)).await;
    let (origin, pem) = (server.origin("localhost"), authority.pem());
    let sources = || TestEnricher::new(RuntimeMode::Lambda, &[("PROVIDERS", "http"), ("HTTP_URL", &origin), ("SERVICES_CA", &pem)]);
    let (cold, warm): (Vec<TestEnricher>, Vec<TestEnricher>) = (0..20).map(|_| (sources(), sources())).unzip();
    let mut measured = [Vec::new(), Vec::new()];
    for enricher in &warm {
        enricher.sources.warm(clock::read()).await;
    }
    for (times, askings) in measured.iter_mut().zip([&cold, &warm]) {
        for enricher in askings {
            let started = Instant::now();
            assert_eq!(enricher.outcome("8.8.8.8").await, "fresh");
            times.push(started.elapsed());
        }
        times.sort();
    }
    let [cold, warm] = measured.map(|times| times[times.len() / 2]);
    println!("the first question over TLS takes {cold:?}, over a connection that is open {warm:?}");
    assert!(warm < cold, "{warm:?}, without {cold:?}");
}
