//! The deadline of a call. tower's `Timeout` does not fit: the time starts before the wait for the store and for a slot.

use std::sync::Arc;

use tower::ServiceExt as _;

use crate::{
    cache::CacheEntry,
    middleware::{AnswerService, Middleware, ProviderCall, timed_out},
};
use riskgate_http_client::failure::Failure;

/// Drops a call at its deadline.
pub struct Timeout;

impl<S: AnswerService> Middleware<ProviderCall, S> for Timeout {
    type Response = CacheEntry;

    async fn call(self: Arc<Self>, call: ProviderCall, inner: S) -> Result<CacheEntry, Failure> {
        call.deadline.run(inner.oneshot(call)).await.unwrap_or(Err(timed_out()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;
    use tower::{Layer as _, service_fn};

    use super::*;
    use crate::middleware::{layer, tests as fixtures};

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline() {
        let service = layer(Timeout).layer(service_fn(|_: ProviderCall| async {
            tokio::time::sleep(fixtures::TIMEOUT + Duration::from_millis(1)).await;
            Ok::<_, Failure>(fixtures::entry(20.0))
        }));
        let started = Instant::now();
        assert_eq!(service.oneshot(fixtures::call()).await.map(drop), Err(timed_out()));
        assert_eq!(started.elapsed(), fixtures::TIMEOUT);
    }
}
