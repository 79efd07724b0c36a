//! The deadline of a call. tower's `Timeout` does not fit: the time starts before the wait for the store and for a slot.

use std::task::{Context, Poll};

use tower::{Layer, ServiceExt as _};

use crate::{
    cache::CacheEntry,
    middleware::{AnswerFuture, AnswerService, ProviderCall, timed_out},
};
use riskgate_http_client::failure::Failure;

/// Adds the deadline.
pub struct TimeoutLayer;

/// Drops a call at its deadline.
#[derive(Clone)]
pub struct TimeoutService<S> {
    inner: S,
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = TimeoutService<S>;

    fn layer(&self, inner: S) -> TimeoutService<S> {
        TimeoutService { inner }
    }
}

impl<S: AnswerService> tower::Service<ProviderCall> for TimeoutService<S> {
    type Response = CacheEntry;
    type Error = Failure;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ProviderCall) -> AnswerFuture {
        let inner = self.inner.clone();
        Box::pin(async move { call.deadline.run(inner.oneshot(call)).await.unwrap_or(Err(timed_out())) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;
    use tower::service_fn;

    use super::*;
    use crate::middleware::tests as fixtures;

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline() {
        let service = TimeoutLayer.layer(service_fn(|_: ProviderCall| async {
            tokio::time::sleep(fixtures::TIMEOUT + Duration::from_millis(1)).await;
            Ok::<_, Failure>(fixtures::entry(20.0))
        }));
        let started = Instant::now();
        assert_eq!(service.oneshot(fixtures::call()).await.map(drop), Err(timed_out()));
        assert_eq!(started.elapsed(), fixtures::TIMEOUT);
    }
}
