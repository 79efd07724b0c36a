//! Stores the provider's answers in both cache tiers. Failures are never stored (invariant 8).

use std::sync::Arc;

use tower::ServiceExt as _;

use crate::{
    cache::{Cache, CacheEntry},
    middleware::{AnswerService, Middleware, StackContext, breaker::Admitted},
    shared_cache::SharedCache,
};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::{deadline::Deadline, mode::RuntimeMode};

/// Stores each answer in memory and in the shared store.
pub struct CacheWrite {
    cache: Arc<Cache>,
    shared: Option<SharedCache>,
    context: Arc<StackContext>,
}

impl<S: AnswerService<Admitted>> Middleware<Admitted, S> for CacheWrite {
    type Response = CacheEntry;

    async fn call(self: Arc<Self>, admitted: Admitted, inner: S) -> Result<CacheEntry, Failure> {
        let (key, deadline) = (admitted.call.key, admitted.call.deadline);
        let entry = inner.oneshot(admitted).await?;
        self.write(key, entry.clone(), deadline).await;
        Ok(entry)
    }
}

impl CacheWrite {
    /// Writes to the memory of this process and to the shared store.
    pub fn new(cache: Arc<Cache>, shared: Option<SharedCache>, context: Arc<StackContext>) -> Self {
        CacheWrite { cache, shared, context }
    }

    /// Writes an answer to both tiers. The sidecar does not wait for the store; Lambda waits until the provider's deadline.
    async fn write(&self, key: u128, entry: CacheEntry, deadline: Deadline) {
        self.cache.insert(key, entry.clone());
        let Some(shared) = self.shared.clone() else { return };
        let lifetime = self.cache.lifetime(entry.answer());
        let write = async move { shared.put(key, &entry, lifetime).await };
        match self.context.runtime_mode {
            RuntimeMode::Sidecar => drop(tokio::spawn(write)),
            RuntimeMode::Lambda | RuntimeMode::Command => drop(deadline.run(write).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use tower::{Layer as _, service_fn};

    use super::*;
    use crate::{
        breaker::{Breaker, BreakerAdmission, Permit},
        cache::Lookup,
        middleware::{layer, tests as fixtures},
    };
    use riskgate_engine::evidence::FailureReason;
    use riskgate_runtime::clock;
    use tokio::time::Instant;

    fn permit(context: &StackContext) -> Permit {
        let breaker = Arc::new(Breaker::new(context.service, context.runtime_mode, context.timeout, Arc::clone(&context.health)));
        match breaker.admit(Instant::now()) {
            BreakerAdmission::Pass(permit) | BreakerAdmission::Probe(permit) => permit,
            BreakerAdmission::Refused(cause) => panic!("a new breaker refuses a call: {cause:?}"),
        }
    }

    /// Makes a call with this result. Returns whether the answer is in memory and in the store.
    async fn stored(runtime_mode: RuntimeMode, result: Result<CacheEntry, Failure>) -> (bool, bool) {
        let (cache, shared, context, call) = (fixtures::cache(runtime_mode), fixtures::shared_cache(), fixtures::context(runtime_mode), fixtures::call());
        let permit = permit(&context);
        let layer = layer(CacheWrite::new(Arc::clone(&cache), Some(shared.clone()), context));
        let _ = layer.layer(service_fn(move |_: Admitted| std::future::ready(result.clone()))).oneshot(Admitted { call: call.clone(), permit }).await;
        // The sidecar writes to the store in the background.
        tokio::task::yield_now().await;
        (matches!(cache.look_up(call.key, clock::read()), Lookup::Fresh(_)), shared.get(call.key, clock::read()).await.is_some())
    }

    #[tokio::test]
    async fn answers_are_stored_in_both_tiers_and_failures_in_none() {
        for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
            assert_eq!(stored(runtime_mode, Ok(fixtures::entry(20.0))).await, (true, true), "{runtime_mode:?}");
            assert_eq!(stored(runtime_mode, Ok(CacheEntry::new(None, clock::read()))).await, (true, true), "{runtime_mode:?}");
            assert_eq!(stored(runtime_mode, Err(FailureReason::Http5xx.into())).await, (false, false), "{runtime_mode:?}");
        }
    }
}
