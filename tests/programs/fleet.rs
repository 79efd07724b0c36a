//! Many processes with one Redis: one call for all of them, one day's limit for all of them, and Redis killed under load.

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all, stream};
use riskgate::{
    config::services::Service,
    evidence::{Face, Tier, health::CacheResult},
};
use tokio::time::Instant;

use super::{
    asking::{Asking, described, sign_in},
    stores::KEY,
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

fn process(redis: &Redis, origin: &str, more: &[(&str, &str)]) -> Asking {
    let url = redis.url();
    let own = [("PROVIDERS", "http"), ("HTTP_URL", origin), ("HTTP_BODY", r#"{"ip":{ip}}"#), ("STORE", &url), ("PSEUDONYM_KEY", KEY), ("STORE_TIMEOUT", "1s")];
    Asking::new(Face::Lambda, &[&own[..], more].concat())
}

fn address(n: u32) -> String {
    std::net::Ipv4Addr::from(0x0808_0000 + n).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_processes_ask_about_an_address_once() {
    let redis = Redis::start();
    let server = Server::start(|_| Act::After(Duration::from_millis(20), Box::new(json(200, r#"{"score":1}"#)))).await;
    let processes: Vec<Asking> = (0..20).map(|_| process(&redis, &server.origin(), &[])).collect();
    // 10,000 sign-ins from 500 addresses, each process at another address: the same one at the same time in several.
    let sign_ins = (0..10_000_u32).map(|n| (&processes[(n % 20) as usize], address((n / 20) % 500)));
    let outcomes: Vec<&str> = stream::iter(sign_ins).map(|(process, ip)| async move { process.outcome(&ip).await }).buffer_unordered(40).collect().await;
    assert!(outcomes.iter().all(|outcome| matches!(*outcome, "fresh" | "hit")), "{:?}", outcomes.iter().find(|outcome| !matches!(**outcome, "fresh" | "hit")));
    let calls: u64 = processes.iter().map(|process| process.calls(Service::Http)).sum();
    let from_store: u64 = processes.iter().map(|process| process.health().cache(Tier::Store, CacheResult::Hit).load(Ordering::Relaxed)).sum();
    assert_eq!((server.count(), calls, from_store), (500, 500, 9_500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_days_limit_holds_for_the_whole_fleet_retries_included() {
    let redis = Redis::start();
    let turns = AtomicUsize::new(0);
    // Every third connection dies right after an answer, so that there are dead ones to try again on.
    let server = Server::start(move |_| match turns.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => Act::RawThenHangUp(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"score\":1}".to_vec()),
        _ => json(200, r#"{"score":1}"#),
    })
    .await;
    let processes: Vec<Asking> = (0..10).map(|_| process(&redis, &server.origin(), &[("HTTP_DAILY_LIMIT", "100")])).collect();
    let sign_ins = (0..400_u32).map(|n| (&processes[(n % 10) as usize], address(n)));
    let outcomes: Vec<&str> = stream::iter(sign_ins).map(|(process, ip)| async move { process.outcome(&ip).await }).buffer_unordered(16).collect().await;
    assert!(outcomes.iter().filter(|outcome| **outcome == "over_quota").count() >= 300, "{outcomes:?}");
    let calls: u64 = processes.iter().map(|process| process.calls(Service::Http)).sum();
    assert!(calls <= 100 && server.count() <= 100, "{calls} calls, {} seen", server.count());
    assert!(calls >= 95, "{calls}: the limit is there to be used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_under_load_delays_nobody_and_counts_again_when_it_is_back() {
    let mut redis = Redis::start();
    let server = Server::json(r#"{"score":1}"#).await;
    let asking = Arc::new(process(&redis, &server.origin(), &[("STORE_TIMEOUT", "200ms"), ("BUDGET", "1s")]));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load = (0..20_u32).map(|worker| {
        let (asking, stop) = (Arc::clone(&asking), Arc::clone(&stop));
        tokio::spawn(async move {
            let (mut longest, mut number) = (Duration::ZERO, 0);
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let started = Instant::now();
                let evidence = asking.gather(sign_in(&address(worker * 1000 + number % 50))).await;
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
    let away = asking.gather(sign_in("8.8.9.9")).await;
    assert!(away.history_outcome.cause().is_some(), "{:?}", away.history_outcome);
    redis.start_again();
    // Left alone for five seconds at a time.
    tokio::time::sleep(Duration::from_millis(6000)).await;
    stop.store(true, Ordering::Relaxed);
    let ended = join_all(load).await.into_iter().map(|worker| worker.expect("no sign-in fails"));
    let (longest, sign_ins) = ended.fold((Duration::ZERO, 0), |(longest, count), (took, number)| (longest.max(took), count + number));
    println!("{sign_ins} sign-ins, the longest {longest:?}");
    assert!(longest <= Duration::from_millis(1050), "{longest:?}");
    let mut accounts = 0;
    for n in 0..4 {
        let evidence = asking.gather(described(&format!(r#"{{"user":"somebody-{n}","ip":"9.9.9.9"}}"#))).await;
        assert_eq!(evidence.history_outcome.as_label(), "fresh", "back again");
        accounts = evidence.history.velocity.accounts_per_ip;
    }
    assert_eq!(accounts, 4, "the counters count again");
}

#[tokio::test]
async fn every_store_counts_to_its_limit_and_no_further() {
    for kept in [super::stores::all().await, super::stores::atomic().await].into_iter().flatten() {
        let (now, day) = (jiff::Timestamp::now(), Duration::from_secs(86_400));
        let counts = join_all((0..20).map(|_| kept.store.count("calls:test:1", 7, day, now))).await;
        let counted = counts.into_iter().map(|counted| counted.unwrap_or_else(|cause| panic!("{}: {cause:?}", kept.name))).filter(|counted| *counted).count();
        assert_eq!(counted, 7, "{}", kept.name);
        assert!(!kept.store.count("calls:test:1", 7, day, now).await.unwrap(), "{}", kept.name);
        assert!(kept.store.count("calls:test:1", 8, day, now).await.unwrap(), "{}: a higher limit has room", kept.name);
        assert!(kept.store.count("calls:test:2", 7, day, now).await.unwrap(), "{}: another key", kept.name);
    }
}
