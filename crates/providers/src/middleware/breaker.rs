//! The circuit breaker as two middlewares: one admits calls, the other reports how they ended.
//!
//! The cache writes are between the two. A probe in the background stores its answer, and the time of a write does not count as
//! the provider's.

use std::sync::Arc;

use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::{
    breaker::{Breaker, BreakerAdmission, Permit},
    cache::CacheEntry,
    middleware::{AnswerService, Middleware, ProviderCall},
};
use riskgate_engine::evidence::FailureReason;
use riskgate_http_client::failure::Failure;
use riskgate_runtime::{health::AccountFault, mode::RuntimeMode};

#[cfg(test)]
mod tests;

/// A call that the breaker admitted.
#[derive(Debug)]
pub struct Admitted {
    /// The call.
    pub call: ProviderCall,
    /// The breaker's permit, which takes the result of the call.
    pub permit: Permit,
}

/// Refuses calls while the breaker is open.
pub struct Admission {
    breaker: Arc<Breaker>,
    runtime_mode: RuntimeMode,
}

/// Reports the result of each call to the breaker.
pub struct Report;

impl Admission {
    /// Admission by `breaker`.
    pub fn new(breaker: Arc<Breaker>, runtime_mode: RuntimeMode) -> Self {
        Admission { breaker, runtime_mode }
    }
}

impl<S: AnswerService<Admitted>> Middleware<ProviderCall, S> for Admission {
    type Response = CacheEntry;

    async fn call(self: Arc<Self>, call: ProviderCall, inner: S) -> Result<CacheEntry, Failure> {
        match self.breaker.admit(Instant::now()) {
            BreakerAdmission::Pass(permit) => inner.oneshot(Admitted { call, permit }).await,
            BreakerAdmission::Probe(permit) if self.runtime_mode == RuntimeMode::Sidecar => {
                // The service is probably still down, so no sign-in waits for the probe. In Lambda there is no background.
                tokio::spawn(inner.oneshot(Admitted { call, permit }));
                Err(FailureReason::BreakerOpen.into())
            }
            BreakerAdmission::Probe(permit) => inner.oneshot(Admitted { call, permit }).await,
            BreakerAdmission::Refused(cause) => Err(cause.into()),
        }
    }
}

impl<S: AnswerService> Middleware<Admitted, S> for Report {
    type Response = CacheEntry;

    async fn call(self: Arc<Self>, Admitted { call, permit }: Admitted, inner: S) -> Result<CacheEntry, Failure> {
        let has_client_text = call.request.has_client_text();
        let result = inner.oneshot(call).await;
        report(result.as_ref().err(), has_client_text, permit, Instant::now());
        result
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
