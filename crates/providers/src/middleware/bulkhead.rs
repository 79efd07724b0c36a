//! The bulkhead: bounds the wait for a free slot of tower's `ConcurrencyLimit`, which must be the next layer.
//!
//! tower's `LoadShed` does not fit: it refuses at once, without a queue.

use std::sync::Arc;

use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::{
    cache::CacheEntry,
    middleware::{AnswerService, Middleware, ProviderCall, StackContext},
};
use riskgate_engine::evidence::FailureReason;
use riskgate_http_client::failure::Failure;
use riskgate_runtime::health::Health;

/// Concurrent calls to one service. They bound the sockets and the memory that a hanging service can use.
pub const MAX_CONCURRENT_CALLS: usize = 128;

/// A call may wait for a slot for the service's timeout divided by this.
const QUEUE_DIVISOR: u32 = 4;

/// Sheds a call that does not get a slot in time.
pub struct Bulkhead {
    context: Arc<StackContext>,
}

impl Bulkhead {
    /// A bulkhead with the timeout of one service.
    pub fn new(context: Arc<StackContext>) -> Self {
        Bulkhead { context }
    }
}

impl<S: AnswerService> Middleware<ProviderCall, S> for Bulkhead {
    type Response = CacheEntry;

    async fn call(self: Arc<Self>, call: ProviderCall, mut inner: S) -> Result<CacheEntry, Failure> {
        let queue_deadline = call.deadline.sooner(Instant::now(), self.context.timeout / QUEUE_DIVISOR);
        match queue_deadline.run(inner.ready()).await {
            Ok(ready) => ready?.call(call).await,
            Err(_) => {
                Health::count(&self.context.service_health().shed);
                Err(FailureReason::Shed.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering, time::Duration};

    use futures_util::future::join_all;
    use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer, service_fn};

    use super::*;
    use crate::middleware::{layer, tests as fixtures};
    use riskgate_runtime::mode::RuntimeMode;

    /// How many of ten concurrent calls are shed if each takes this long and two slots exist.
    async fn shed(duration: Duration) -> usize {
        let context = fixtures::context(RuntimeMode::Sidecar);
        let service = ServiceBuilder::new().layer(layer(Bulkhead::new(Arc::clone(&context)))).layer(ConcurrencyLimitLayer::new(2)).service(service_fn(
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
