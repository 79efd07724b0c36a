//! Tests of the two middlewares of the breaker.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tower::{ServiceBuilder, service_fn};

use super::*;
use crate::middleware::{layer, tests as fixtures};
use riskgate_engine::{personal::Personal, service::Service};
use riskgate_runtime::health::{BreakerState, Health};

struct Fixture {
    calls: Arc<AtomicU32>,
    health: Arc<Health>,
}

impl Fixture {
    fn state(&self) -> BreakerState {
        self.health.service(Service::Http).breaker()
    }
}

/// A breaker before a provider that fails like this.
fn service(runtime_mode: RuntimeMode, cause: FailureReason) -> (impl AnswerService, Fixture) {
    let (calls, health) = (Arc::<AtomicU32>::default(), Arc::<Health>::default());
    let counted = Arc::clone(&calls);
    let breaker = Arc::new(Breaker::new(Service::Http, runtime_mode, fixtures::TIMEOUT, Arc::clone(&health)));
    let service = ServiceBuilder::new().layer(layer(Admission::new(breaker, runtime_mode))).layer(layer(Report)).service(service_fn(move |_: ProviderCall| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Err::<CacheEntry, Failure>(cause.into()))
    }));
    (service, Fixture { calls, health })
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_calls() {
    let (service, fixture) = service(RuntimeMode::Lambda, FailureReason::Http5xx);
    let mut causes = Vec::new();
    for _ in 0..5 {
        causes.push(service.clone().oneshot(fixtures::call()).await.expect_err("a failure").cause);
    }
    let (failed, refused) = (FailureReason::Http5xx, FailureReason::BreakerOpen);
    assert_eq!(causes, [failed, failed, failed, refused, refused]);
    assert_eq!(fixture.calls.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_probe_runs_in_the_background_only_in_the_sidecar() {
    for (runtime_mode, expected) in [(RuntimeMode::Sidecar, FailureReason::BreakerOpen), (RuntimeMode::Lambda, FailureReason::Http5xx)] {
        let (service, fixture) = service(runtime_mode, FailureReason::Http5xx);
        while fixture.state() != BreakerState::Open {
            assert!(service.clone().oneshot(fixtures::call()).await.is_err());
        }
        let failed = fixture.calls.load(Ordering::Relaxed);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(service.clone().oneshot(fixtures::call()).await.map(drop), Err(expected.into()), "{runtime_mode:?}");
        tokio::task::yield_now().await;
        assert_eq!(fixture.calls.load(Ordering::Relaxed), failed + 1, "{runtime_mode:?}: one probe");
    }
}

#[tokio::test]
async fn calls_that_were_not_made_and_faults_of_the_request_are_not_held_against_the_service() {
    for (cause, has_client_text, expected) in [
        (FailureReason::Shed, false, BreakerState::Closed),
        (FailureReason::OverQuota, false, BreakerState::Closed),
        (FailureReason::Http4xx, false, BreakerState::Closed),
        (FailureReason::KeyRefused, true, BreakerState::Closed),
        (FailureReason::KeyRefused, false, BreakerState::Open),
        (FailureReason::Timeout, true, BreakerState::Open),
    ] {
        let (service, fixture) = service(RuntimeMode::Lambda, cause);
        for _ in 0..10 {
            let mut call = fixtures::call();
            call.request.user_agent = has_client_text.then(|| Personal::new("x".into()));
            assert!(service.clone().oneshot(call).await.is_err());
        }
        assert_eq!(fixture.state(), expected, "{cause:?}");
    }
}
