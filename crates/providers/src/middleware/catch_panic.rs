//! Panics: a panic in an inner service becomes a failure and is counted.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tower::Layer;

use riskgate_engine::evidence::FailureReason;
use riskgate_runtime::{
    catch_panic::{Panicked, catch_panic_sync},
    health::Health,
};

/// Adds the conversion of panics to failures.
pub struct CatchPanicLayer {
    health: Arc<Health>,
}

/// Returns `FailureReason::Panic` when the inner service panics.
#[derive(Clone)]
pub struct CatchPanicService<S> {
    health: Arc<Health>,
    inner: S,
}

/// The future of a service that may panic.
pub struct CatchPanicFuture<F> {
    health: Arc<Health>,
    /// The inner future, unless the service panicked before it returned one.
    inner: Result<F, Panicked>,
}

impl CatchPanicLayer {
    /// A layer that counts panics in `health`.
    pub fn new(health: Arc<Health>) -> Self {
        CatchPanicLayer { health }
    }
}

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanicService<S>;

    fn layer(&self, inner: S) -> CatchPanicService<S> {
        CatchPanicService { health: Arc::clone(&self.health), inner }
    }
}

impl<S, R> tower::Service<R> for CatchPanicService<S>
where
    S: tower::Service<R, Error: From<FailureReason>, Future: Unpin>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = CatchPanicFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> CatchPanicFuture<S::Future> {
        let inner = catch_panic_sync(&self.health, || self.inner.call(request));
        CatchPanicFuture { health: Arc::clone(&self.health), inner }
    }
}

impl<F, T, E> Future for CatchPanicFuture<F>
where
    F: Future<Output = Result<T, E>> + Unpin,
    E: From<FailureReason>,
{
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        let CatchPanicFuture { health, inner } = &mut *self;
        match inner {
            Ok(future) => catch_panic_sync(health, || Pin::new(future).poll(context)).unwrap_or(Poll::Ready(Err(FailureReason::Panic.into()))),
            Err(Panicked) => Poll::Ready(Err(FailureReason::Panic.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::{
        cache::CacheEntry,
        middleware::{ProviderCall, ResponseFuture, tests as fixtures},
    };
    use riskgate_http_client::failure::Failure;

    #[tokio::test]
    async fn a_panic_becomes_a_failure_and_is_counted() {
        let health = Arc::<Health>::default();
        let layer = CatchPanicLayer::new(Arc::clone(&health));
        let in_future = layer.layer(service_fn(|_: ProviderCall| -> ResponseFuture<CacheEntry> { Box::pin(async { std::panic::panic_any("a bug") }) }));
        let in_call = layer.layer(service_fn(|_: ProviderCall| -> ResponseFuture<CacheEntry> { std::panic::panic_any("a bug") }));
        assert_eq!(in_future.oneshot(fixtures::call()).await.map(drop), Err(FailureReason::Panic.into()));
        assert_eq!(in_call.oneshot(fixtures::call()).await.map(drop), Err(FailureReason::Panic.into()));
        assert_eq!(health.panics.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn results_are_passed_on() {
        let layer = CatchPanicLayer::new(Arc::default());
        let service = layer.layer(service_fn(|_: ProviderCall| std::future::ready(Err::<CacheEntry, Failure>(FailureReason::Tls.into()))));
        assert_eq!(service.oneshot(fixtures::call()).await.map(drop), Err(FailureReason::Tls.into()));
    }
}
