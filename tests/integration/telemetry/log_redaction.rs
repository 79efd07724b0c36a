//! What is logged while every service fails in every way holds no key and nothing of a person, however much is logged.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use riskgate_runtime::mode::RuntimeMode;

use crate::{
    harness::{TestEnricher, described},
    wire::{Act, Server, answer, json},
};

/// What must never be seen: the keys in both spellings, and the person.
const SECRETS: [&str; 10] = [
    "s3cr3t-maxmind",
    "s3cr3t-ipqs",
    "s3cr3t-abuse",
    "s3cr3t-crowdsec",
    "s3cr3t-cti",
    "s3cr3t-header",
    "NDcxMTpzM2NyM3Q",
    "ada.lovelace",
    "81.2.69.",
    "Probe-Agent",
];

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn failing_services_reveal_no_key_and_no_name() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || runtime.block_on(fail_in_every_way()));
    let text = String::from_utf8_lossy(&written.0.lock().unwrap()).into_owned();
    assert!(text.contains("refuses the key"), "something was logged at all: {text}");
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in: {text}");
    }
}

async fn fail_in_every_way() {
    let ways = [
        json(401, r#"{"error":"key s3cr3t-ipqs is not known"}"#),
        json(402, "{}"),
        json(403, "{}"),
        json(429, "{}"),
        json(500, "s3cr3t-maxmind"),
        json(200, r#"{"success":false,"message":"Invalid key s3cr3t-ipqs"}"#),
        json(200, "not JSON s3cr3t-abuse"),
        answer(302, &[("location", "http://127.0.0.1/s3cr3t-cti")], ""),
        Act::Reset,
        Act::HangUp,
        Act::Hang,
        Act::RawThenReset(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Act::RawThenHangUp(b"garbage\r\n\r\n".to_vec()),
    ];
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        for way in &ways {
            let way = way.clone();
            let server = Server::start(move |_| way.clone()).await;
            query_all_services(runtime_mode, &server.origin()).await;
        }
        query_all_services(runtime_mode, "http://127.0.0.1:1").await;
    }
}

async fn query_all_services(runtime_mode: RuntimeMode, origin: &str) {
    let url = format!("{origin}/s3cr3t-header/{{ip}}?agent={{userAgent}}");
    let enricher = TestEnricher::new(
        runtime_mode,
        &[
            ("PROVIDERS", "minfraud,ipqs,abuseipdb,crowdsec,crowdsec_cti,http"),
            ("PROVIDER_TIMEOUT", "100ms"),
            ("CONNECT_TIMEOUT", "100ms"),
            ("MINFRAUD_URL", origin),
            ("MINFRAUD_ACCOUNT_ID", "4711"),
            ("MINFRAUD_LICENSE_KEY", "s3cr3t-maxmind"),
            ("MINFRAUD_SEND", "all"),
            ("IPQS_URL", origin),
            ("IPQS_KEY", "s3cr3t-ipqs"),
            ("IPQS_SEND", "all"),
            ("ABUSEIPDB_URL", origin),
            ("ABUSEIPDB_KEY", "s3cr3t-abuse"),
            ("CROWDSEC_URL", origin),
            ("CROWDSEC_KEY", "s3cr3t-crowdsec"),
            ("CROWDSEC_CTI_URL", origin),
            ("CROWDSEC_CTI_KEY", "s3cr3t-cti"),
            ("HTTP_URL", &url),
            ("HTTP_HEADERS", "X-Key: s3cr3t-header"),
            ("HTTP_SEND", "all"),
        ],
    );
    for n in 1..5 {
        let body = format!(r#"{{"user":"ada.lovelace","ip":"81.2.69.{n}","userAgent":"Mozilla/5.0 Probe-Agent","deviceId":"ada.lovelace-phone"}}"#);
        let evidence = enricher.gather(described(&body)).await;
        let shown = format!("{evidence:?}");
        assert!(SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
    // What goes on behind the answers is logged too.
    tokio::time::sleep(Duration::from_millis(20)).await;
}
