//! A load test while the risk service flaps: no sign-in is lost or late, every verdict is right, memory and sockets are bounded.
//!
//! `RISKGATE_SOAK=100000 cargo test --release --test integration soak:: -- --nocapture` runs it in full. Without the variable it is short.

use std::{
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    process::SidecarProcess,
    wire::{Act, Server, json},
};

/// Concurrent sign-ins. The short run shares the machine with all other tests, in a debug build.
const CONCURRENT: usize = 200;
const SHORT: usize = 3_000;
const SHORT_CONCURRENT: usize = 40;
const BUDGET: Duration = Duration::from_millis(2500);
const GRACE: Duration = Duration::from_secs(15);

/// With this many sign-ins, memory is checked after a warm-up of half as many: the store in memory grows until it has 100,000
/// assessments that wait for an outcome.
const FLAT_FROM: usize = 50_000;

impl SidecarProcess {
    /// Resident memory in KiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("a process").count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ins_succeed_while_a_service_flaps() {
    let measured: usize = std::env::var("RISKGATE_SOAK").ok().and_then(|count| count.parse().ok()).unwrap_or(SHORT);
    let warm_up = if measured < FLAT_FROM { 0 } else { measured + measured / 2 };
    let count = warm_up + measured;
    let begun = Instant::now();
    // Up, slow, down, a second each.
    let server = Server::start(move |request| {
        let score = if request.body.contains(".66\"") { 100 } else { 0 };
        let well = json(200, format!(r#"{{"score":{score}}}"#));
        match begun.elapsed().as_secs() % 3 {
            0 => well,
            1 => Act::After(Duration::from_millis(900), Box::new(well)),
            _ => Act::Reset,
        }
    })
    .await;
    let origin = server.origin();
    let settings = [
        ("PROVIDERS", "http"),
        ("HTTP_URL", &origin),
        ("HTTP_BODY", r#"{"ip":{ip}}"#),
        ("PROVIDER_TIMEOUT", "700ms"),
        ("FALLBACK", "deny"),
        ("AUDIT", "off"),
        ("CACHE_TTL", "2s"),
        ("CACHE_STALE_FOR", "2s"),
        ("CACHE_CAPACITY", "5000"),
        // Attempts without an outcome are stored for this time. It is short, so their number does not grow.
        ("PENDING_TTL", "10s"),
    ];
    let sidecar = SidecarProcess::start(&settings, Stdio::null()).await;
    let url = format!("{}/v1/assess", sidecar.origin);
    let (next, mut samples, mut descriptors) = (Arc::new(AtomicUsize::new(0)), Vec::new(), 0);
    let wrong = Arc::new(Mutex::new(Vec::<String>::new()));
    let latencies = Arc::new(Mutex::new(Vec::<u32>::with_capacity(count)));
    let client = client();
    let workers: Vec<_> = (0..if count == SHORT { SHORT_CONCURRENT } else { CONCURRENT })
        .map(|_| {
            let (next, wrong, latencies, client, url) = (Arc::clone(&next), Arc::clone(&wrong), Arc::clone(&latencies), client.clone(), url.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let started = Instant::now();
                    let fault = sign_in(&client, &url, number).await.err();
                    let took = started.elapsed();
                    latencies.lock().unwrap().push(u32::try_from(took.as_millis()).unwrap());
                    let late = (took > BUDGET + GRACE).then(|| format!("late: {took:?}"));
                    wrong.lock().unwrap().extend(fault.into_iter().chain(late));
                }
            })
        })
        .collect();
    while next.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(100)).await;
        samples.push((next.load(Ordering::Relaxed), sidecar.memory()));
        descriptors = descriptors.max(sidecar.descriptors());
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let wrong = wrong.lock().unwrap();
    let mut latencies = latencies.lock().unwrap();
    latencies.sort_unstable();
    let share = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!("{count} sign-ins in {:?}: p50 {} ms, p99 {} ms, longest {} ms; {descriptors} descriptors", begun.elapsed(), share(0.5), share(0.99), share(1.0));
    assert_eq!(latencies.len(), count, "none lost");
    assert!(wrong.is_empty(), "{} wrong, such as {:?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    // 200 callers, 128 concurrent calls, their idle connections, and those of the process itself.
    assert!(descriptors <= CONCURRENT + 2 * 128 + 50, "{descriptors} descriptors");
    for tenth in 1..=10 {
        let sample = samples.iter().rfind(|(number, _)| *number <= count * tenth / 10);
        sample.iter().for_each(|(number, memory)| println!("{number:>9} sign-ins, {:.1} MiB", memory / 1024.0));
    }
    let warm: Vec<f64> = samples.iter().filter(|(number, _)| *number >= warm_up).map(|(_, memory)| *memory).collect();
    let quarter = (warm.len() / 4).max(1);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&warm[..quarter]), mean(&warm[warm.len() - quarter..]));
    println!("memory after warm-up: {:.1} MiB in the first quarter, {:.1} MiB in the last", first / 1024.0, last / 1024.0);
    assert!(measured < FLAT_FROM || last <= first * 1.05, "memory grows: {first} KiB, then {last} KiB");
}

/// One sign-in; what is wrong with its answer.
async fn sign_in(client: &reqwest::Client, url: &str, number: usize) -> Result<(), String> {
    let last = if number.is_multiple_of(10) { 66 } else { number % 60 };
    let body = format!(r#"{{"user":"user-{}","client":"web","ip":"8.8.{}.{last}"}}"#, number % 2000, number % 200);
    let answer = client.post(url).header("content-type", "application/json").body(body).send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| error.to_string())?;
    let assessment: Value = serde_json::from_str(&text).map_err(|_| format!("{status}: {text}"))?;
    let (evidence, decision) = (assessment["evidence"]["http"].as_str().unwrap_or_default(), assessment["decision"].as_str().unwrap_or_default());
    let right = match evidence {
        "fresh" | "hit" | "stale" => (last == 66) == (decision == "deny"),
        // Without an answer, the fallback decides.
        _ => decision == "deny" && assessment["degraded"]["fallback"] == "deny",
    };
    if right { Ok(()) } else { Err(text) }
}

pub fn client() -> reqwest::Client {
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().expect("a client")
}
