//! Stacks before adapters that panic and wait.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use crate::{ProviderFuture, stack::*};
use riskgate_config::services::{ProviderOptions, SentFields};
use riskgate_engine::{
    client_ip::ClientIp,
    evidence::{Answer, Risk},
    time::ClockReading,
};
use riskgate_event::http;
use riskgate_runtime::clock;

/// An adapter that panics, except on addresses that end with 1.
struct PanickingProvider;

impl Provider for PanickingProvider {
    fn query<'a>(&'a self, request: &'a ProviderRequest) -> ProviderFuture<'a> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            match request.ip.expose() {
                IpAddr::V4(v4) if v4.octets()[3] == 1 => Ok(None),
                IpAddr::V4(_) | IpAddr::V6(_) => std::panic::panic_any("a bug"),
            }
        })
    }
}

fn stack_before(provider: Arc<dyn Provider>, runtime_mode: RuntimeMode, timeout: Duration, health: &Arc<Health>) -> ProviderStack {
    let config = ServiceConfig {
        url: String::new(),
        weight: 1.0,
        timeout,
        connect_timeout: Duration::from_secs(1),
        send: SentFields::Ip,
        daily_limit: None,
        key: None,
        options: ProviderOptions::Ipqs,
    };
    let minute = Duration::from_secs(60);
    let cache = CacheConfig { capacity: 10, ttl: minute, stale_for: minute, negative_ttl: minute };
    let adapter = Adapter::for_address(provider);
    ProviderStack::new(&config, adapter, ProviderStackDeps { cache, secret: [0; 16], runtime_mode, health: Arc::clone(health), shared: None })
}

#[tokio::test]
async fn a_panic_in_an_adapter_is_an_outcome_for_every_waiting_caller() {
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        let health = Arc::<Health>::default();
        let stack = stack_before(Arc::new(PanickingProvider), runtime_mode, Duration::from_secs(1), &health);
        let look_up = async |ip: &str| {
            let body = format!(r#"{{"user":"ada","ip":"{ip}"}}"#);
            let sign_in = http::parse(body.as_bytes(), ClientIp::Missing, clock::read()).unwrap();
            let deadline = Deadline::after(sign_in.received.mono, Duration::from_secs(2));
            stack.look_up(&sign_in, deadline).await.outcome.as_label()
        };
        let outcomes = join_all((0..10).map(|_| look_up("8.8.8.8"))).await;
        assert_eq!(outcomes, ["panic"; 10]);
        assert_eq!(health.panics.load(Ordering::Relaxed), 1);
        assert_eq!(look_up("8.8.8.1").await, "negative", "the next request is sent");
    }
}

/// An adapter that answers when the semaphore has a permit.
struct WaitingProvider {
    calls: Arc<AtomicU32>,
    permits: Arc<Semaphore>,
}

impl Provider for WaitingProvider {
    fn query<'a>(&'a self, _: &'a ProviderRequest) -> ProviderFuture<'a> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.permits.acquire().await.expect("the semaphore is never closed").forget();
            Ok(Some(Answer::new(Risk::Score(90.0), smallvec::SmallVec::new())))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_delayed_by_a_freeze_is_as_old_as_its_request() {
    const TEN_MINUTES: Duration = Duration::from_secs(600);
    let start = clock::read();
    // A sign-in at `start + passed`. Both clocks advance during the freeze, as they do after SIGSTOP.
    let sign_in_after = |passed: Duration| {
        let body = r#"{"user":"ada","ip":"8.8.8.8"}"#;
        let wall = start.wall + jiff::SignedDuration::try_from(passed).unwrap();
        http::parse(body.as_bytes(), ClientIp::Missing, ClockReading { wall, mono: start.mono + passed }).unwrap()
    };
    for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
        let (calls, permits) = (Arc::<AtomicU32>::default(), Arc::new(Semaphore::new(0)));
        let provider = WaitingProvider { calls: Arc::clone(&calls), permits: Arc::clone(&permits) };
        let stack = stack_before(Arc::new(provider), runtime_mode, Duration::from_secs(3600), &Arc::default());
        let passed = Instant::now().into_std() - start.mono;
        let sign_in = sign_in_after(passed);
        let frozen = stack.look_up(&sign_in, Deadline::after(sign_in.received.mono, Duration::from_secs(3600)));
        let thaw = async {
            tokio::task::yield_now().await;
            tokio::time::advance(TEN_MINUTES).await;
            permits.add_permits(1);
        };
        let (frozen, ()) = tokio::join!(frozen, thaw);
        assert_eq!(frozen.outcome, Outcome::Fresh);
        // The cache stores answers for two minutes in total, so the answer to a request of ten minutes ago has expired.
        permits.add_permits(1);
        let sign_in = sign_in_after(passed + TEN_MINUTES);
        let next = stack.look_up(&sign_in, Deadline::after(sign_in.received.mono, Duration::from_secs(2))).await;
        assert_eq!((next.outcome, calls.load(Ordering::Relaxed)), (Outcome::Fresh, 2), "{runtime_mode:?}: a new request is sent");
    }
}
