//! The daily quota: each attempt that reaches the provider is paid for and counted here.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower::{Layer, ServiceExt as _};

use crate::{
    cache::CacheEntry,
    middleware::{AnswerFuture, AnswerService, Attempt, ProviderCall, StackContext},
    quota::Quota,
};
use riskgate_engine::evidence::FailureReason;
use riskgate_http_client::failure::Failure;
use riskgate_runtime::health::Health;

/// Adds the quota.
pub struct QuotaLayer {
    quota: Arc<Quota>,
    context: Arc<StackContext>,
}

/// Refuses calls beyond the quota.
#[derive(Clone)]
pub struct QuotaService<S> {
    quota: Arc<Quota>,
    context: Arc<StackContext>,
    inner: S,
}

impl QuotaLayer {
    /// A layer before `quota`.
    pub fn new(quota: Arc<Quota>, context: Arc<StackContext>) -> Self {
        QuotaLayer { quota, context }
    }
}

impl<S> Layer<S> for QuotaLayer {
    type Service = QuotaService<S>;

    fn layer(&self, inner: S) -> QuotaService<S> {
        QuotaService { quota: Arc::clone(&self.quota), context: Arc::clone(&self.context), inner }
    }
}

impl<S: AnswerService> tower::Service<ProviderCall> for QuotaService<S> {
    type Response = CacheEntry;
    type Error = Failure;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ProviderCall) -> AnswerFuture {
        let QuotaService { quota, context, inner } = self.clone();
        Box::pin(async move {
            let health = context.service_health();
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
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tower::service_fn;

    use super::*;
    use crate::middleware::tests as fixtures;
    use riskgate_engine::service::Service;
    use riskgate_runtime::mode::RuntimeMode;

    #[tokio::test]
    async fn calls_beyond_the_quota_are_refused_and_counted() {
        let context = fixtures::context(RuntimeMode::Lambda);
        let quota = Arc::new(Quota::new(Service::Http, Some(3), [0; 16], None));
        let service =
            QuotaLayer::new(quota, Arc::clone(&context)).layer(service_fn(|_: ProviderCall| std::future::ready(Ok::<_, Failure>(fixtures::entry(20.0)))));
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
