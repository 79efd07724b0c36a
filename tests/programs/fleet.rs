//! Many processes with one Redis: one call for all of them, one day's limit for all of them, and Redis killed under load.

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all};
use riskgate_runtime::mode::RuntimeMode;
use tokio::time::Instant;

use super::{
    fixtures::{self, KEY},
    harness::{HANG, TestEnricher, described, sign_in},
    runtime_api::{Answer, Environment},
    wire::{Act, Server, json},
};

/// A Redis that a test kills and starts again.
struct Redis {
    child: Child,
    port: u16,
    home: tempfile::TempDir,
}

impl Redis {
    fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = tempfile::tempdir().unwrap();
        let child = Self::spawn(port, &home);
        Redis { child, port, home }
    }

    fn spawn(port: u16, home: &tempfile::TempDir) -> Child {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]).arg(home.path());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("redis-server is needed (Debian: apt-get install redis-server)");
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return child;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("redis-server does not listen on port {port}");
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.child = Self::spawn(self.port, &self.home);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn process(redis: &Redis, origin: &str, more: &[(&str, &str)]) -> TestEnricher {
    let url = redis.url();
    let own = [("PROVIDERS", "http"), ("HTTP_URL", origin), ("HTTP_BODY", r#"{"ip":{ip}}"#), ("STORE", &url), ("PSEUDONYM_KEY", KEY), ("STORE_TIMEOUT", "1s")];
    TestEnricher::new(RuntimeMode::Lambda, &[&own[..], more].concat())
}

fn address(n: u32) -> String {
    std::net::Ipv4Addr::from(0x0808_0000 + n).to_string()
}

/// A Lambda environment in a separate process. Its standard output (audit lines with their metrics) is a file.
struct Member {
    lambda: Environment,
    output: tempfile::NamedTempFile,
}

impl Member {
    async fn start(redis: &Redis, origin: &str, more: &[(&str, &str)]) -> Self {
        let url = redis.url();
        let own = [
            ("PROVIDERS", "http"),
            ("HTTP_URL", origin),
            ("HTTP_BODY", r#"{"ip":{ip}}"#),
            ("STORE", &url),
            ("PSEUDONYM_KEY", KEY),
            ("TRUSTED_CLIENTS", "web"),
            // Twenty processes on a small machine: what is counted here is calls, not time.
            ("BUDGET", "2900ms"),
            ("PROVIDER_TIMEOUT", "2500ms"),
            ("CONNECT_TIMEOUT", "2s"),
            ("STORE_TIMEOUT", "2s"),
        ];
        let output = tempfile::NamedTempFile::new().unwrap();
        let stdout = output.reopen().unwrap();
        let lambda = Environment::start_with_output(&[&own[..], more].concat(), stdout.into(), Stdio::null()).await;
        lambda.set_deadline(Some(Duration::from_secs(10)));
        Member { lambda, output }
    }

    async fn sign_in(&self, ip: &str) {
        let event = fixtures::pre(&format!("user-{ip}"), "web", serde_json::json!({"ip":ip})).to_string();
        assert_eq!(self.lambda.invoke(event.clone()).await, Answer::Event(event));
        self.lambda.settled().await;
    }

    /// The outcome of the service in each of its audit lines. Every line has the service's metric.
    fn result(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.output.path()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).filter(|line| line.get("_aws").is_some());
        let result = |line: serde_json::Value| {
            assert!(line["riskgate_provider_duration_seconds"].is_number() && line["provider"] == "http", "{line}");
            line["evidence"]["http"].as_str().map(str::to_owned)
        };
        lines.filter_map(result).collect()
    }
}

/// Twenty members of a fleet, each a process.
async fn fleet(redis: &Redis, origin: &str, more: &[(&str, &str)]) -> Vec<Member> {
    join_all((0..20).map(|_| Member::start(redis, origin, more))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_processes_call_a_service_once_for_an_address() {
    let redis = Redis::start();
    let server = Server::start(|_| Act::After(Duration::from_millis(20), Box::new(json(200, r#"{"score":1}"#)))).await;
    let fleet = fleet(&redis, &server.origin(), &[]).await;
    // 4,000 sign-ins from 200 addresses: every process goes through all of them, and several come to the same one at once.
    let begun = Instant::now();
    join_all(fleet.iter().map(|member| async move {
        for n in 0..200 {
            member.sign_in(&address(n)).await;
        }
    }))
    .await;
    let outcomes: Vec<String> = fleet.iter().flat_map(Member::result).collect();
    let count = |wanted: &str| outcomes.iter().filter(|outcome| *outcome == wanted).count();
    println!("4,000 sign-ins by 20 processes in {:?}: {} calls seen by the service", begun.elapsed(), server.count());
    // A sign-in that a busy machine delayed beyond the budget says nothing; each of them may have caused a call without an answer.
    let late = outcomes.len() - count("fresh") - count("hit");
    assert_eq!(outcomes.len(), 4_000);
    // Without single-flight, each of the 4,000 would be a call.
    assert!(late < 400, "{late} late sign-ins");
    assert!((count("fresh")..=200 + late).contains(&server.count()) && count("fresh") + late >= 200, "{} calls, {late} late sign-ins", server.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daily_limit_applies_to_the_fleet_failed_calls_included() {
    let redis = Redis::start();
    let turns = AtomicUsize::new(0);
    // Every third request meets a connection that breaks after it was read: it counts, and is not repeated, since it may have been billed.
    let server = Server::start(move |request| match request.line.starts_with("HEAD ") {
        false if turns.fetch_add(1, Ordering::Relaxed) % 3 == 2 => Act::Reset,
        _ => json(200, r#"{"score":1}"#),
    })
    .await;
    let fleet = fleet(&redis, &server.origin(), &[("HTTP_DAILY_LIMIT", "100"), ("FALLBACK", "allow")]).await;
    join_all(fleet.iter().zip(0..).map(|(member, number)| async move {
        for n in 0..20 {
            member.sign_in(&address(number * 20 + n)).await;
        }
    }))
    .await;
    let outcomes: Vec<String> = fleet.iter().flat_map(Member::result).collect();
    let count = |wanted: &str| outcomes.iter().filter(|outcome| *outcome == wanted).count();
    println!("400 questions: {} fresh, {} over quota, {} calls seen", count("fresh"), count("over_quota"), server.count());
    assert_eq!(outcomes.len(), 400);
    assert!(server.count() <= 100, "{} calls", server.count());
    assert!(server.count() >= 95, "{} calls: the limit is there to be used", server.count());
    // A call that a busy machine delayed beyond the budget was counted too.
    let answered = count("fresh") + count("reset");
    assert!((answered..=answered + count("timeout")).contains(&server.count()), "{outcomes:?}");
    // A process whose first three calls all break leaves the service alone.
    assert!(count("reset") > 0 && count("over_quota") + count("breaker_open") >= 300, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_under_load_delays_no_sign_in_and_counts_again_afterwards() {
    let mut redis = Redis::start();
    let server = Server::json(r#"{"score":1}"#).await;
    let enricher = Arc::new(process(
        &redis,
        &server.origin(),
        &[("STORE_TIMEOUT", "200ms"), ("BUDGET", "2900ms"), ("PROVIDER_TIMEOUT", "2500ms"), ("CONNECT_TIMEOUT", "2s")],
    ));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load = (0..20_u32).map(|worker| {
        let (enricher, stop) = (Arc::clone(&enricher), Arc::clone(&stop));
        tokio::spawn(async move {
            let (mut longest, mut number) = (Duration::ZERO, 0);
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let started = Instant::now();
                let evidence = enricher.gather(sign_in(&address(worker * 1000 + number % 50))).await;
                longest = longest.max(started.elapsed());
                assert!(evidence.services[0].outcome.is_usable(), "{:?}", evidence.services[0].outcome);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (longest, number)
        })
    });
    let load: Vec<_> = load.collect();
    tokio::time::sleep(Duration::from_millis(1000)).await;
    redis.kill();
    tokio::time::sleep(Duration::from_millis(3000)).await;
    let away = enricher.gather(sign_in("8.8.9.9")).await;
    assert!(away.history_outcome.cause().is_some(), "{:?}", away.history_outcome);
    redis.start_again();
    // Left alone for five seconds at a time.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if enricher.gather(sign_in("8.8.9.9")).await.history_outcome.cause().is_none() {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let ended = join_all(load).await.into_iter().map(|worker| worker.expect("no sign-in fails"));
    let (longest, sign_ins) = ended.fold((Duration::ZERO, 0), |(longest, count), (took, number)| (longest.max(took), count + number));
    println!("{sign_ins} sign-ins, the longest {longest:?}");
    assert!(longest < HANG, "{longest:?}");
    let mut accounts = 0;
    for n in 0..4 {
        // A busy machine may delay an answer beyond the store's timeout.
        for _ in 0..100 {
            let evidence = enricher.gather(described(&format!(r#"{{"user":"user-{n}","ip":"9.9.9.9"}}"#))).await;
            accounts = evidence.history.velocity.accounts_per_ip;
            if evidence.history_outcome.cause().is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    assert_eq!(accounts, 4, "the counters count again");
}

#[tokio::test]
async fn every_store_counts_to_its_limit_and_no_further() {
    // moto does not isolate concurrent updates, so its table gets one call after the other.
    let one_at_a_time = fixtures::all().await.into_iter().map(|backend| (backend, 1));
    let at_once = fixtures::atomic().await.into_iter().map(|backend| (backend, 20));
    for (backend, width) in one_at_a_time.chain(at_once) {
        let (now, day) = (jiff::Timestamp::now(), Duration::from_secs(86_400));
        let calls = futures_util::stream::iter((0..20).map(|_| backend.store.increment_up_to("calls:test:1", 7, day, now)));
        let counts: Vec<_> = calls.buffer_unordered(width).collect().await;
        let counted =
            counts.into_iter().map(|counted| counted.unwrap_or_else(|cause| panic!("{}: {cause:?}", backend.name))).filter(|counted| *counted).count();
        assert_eq!(counted, 7, "{}", backend.name);
        assert!(!backend.store.increment_up_to("calls:test:1", 7, day, now).await.unwrap(), "{}", backend.name);
        assert!(backend.store.increment_up_to("calls:test:1", 8, day, now).await.unwrap(), "{}: a higher limit has room", backend.name);
        assert!(backend.store.increment_up_to("calls:test:2", 7, day, now).await.unwrap(), "{}: another key", backend.name);
    }
}
