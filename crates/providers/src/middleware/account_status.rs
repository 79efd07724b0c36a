//! Faults of the operator's account, such as a refused key: shown in `/readyz` and logged until a call succeeds.

use std::sync::Arc;

use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::{
    cache::CacheEntry,
    log_limit::LogLimit,
    middleware::{AnswerService, Middleware, ProviderCall, StackContext},
};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::health::AccountFault;

#[cfg(test)]
mod tests;

/// Reports the faults that only the operator can fix.
pub struct AccountStatus {
    context: Arc<StackContext>,
    log_limit: LogLimit,
}

impl<S: AnswerService> Middleware<ProviderCall, S> for AccountStatus {
    type Response = CacheEntry;

    async fn call(self: Arc<Self>, call: ProviderCall, inner: S) -> Result<CacheEntry, Failure> {
        let result = inner.oneshot(call).await;
        self.report(result.as_ref().err(), Instant::now());
        result
    }
}

impl AccountStatus {
    /// Reports the faults of one service.
    pub fn new(context: Arc<StackContext>) -> Self {
        AccountStatus { context, log_limit: LogLimit::default() }
    }

    /// Sets a fault, or clears it after an answer. Other failures do not change it.
    fn report(&self, failure: Option<&Failure>, now: Instant) {
        let fault = failure.and_then(|failure| AccountFault::of(failure.cause));
        if fault.is_some() || failure.is_none() {
            self.context.service_health().set_fault(fault);
        }
        if let Some(fault) = fault.filter(|_| self.log_limit.is_due(now)) {
            tracing::error!(service = self.context.service.as_label(), cause = fault.as_label(), "{}", fault.help());
        }
    }
}
