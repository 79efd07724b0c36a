//! The circuit breaker as two layers: one admits calls, the other reports how they ended.
//!
//! The cache writes are between the two. A probe in the background stores its answer, and the time of a write does not count as
//! the provider's.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;
use tower::{Layer, ServiceExt as _};

use crate::{
    breaker::{Breaker, BreakerAdmission, Permit},
    cache::CacheEntry,
    middleware::{AnswerFuture, AnswerService, ProviderCall},
};
use riskgate_engine::evidence::FailureReason;
use riskgate_http_client::failure::Failure;
use riskgate_runtime::{health::AccountFault, mode::RuntimeMode};

/// A call that the breaker admitted.
#[derive(Debug)]
pub struct Admitted {
    /// The call.
    pub call: ProviderCall,
    /// The breaker's permit, which takes the result of the call.
    pub permit: Permit,
}

/// Adds admission by a breaker.
pub struct AdmissionLayer {
    breaker: Arc<Breaker>,
    runtime_mode: RuntimeMode,
}

/// Refuses calls while the breaker is open.
#[derive(Clone)]
pub struct AdmissionService<S> {
    breaker: Arc<Breaker>,
    runtime_mode: RuntimeMode,
    inner: S,
}

/// Adds the report to the breaker.
pub struct ReportLayer;

/// Reports the result of each call to the breaker.
#[derive(Clone)]
pub struct ReportService<S> {
    inner: S,
}

impl AdmissionLayer {
    /// A layer before `breaker`.
    pub fn new(breaker: Arc<Breaker>, runtime_mode: RuntimeMode) -> Self {
        AdmissionLayer { breaker, runtime_mode }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = AdmissionService<S>;

    fn layer(&self, inner: S) -> AdmissionService<S> {
        AdmissionService { breaker: Arc::clone(&self.breaker), runtime_mode: self.runtime_mode, inner }
    }
}

impl<S> Layer<S> for ReportLayer {
    type Service = ReportService<S>;

    fn layer(&self, inner: S) -> ReportService<S> {
        ReportService { inner }
    }
}

impl<S: AnswerService<Admitted>> tower::Service<ProviderCall> for AdmissionService<S> {
    type Response = CacheEntry;
    type Error = Failure;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ProviderCall) -> AnswerFuture {
        let AdmissionService { breaker, runtime_mode, inner } = self.clone();
        Box::pin(async move {
            match breaker.admit(Instant::now()) {
                BreakerAdmission::Pass(permit) => inner.oneshot(Admitted { call, permit }).await,
                BreakerAdmission::Probe(permit) if runtime_mode == RuntimeMode::Sidecar => {
                    // The service is probably still down, so no sign-in waits for the probe. In Lambda there is no background.
                    tokio::spawn(inner.oneshot(Admitted { call, permit }));
                    Err(FailureReason::BreakerOpen.into())
                }
                BreakerAdmission::Probe(permit) => inner.oneshot(Admitted { call, permit }).await,
                BreakerAdmission::Refused(cause) => Err(cause.into()),
            }
        })
    }
}

impl<S: AnswerService> tower::Service<Admitted> for ReportService<S> {
    type Response = CacheEntry;
    type Error = Failure;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Admitted { call, permit }: Admitted) -> AnswerFuture {
        let inner = self.inner.clone();
        Box::pin(async move {
            let has_client_text = call.request.has_client_text();
            let result = inner.oneshot(call).await;
            report(result.as_ref().err(), has_client_text, permit, Instant::now());
            result
        })
    }
}

/// Reports how a call ended.
fn report(failure: Option<&Failure>, has_client_text: bool, permit: Permit, now: Instant) {
    match failure {
        None => permit.succeed(now),
        // The call was not made.
        Some(Failure { cause: FailureReason::Shed | FailureReason::OverQuota, .. }) => permit.release(),
        // A client must not be able to open the breaker for everyone by what it writes into its user agent.
        Some(failure) if failure.cause == FailureReason::Http4xx || (has_client_text && may_be_the_requests(failure)) => permit.excuse(now),
        Some(failure) => permit.fail(failure, now),
    }
}

/// Whether the text of a client can cause this failure.
fn may_be_the_requests(failure: &Failure) -> bool {
    AccountFault::of(failure.cause).is_some_and(AccountFault::may_be_the_requests)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use tower::{ServiceBuilder, service_fn};

    use super::*;
    use crate::middleware::tests as fixtures;
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
        let service = ServiceBuilder::new().layer(AdmissionLayer::new(breaker, runtime_mode)).layer(ReportLayer).service(service_fn(move |_: ProviderCall| {
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
}
