//! Lambda freezes the process between two invocations: sockets die meanwhile, and the next answer must not notice.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::HANG;
use crate::runtime_api::{Answer, Environment, event};
use crate::wire::{Server, json};

#[tokio::test]
async fn a_frozen_environment_answers_after_it_resumes() {
    let fine = |_: &_| json(200, r#"{"score":1}"#);
    let mut server = Server::start(fine).await;
    let address = server.address();
    let audit = tempfile::NamedTempFile::new().unwrap();
    let path = audit.path().to_string_lossy().into_owned();
    let origin = server.origin();
    let lambda = Environment::start(&[("PROVIDERS", "http"), ("HTTP_URL", &origin), ("AUDIT", &path), ("FALLBACK", "deny")]).await;
    for round in 0..5 {
        let event = event(&format!("8.8.8.{round}"));
        let started = Instant::now();
        assert_eq!(lambda.invoke(event.clone()).await, Answer::Event(event), "round {round}: the service was called, else the fallback denies");
        assert!(started.elapsed() < HANG);
        assert_eq!(server.count(), 1, "round {round}");
        lambda.process.signal("-STOP");
        // The peer goes away and comes back while the process sleeps.
        drop(server);
        tokio::time::sleep(Duration::from_millis(200)).await;
        server = Server::start_at(address, fine).await;
        lambda.process.signal("-CONT");
    }
    lambda.settled().await;
    let lines = std::fs::read_to_string(audit.path()).unwrap();
    let fresh = lines.lines().filter(|line| line.contains(r#""http":"fresh""#)).count();
    assert_eq!(fresh, 5, "{lines}");
}
