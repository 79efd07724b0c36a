//! The daily quota: each attempt that reaches the provider is paid for and counted here.

use std::sync::Arc;

use tower::ServiceExt as _;

use crate::{
    cache::CacheEntry,
    middleware::{AnswerService, Attempt, Middleware, ProviderCall, StackContext},
    quota::Quota,
};
use riskgate_engine::evidence::FailureReason;
use riskgate_http_client::failure::Failure;
use riskgate_runtime::health::Health;

/// Refuses calls beyond the quota.
pub struct DailyQuota {
    quota: Quota,
    context: Arc<StackContext>,
}

impl DailyQuota {
    /// The limit that `quota` counts.
    pub fn new(quota: Quota, context: Arc<StackContext>) -> Self {
        DailyQuota { quota, context }
    }
}

impl<S: AnswerService> Middleware<ProviderCall, S> for DailyQuota {
    type Response = CacheEntry;

    async fn call(self: Arc<Self>, call: ProviderCall, inner: S) -> Result<CacheEntry, Failure> {
        let (quota, health) = (&self.quota, self.context.service_health());
        match call.attempt {
            Attempt::First if !quota.allows_address(&call.request).await || !quota.spend(&call.request).await => {
                Health::count(&health.over_quota);
                return Err(FailureReason::OverQuota.into());
            }
            // The first attempt was made, so this is not a call that the quota prevented.
            Attempt::Second if !quota.spend(&call.request).await => return Err(FailureReason::OverQuota.into()),
            Attempt::First => {}
            Attempt::Second => Health::count(&health.retries),
        }
        Health::count(&health.calls);
        inner.oneshot(call).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tower::{Layer as _, service_fn};

    use super::*;
    use crate::middleware::{layer, tests as fixtures};
    use riskgate_engine::service::Service;
    use riskgate_runtime::mode::RuntimeMode;

    #[tokio::test]
    async fn calls_beyond_the_quota_are_refused_and_counted() {
        let context = fixtures::context(RuntimeMode::Lambda);
        let quota = Quota::new(Service::Http, Some(3), [0; 16], None);
        let service = layer(DailyQuota::new(quota, Arc::clone(&context)))
            .layer(service_fn(|_: ProviderCall| std::future::ready(Ok::<_, Failure>(fixtures::entry(20.0)))));
        for (attempt, is_allowed) in
            [(Attempt::First, true), (Attempt::Second, true), (Attempt::First, true), (Attempt::First, false), (Attempt::Second, false)]
        {
            let result = service.clone().oneshot(ProviderCall { attempt, ..fixtures::call() }).await;
            assert_eq!(result.is_ok(), is_allowed);
        }
        let health = context.service_health();
        assert_eq!([&health.calls, &health.retries, &health.over_quota].map(|counter| counter.load(Ordering::Relaxed)), [3, 1, 1]);
    }
}
