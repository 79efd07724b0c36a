//! The middleware of a service over real TCP: cache, coalescing, breaker, retry, and several services at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use riskgate_engine::evidence::{Risk, Tier};
use riskgate_engine::service::Service;
use riskgate_runtime::health::{BreakerState, CacheResult};
use riskgate_runtime::mode::RuntimeMode;
use tokio::time::Instant;

use crate::harness::{HANG, TestEnricher, described, sign_in};
use crate::wire::{Act, Server, json};

/// A server whose behaviour a test changes while it runs.
async fn switchable(first: Act) -> (Server, Arc<Mutex<Act>>) {
    let act = Arc::new(Mutex::new(first));
    let current = Arc::clone(&act);
    (Server::start(move |_| current.lock().expect("the act").clone()).await, act)
}

fn set(act: &Mutex<Act>, next: Act) {
    *act.lock().expect("the act") = next;
}

fn after(ms: u64, act: Act) -> Act {
    Act::After(Duration::from_millis(ms), Box::new(act))
}

fn fine() -> Act {
    json(200, r#"{"score":20}"#)
}

fn http<'a>(origin: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("PROVIDERS", "http"), ("HTTP_URL", origin)], more].concat()
}

fn cached(enricher: &TestEnricher, result: CacheResult) -> u64 {
    enricher.health().cache(Tier::Memory, result).load(Ordering::Relaxed)
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test]
async fn one_of_four_services_works() {
    let hanging = Server::start(|_| Act::Hang).await;
    let failing = Server::start(|_| json(500, "{}")).await;
    let refusing = Server::start(|_| json(401, "{}")).await;
    let well = Server::json(r#"{"score":60}"#).await;
    let (a, b, c, d) = (hanging.origin(), failing.origin(), refusing.origin(), well.origin());
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        let enricher = TestEnricher::new(
            runtime_mode,
            &[
                ("PROVIDERS", "ipqs,abuseipdb,minfraud,http"),
                ("IPQS_URL", &a),
                ("IPQS_KEY", "k"),
                ("ABUSEIPDB_URL", &b),
                ("ABUSEIPDB_KEY", "k"),
                ("MINFRAUD_URL", &c),
                ("MINFRAUD_ACCOUNT_ID", "1"),
                ("MINFRAUD_LICENSE_KEY", "k"),
                ("HTTP_URL", &d),
                ("PROVIDER_TIMEOUT", "400ms"),
            ],
        );
        let started = Instant::now();
        let evidence = enricher.gather(sign_in("8.8.8.8")).await;
        let took = started.elapsed();
        let outcomes: Vec<&str> = evidence.services.iter().map(|result| result.outcome.as_label()).collect();
        assert_eq!(outcomes, ["timeout", "http_5xx", "key_refused", "fresh"]);
        assert_eq!(evidence.services[3].answer.as_ref().map(|answer| answer.risk), Some(Risk::Score(60.0)));
        assert!(took >= Duration::from_millis(400) && took < HANG, "{took:?}");
    }
}

#[tokio::test]
async fn two_hundred_who_miss_make_one_call() {
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        let (server, _act) = switchable(after(100, fine())).await;
        let enricher = TestEnricher::new(runtime_mode, &http(&server.origin(), &[]));
        let outcomes = join_all((0..200).map(|_| enricher.outcome("8.8.8.8"))).await;
        assert!(outcomes.iter().all(|outcome| *outcome == "fresh"));
        assert_eq!((server.count(), cached(&enricher, CacheResult::Miss), cached(&enricher, CacheResult::Coalesced)), (1, 1, 199));
        assert_eq!(enricher.outcome("8.8.8.8").await, "hit");
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn a_leader_whose_connection_breaks_costs_the_others_one_more_call() {
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        let calls = AtomicUsize::new(0);
        let server = Server::start(move |_| if calls.fetch_add(1, Ordering::Relaxed) == 0 { after(100, Act::Reset) } else { after(50, fine()) }).await;
        let enricher = TestEnricher::new(runtime_mode, &http(&server.origin(), &[]));
        let outcomes = join_all((0..200).map(|_| enricher.outcome("8.8.8.8"))).await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "reset").count(), 1, "the leader's own");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "fresh").count(), 199);
        assert_eq!(server.count(), 2);
    }
}

#[tokio::test]
async fn a_leader_who_leaves_costs_the_others_nothing() {
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        let (server, _act) = switchable(after(200, fine())).await;
        let enricher = Arc::new(TestEnricher::new(runtime_mode, &http(&server.origin(), &[])));
        let ask = || {
            let enricher = Arc::clone(&enricher);
            tokio::spawn(async move { enricher.outcome("8.8.8.8").await })
        };
        let leader = ask();
        pause(50).await;
        let others: Vec<_> = (0..50).map(|_| ask()).collect();
        pause(50).await;
        leader.abort();
        for other in others {
            assert_eq!(other.await.expect("an answer"), "fresh");
        }
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn ten_thousand_sign_ins_from_500_addresses_make_500_calls() {
    let server = Server::json(r#"{"score":1}"#).await;
    let enricher = TestEnricher::new(RuntimeMode::Sidecar, &http(&server.origin(), &[]));
    for _ in 0..20 {
        for addresses in (0..500_u32).collect::<Vec<_>>().chunks(50) {
            let addresses: Vec<String> = addresses.iter().map(|n| std::net::Ipv4Addr::from(0x0808_0000 + n).to_string()).collect();
            join_all(addresses.iter().map(|ip| enricher.ask_at(ip, "2026-01-01T07:30:00Z"))).await;
        }
    }
    assert_eq!((server.count(), enricher.calls(Service::Http)), (500, 500));
    assert_eq!((cached(&enricher, CacheResult::Hit), cached(&enricher, CacheResult::Miss)), (9_500, 500));
}

#[tokio::test]
async fn a_stale_answer_replaces_a_failed_call() {
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        let (server, act) = switchable(fine()).await;
        let enricher = TestEnricher::new(runtime_mode, &http(&server.origin(), &[("CACHE_TTL", "300ms"), ("CACHE_STALE_FOR", "900ms")]));
        assert_eq!((enricher.outcome("8.8.8.8").await, enricher.outcome("8.8.8.8").await), ("fresh", "hit"));
        set(&act, json(500, "{}"));
        pause(400).await;
        let result = enricher.ask("8.8.8.8").await;
        assert_eq!((result.outcome.as_label(), result.answer.map(|answer| answer.risk)), ("stale", Some(Risk::Score(20.0))), "{runtime_mode:?}");
        pause(1000).await;
        assert_eq!(enricher.outcome("8.8.8.8").await, "http_5xx", "{runtime_mode:?}: too old to stand in");
        set(&act, fine());
        assert_eq!(enricher.outcome("8.8.8.8").await, "fresh", "{runtime_mode:?}: a failure is never cached");
    }
}

#[tokio::test]
async fn a_stale_answer_is_refreshed_before_the_answer_in_lambda_and_behind_it_in_the_sidecar() {
    for (runtime_mode, first) in [(RuntimeMode::Lambda, "fresh"), (RuntimeMode::Sidecar, "stale")] {
        let (server, act) = switchable(fine()).await;
        let enricher = TestEnricher::new(runtime_mode, &http(&server.origin(), &[("CACHE_TTL", "1s")]));
        assert_eq!(enricher.outcome("8.8.8.8").await, "fresh");
        pause(1050).await;
        set(&act, json(200, r#"{"score":70}"#));
        assert_eq!(enricher.outcome("8.8.8.8").await, first, "{runtime_mode:?}");
        pause(200).await;
        let result = enricher.ask("8.8.8.8").await;
        assert_eq!((result.outcome.as_label(), result.answer.map(|answer| answer.risk)), ("hit", Some(Risk::Score(70.0))), "{runtime_mode:?}");
        assert_eq!(server.count(), 2);
    }
}

#[tokio::test]
async fn a_service_that_hangs_for_good_costs_next_to_nothing() {
    let server = Server::start(|_| Act::Hang).await;
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        let with = TestEnricher::new(runtime_mode, &http(&server.origin(), &[("PROVIDER_TIMEOUT", "100ms"), ("CONNECT_TIMEOUT", "50ms")]));
        let mut n = 0;
        while with.health().service(Service::Http).breaker() != BreakerState::Open {
            n += 1;
            assert_eq!(with.outcome(&format!("8.8.8.{n}")).await, "timeout");
        }
        let calls = with.calls(Service::Http);
        for n in 0..50 {
            assert_eq!(with.outcome(&format!("8.8.9.{n}")).await, "breaker_open");
        }
        assert_eq!(with.calls(Service::Http), calls, "{runtime_mode:?}: no sign-in waits for it");
    }
}

#[tokio::test]
async fn a_recovered_service_is_called_again_by_one_probe() {
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        let (server, act) = switchable(json(500, "{}")).await;
        let enricher = TestEnricher::new(runtime_mode, &http(&server.origin(), &[]));
        let mut n = 0;
        while enricher.health().service(Service::Http).breaker() != BreakerState::Open {
            n += 1;
            enricher.ask(&format!("8.8.8.{n}")).await;
        }
        let failed = server.count();
        set(&act, after(50, fine()));
        pause(5_100).await;
        let outcomes = join_all((0..20).map(|n| timed_outcome(&enricher, n))).await;
        pause(200).await;
        assert_eq!(server.count(), failed + 1, "{runtime_mode:?}: one probe");
        let answered = outcomes.iter().filter(|outcome| **outcome == "fresh").count();
        assert_eq!(answered, usize::from(runtime_mode == RuntimeMode::Lambda), "{runtime_mode:?}: in the sidecar no sign-in waits for the probe");
        assert_eq!(enricher.outcome("8.8.7.1").await, "fresh", "{runtime_mode:?}");
    }
}

async fn timed_outcome(enricher: &TestEnricher, n: u8) -> &'static str {
    enricher.outcome(&format!("8.8.9.{n}")).await
}

#[tokio::test]
async fn bad_input_does_not_turn_a_service_off_for_others() {
    for (status, runtime_mode) in [400, 404, 422, 403, 401].into_iter().flat_map(|status| [(status, RuntimeMode::Lambda), (status, RuntimeMode::Sidecar)]) {
        let server = Server::start(move |request| if request.body.contains("jndi") { json(status, "{}") } else { fine() }).await;
        let enricher = TestEnricher::new(runtime_mode, &http(&server.origin(), &[("HTTP_SEND", "ip_device")]));
        for n in 0..20 {
            let evidence = enricher.gather(described(&format!(r#"{{"user":"eve","ip":"8.8.8.{n}","userAgent":"${{jndi:ldap://x}} {n}"}}"#))).await;
            assert_ne!(evidence.services[0].outcome.as_label(), "fresh");
        }
        assert_eq!(enricher.outcome("8.8.4.4").await, "fresh", "{status} {runtime_mode:?}");
    }
}

#[tokio::test]
async fn a_connection_that_died_idle_is_replaced_within_the_same_call() {
    let (server, _act) = switchable(fine()).await;
    let address = server.address();
    let enricher = TestEnricher::new(RuntimeMode::Lambda, &http(&server.origin(), &[]));
    assert_eq!(enricher.outcome("8.8.8.1").await, "fresh");
    assert_eq!(server.open(), 1, "the connection stays open");
    drop(server);
    // What Lambda's network does to a frozen environment: the peer is gone and another listens there.
    pause(50).await;
    let server = Server::start_at(address, |_| fine()).await;
    assert_eq!(enricher.outcome("8.8.8.2").await, "fresh");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_request_that_reached_the_service_is_not_repeated() {
    for (method, runtime_mode) in [("GET", RuntimeMode::Lambda), ("POST", RuntimeMode::Lambda), ("POST", RuntimeMode::Sidecar)] {
        let (server, act) = switchable(fine()).await;
        let enricher = TestEnricher::new(runtime_mode, &http(&server.origin(), &[("HTTP_METHOD", method)]));
        assert_eq!(enricher.outcome("8.8.8.1").await, "fresh");
        // The service reads the request from the connection that just answered, and closes it without a word.
        set(&act, Act::Reset);
        assert_eq!(enricher.outcome("8.8.8.2").await, "reset");
        assert_eq!((server.count(), enricher.calls(Service::Http)), (2, 2), "{method} {runtime_mode:?}: the request may have been billed");
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_twice_and_never_more() {
    let server = Server::json("{}").await;
    let address = server.address();
    drop(server);
    pause(20).await;
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        let enricher = TestEnricher::new(runtime_mode, &http(&format!("http://{address}"), &[]));
        assert_eq!(enricher.outcome("8.8.8.8").await, "connect");
        assert_eq!(enricher.calls(Service::Http), 2, "{runtime_mode:?}");
    }
}

#[tokio::test]
async fn an_answer_is_never_used_for_another_user() {
    let server = Server::start(|request| json(200, format!(r#"{{"score":{}}}"#, if request.body.contains("eves-device") { 90 } else { 1 }))).await;
    let enricher = TestEnricher::new(RuntimeMode::Sidecar, &http(&server.origin(), &[("HTTP_SEND", "ip_device")]));
    let score = async |device: &str| {
        let evidence = enricher.gather(described(&format!(r#"{{"user":"x","ip":"8.8.8.8","deviceId":"{device}"}}"#))).await;
        evidence.services[0].answer.as_ref().map(|answer| answer.risk)
    };
    assert_eq!(score("eves-device").await, Some(Risk::Score(90.0)));
    assert_eq!(score("adas-device").await, Some(Risk::Score(1.0)));
    assert_eq!(score("eves-device").await, Some(Risk::Score(90.0)));
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn many_calls_to_a_service_that_hangs_use_few_sockets() {
    let server = Server::start(|_| Act::Hang).await;
    let enricher = TestEnricher::new(RuntimeMode::Sidecar, &http(&server.origin(), &[("PROVIDER_TIMEOUT", "2s"), ("CONNECT_TIMEOUT", "1900ms")]));
    let started = Instant::now();
    let look_ups = join_all((0..400_u32).map(|n| {
        let enricher = &enricher;
        async move { enricher.outcome(&std::net::Ipv4Addr::from(0x0808_0000 + n).to_string()).await }
    }));
    let watch = async {
        let mut most = 0;
        for _ in 0..10 {
            pause(50).await;
            most = most.max(server.open());
        }
        most
    };
    let (outcomes, most) = tokio::join!(look_ups, watch);
    let took = started.elapsed();
    // How many are shed and how many time out in the queue depends on the machine; the number of sockets does not.
    assert!(outcomes.iter().all(|outcome| matches!(*outcome, "shed" | "breaker_open" | "timeout")), "{outcomes:?}");
    assert!((1..=128).contains(&most), "{most} sockets");
    assert!(took < HANG, "{took:?}");
}
