//! The bulkhead: bounds the wait for a free slot of tower's `ConcurrencyLimit`, which must be the next layer.
//!
//! tower's `LoadShed` does not fit: it refuses at once, without a queue.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;
use tower::{Layer, ServiceExt as _};

use crate::{
    cache::CacheEntry,
    middleware::{AnswerFuture, AnswerService, ProviderCall, StackContext},
};
use riskgate_engine::evidence::FailureReason;
use riskgate_http_client::failure::Failure;
use riskgate_runtime::health::Health;

/// Concurrent calls to one service. They bound the sockets and the memory that a hanging service can use.
pub const MAX_CONCURRENT_CALLS: usize = 128;

/// A call may wait for a slot for the service's timeout divided by this.
const QUEUE_DIVISOR: u32 = 4;

/// Adds a bounded wait for the readiness of the inner service.
pub struct BulkheadLayer {
    context: Arc<StackContext>,
}

/// Sheds a call that does not get a slot in time.
#[derive(Clone)]
pub struct BulkheadService<S> {
    context: Arc<StackContext>,
    inner: S,
}

impl BulkheadLayer {
    /// A layer with the timeout of one service.
    pub fn new(context: Arc<StackContext>) -> Self {
        BulkheadLayer { context }
    }
}

impl<S> Layer<S> for BulkheadLayer {
    type Service = BulkheadService<S>;

    fn layer(&self, inner: S) -> BulkheadService<S> {
        BulkheadService { context: Arc::clone(&self.context), inner }
    }
}

impl<S: AnswerService> tower::Service<ProviderCall> for BulkheadService<S> {
    type Response = CacheEntry;
    type Error = Failure;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ProviderCall) -> AnswerFuture {
        let (context, mut inner) = (Arc::clone(&self.context), self.inner.clone());
        Box::pin(async move {
            let queue_deadline = call.deadline.sooner(Instant::now(), context.timeout / QUEUE_DIVISOR);
            match queue_deadline.run(inner.ready()).await {
                Ok(ready) => ready?.call(call).await,
                Err(_) => {
                    Health::count(&context.service_health().shed);
                    Err(FailureReason::Shed.into())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering, time::Duration};

    use futures_util::future::join_all;
    use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer, service_fn};

    use super::*;
    use crate::middleware::tests as fixtures;
    use riskgate_runtime::mode::RuntimeMode;

    /// How many of ten concurrent calls are shed if each takes this long and two slots exist.
    async fn shed(duration: Duration) -> usize {
        let context = fixtures::context(RuntimeMode::Sidecar);
        let service = ServiceBuilder::new().layer(BulkheadLayer::new(Arc::clone(&context))).layer(ConcurrencyLimitLayer::new(2)).service(service_fn(
            move |_: ProviderCall| async move {
                tokio::time::sleep(duration).await;
                Ok::<_, Failure>(fixtures::entry(20.0))
            },
        ));
        let results = join_all((0..10).map(|_| service.clone().oneshot(fixtures::call()))).await;
        let shed = results.iter().filter(|result| result.as_ref().is_err_and(|failure| failure.cause == FailureReason::Shed)).count();
        assert_eq!(context.service_health().shed.load(Ordering::Relaxed), shed as u64);
        shed
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_for_a_slot_and_is_shed_after_a_quarter_of_the_timeout() {
        assert_eq!(shed(Duration::from_millis(50)).await, 0, "the last one waits for 200 ms");
        assert_eq!(shed(Duration::from_millis(200)).await, 6, "two run, two more start after 200 ms, the rest wait for 250 ms");
        assert_eq!(shed(Duration::from_secs(60)).await, 8);
    }
}
