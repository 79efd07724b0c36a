//! The middleware of a provider, one file per concern. `stack` puts them in order.
//!
//! A concern is a [`Middleware`]: an `async fn` with a request and the service behind it. [`layer`] makes a `tower::Layer` of it.
//! Waiting for capacity is part of a call, so these services are always ready. Only tower's `ConcurrencyLimit` is not, and the bulkhead
//! awaits it.

use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tower::Layer;

use crate::{ProviderRequest, cache::CacheEntry};
use riskgate_engine::{
    evidence::{Answer, FailureReason, Outcome, Outdated, Tier},
    service::Service,
};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::{
    deadline::Deadline,
    health::{CacheResult, Health, ServiceHealth},
    mode::RuntimeMode,
};

pub mod account_status;

pub mod breaker;

pub mod bulkhead;

pub mod cache;

pub mod cache_write;

pub mod catch_panic;

pub mod provider;

pub mod quota;

pub mod retry;

pub mod shared_cache;

pub mod single_flight;

pub mod staleness;

pub mod timeout;

#[cfg(test)]
pub(crate) mod tests;

/// One concern of a stack. Its state is shared by all calls.
pub trait Middleware<R, S>: Send + Sync + 'static {
    /// What the service returns with this middleware before it.
    type Response;

    /// Handles a request. `inner` is a clone of the service behind the middleware, for this request only.
    fn call(self: Arc<Self>, request: R, inner: S) -> impl Future<Output = Result<Self::Response, Failure>> + Send + 'static;
}

/// Adds a middleware before a service.
pub struct MiddlewareLayer<M> {
    middleware: Arc<M>,
}

/// A service behind a middleware.
pub struct MiddlewareService<M, S> {
    middleware: Arc<M>,
    inner: S,
}

/// A request on its way to one provider.
#[derive(Debug, Clone)]
pub struct ProviderCall {
    /// The cache key of the request.
    pub key: u128,
    /// What the provider receives.
    pub request: ProviderRequest,
    /// When the call entered the stack.
    pub started: Instant,
    /// By when the result is needed: the deadline of the sign-in, and below the shared cache that of the provider.
    pub deadline: Deadline,
    /// Which attempt of the call this is.
    pub attempt: Attempt,
}

/// Which attempt of a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The first.
    First,
    /// The retry.
    Second,
}

/// The answer to a call and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupResult {
    /// The outcome. Never `Failed`: failures are errors.
    pub outcome: Outcome,
    /// The answer; `None` is "nothing known".
    pub answer: Option<Arc<Answer>>,
    /// The cache tier that answered, if one did.
    pub tier: Option<Tier>,
    /// Why the answer of a block list could not be refreshed.
    pub outdated: Option<Outdated>,
}

/// The settings and counters that the layers of one provider share.
#[derive(Debug, Clone)]
pub struct StackContext {
    /// The service behind the provider.
    pub service: Service,
    /// In which mode the process runs.
    pub runtime_mode: RuntimeMode,
    /// Timeout of one call.
    pub timeout: Duration,
    /// Whether the answers are decisions of a block list.
    pub is_block_list: bool,
    /// The counters.
    pub health: Arc<Health>,
}

/// The future of a service in a stack.
pub type ResponseFuture<T> = BoxFuture<'static, Result<T, Failure>>;

/// A service that finds an answer: in a cache or at the provider.
pub trait LookupService: tower::Service<ProviderCall, Response = LookupResult, Error = Failure, Future: Send> + Clone + Send + Sync + 'static {}

impl<S> LookupService for S where S: tower::Service<ProviderCall, Response = LookupResult, Error = Failure, Future: Send> + Clone + Send + Sync + 'static {}

/// A service that calls the provider. The entry that it returns is as old as the request.
pub trait AnswerService<R = ProviderCall>: tower::Service<R, Response = CacheEntry, Error = Failure, Future: Send> + Clone + Send + Sync + 'static {}

impl<S, R> AnswerService<R> for S where S: tower::Service<R, Response = CacheEntry, Error = Failure, Future: Send> + Clone + Send + Sync + 'static {}

/// The layer that adds a middleware.
pub fn layer<M>(middleware: M) -> MiddlewareLayer<M> {
    MiddlewareLayer { middleware: Arc::new(middleware) }
}

impl<M, S> Layer<S> for MiddlewareLayer<M> {
    type Service = MiddlewareService<M, S>;

    fn layer(&self, inner: S) -> MiddlewareService<M, S> {
        MiddlewareService { middleware: Arc::clone(&self.middleware), inner }
    }
}

impl<M, S: Clone> Clone for MiddlewareService<M, S> {
    fn clone(&self) -> Self {
        MiddlewareService { middleware: Arc::clone(&self.middleware), inner: self.inner.clone() }
    }
}

impl<M: Middleware<R, S>, S: Clone, R> tower::Service<R> for MiddlewareService<M, S> {
    type Response = M::Response;
    type Error = Failure;
    type Future = ResponseFuture<M::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        Box::pin(Arc::clone(&self.middleware).call(request, self.inner.clone()))
    }
}

impl LookupResult {
    /// A result without a cache tier.
    pub fn new(outcome: Outcome, answer: Option<Arc<Answer>>) -> Self {
        LookupResult { outcome, answer, tier: None, outdated: None }
    }

    /// An answer of the provider itself.
    pub fn answered(answer: Option<Arc<Answer>>) -> Self {
        Self::new(if answer.is_some() { Outcome::Fresh } else { Outcome::Negative }, answer)
    }
}

impl StackContext {
    /// The counters of the service.
    pub fn service_health(&self) -> &ServiceHealth {
        self.health.service(self.service)
    }

    /// Counts the result of a cache look-up.
    pub fn count(&self, tier: Tier, result: CacheResult) {
        Health::count(self.health.cache(tier, result));
    }

    /// Counts and returns a fresh answer of a cache.
    pub fn fresh(&self, answer: Option<Arc<Answer>>, tier: Tier) -> LookupResult {
        let (outcome, result) = if answer.is_some() { (Outcome::Hit, CacheResult::Hit) } else { (Outcome::Negative, CacheResult::Negative) };
        self.count(tier, result);
        LookupResult { tier: Some(tier), ..LookupResult::new(outcome, answer) }
    }

    /// Counts and returns an expired answer of a cache.
    pub fn stale(&self, answer: Arc<Answer>, tier: Tier) -> LookupResult {
        self.count(tier, CacheResult::Stale);
        LookupResult { tier: Some(tier), ..LookupResult::new(Outcome::Stale, Some(answer)) }
    }

    /// Replaces a failed call by an expired answer of this age.
    ///
    /// # Errors
    ///
    /// The failure, if the service itself limited the answer to a shorter time.
    pub fn stale_on_failure(&self, answer: Arc<Answer>, tier: Tier, failure: Failure, age: Duration) -> Result<LookupResult, Failure> {
        let answer = answer.at(age).ok_or(failure)?;
        let outdated = self.is_block_list.then_some(Outdated { cause: failure.cause, age });
        Ok(LookupResult { outdated, ..self.stale(answer, tier) })
    }
}

/// The failure of a call that ran out of time.
fn timed_out() -> Failure {
    FailureReason::Timeout.into()
}
