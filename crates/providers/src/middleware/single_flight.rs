//! Coalescing: concurrent callers with the same key share one call.

use std::{convert::Infallible, sync::Arc};

use futures_util::FutureExt as _;
use tower::{ServiceExt as _, retry::budget::Budget as _};

use crate::{
    middleware::{LookupResult, LookupService, Middleware, MiddlewareService, ProviderCall, StackContext, cache::Refresh, timed_out},
    retry_budget::RetryBudget,
    single_flight::{JoinedCall, SingleFlight},
};
use riskgate_engine::evidence::{FailureReason, Tier};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::health::CacheResult;

#[cfg(test)]
mod tests;

/// Joins the call that is in flight for a key, or starts one. Each caller waits until its own deadline.
pub struct Coalescing {
    calls: SingleFlight<Result<LookupResult, Failure>>,
    retry_budget: Arc<RetryBudget>,
    context: Arc<StackContext>,
}

/// Whether a caller started the call that it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallRole {
    Leader,
    Follower,
}

/// Which call a caller joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    First,
    /// The one call that the followers make together after the connection of the first broke.
    FollowUp,
}

impl<S: LookupService> Middleware<ProviderCall, S> for Coalescing {
    type Response = LookupResult;

    async fn call(self: Arc<Self>, call: ProviderCall, inner: S) -> Result<LookupResult, Failure> {
        match self.join(call.clone(), &inner, Join::First).await {
            (CallRole::Follower, Err(failure)) if failure.cause == FailureReason::Reset => self.join(call, &inner, Join::FollowUp).await.1,
            (_, result) => result,
        }
    }
}

impl<S: LookupService> Refresh for MiddlewareService<Coalescing, S> {
    fn refresh(&self, call: ProviderCall) {
        let joined = self.middleware.calls.join::<Infallible>(call.key, || Ok(self.inner.clone().oneshot(call).boxed()));
        if let Ok(JoinedCall::Started(shared_call)) = joined {
            tokio::spawn(shared_call);
        }
    }
}

impl Coalescing {
    /// Pays for follow-up calls from `retry_budget`.
    pub fn new(retry_budget: Arc<RetryBudget>, context: Arc<StackContext>) -> Self {
        Coalescing { calls: SingleFlight::default(), retry_budget, context }
    }

    async fn join(&self, call: ProviderCall, inner: &impl LookupService, join: Join) -> (CallRole, Result<LookupResult, Failure>) {
        let deadline = call.deadline;
        let joined = self.calls.join(call.key, || {
            if join == Join::FollowUp && !self.retry_budget.withdraw() {
                return Err(Failure::from(FailureReason::Reset));
            }
            Ok(inner.clone().oneshot(call).boxed())
        });
        let (role, result, shared_call) = match joined {
            Ok(JoinedCall::Found(shared_call)) => (CallRole::Follower, CacheResult::Coalesced, shared_call),
            Ok(JoinedCall::Started(shared_call)) => (CallRole::Leader, CacheResult::Miss, shared_call),
            Err(failure) => return (CallRole::Leader, Err(failure)),
        };
        self.context.count(Tier::Memory, result);
        (role, deadline.run(shared_call).await.unwrap_or(Err(timed_out())))
    }
}
