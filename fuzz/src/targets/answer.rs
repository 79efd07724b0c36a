//! What an outside service answers: any head, any body. It becomes an answer on riskgate's scale or a named failure.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use riskgate_config::Config;
use riskgate_engine::{client_ip::ClientIp, evidence::Risk};
use riskgate_event::http;
use riskgate_http_client::{Client, Tls};
use riskgate_providers::{Adapter, ProviderRequest, RequestFields};
use riskgate_runtime::clock;
use riskgate_runtime::mode::RuntimeMode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Runtime,
};

/// Those whose answer is one body; CrowdSec's stream is polled in the background and has its own tests.
const SERVICES: [&str; 5] = ["http", "minfraud", "ipqs", "abuseipdb", "crowdsec_cti"];

struct Bench {
    runtime: Runtime,
    answer: Arc<Mutex<Vec<u8>>>,
    adapters: Vec<Adapter>,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let answer = Arc::new(Mutex::new(Vec::new()));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    let served = Arc::clone(&answer);
    runtime.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let served = Arc::clone(&served);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let bytes = served.lock().map(|bytes| bytes.clone()).unwrap_or_default();
                let _ = stream.write_all(&bytes).await;
            });
        }
    });
    let mut map: BTreeMap<String, String> = SERVICES.iter().map(|name| (format!("RISKGATE_{}_URL", name.to_uppercase()), origin.clone())).collect();
    map.insert("RISKGATE_PROVIDERS".to_owned(), SERVICES.join(","));
    for key in ["MINFRAUD_ACCOUNT_ID", "MINFRAUD_LICENSE_KEY", "IPQS_KEY", "ABUSEIPDB_KEY", "CROWDSEC_CTI_KEY"] {
        map.insert(format!("RISKGATE_{key}"), "42".to_owned());
    }
    let (config, faults) = Config::read(&map);
    assert!(faults.is_empty(), "{faults:?}");
    let client = || Client::new(Duration::from_secs(1), RuntimeMode::Command, Tls::default());
    let adapters =
        config.services.services.iter().map(|service| riskgate_providers::open(service, client(), RuntimeMode::Command).expect("an adapter")).collect();
    Bench { runtime, answer, adapters }
});

/// Runs one input.
pub(crate) fn run(bytes: &[u8]) {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    let bench = &*BENCH;
    // The highest bit selects a complete answer of the fuzzer, or a good head before its body.
    let whole = if choice & 0x80 == 0 {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
        [head.as_bytes(), rest].concat()
    } else {
        rest.to_vec()
    };
    *bench.answer.lock().expect("the answer") = whole;
    let adapter = &bench.adapters[usize::from(choice & 0x7f) % bench.adapters.len()];
    let sign_in = http::parse(br#"{"user":"ada","ip":"8.8.8.8"}"#, ClientIp::Missing, clock::read()).expect("a sign-in");
    let request = ProviderRequest::from_sign_in(&sign_in, RequestFields::default()).expect("the address is public");
    let result = bench.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), adapter.provider.query(&request)).await });
    match result.expect("an answer or a failure in time") {
        Ok(Some(answer)) => {
            if let Risk::Score(score) = answer.risk {
                assert!((0.0..=100.0).contains(&score), "{score}");
            }
            assert!(answer.codes.len() <= 16 && answer.codes.iter().all(|code| code.len() <= 64));
        }
        Ok(None) | Err(_) => {}
    }
}
