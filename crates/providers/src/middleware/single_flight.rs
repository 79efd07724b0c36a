//! Coalescing: concurrent callers with the same key share one call.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::FutureExt as _;
use tower::{Layer, ServiceExt as _, retry::budget::Budget as _};

use crate::{
    middleware::{LookupFuture, LookupResult, LookupService, ProviderCall, StackContext, cache::Refresh, timed_out},
    retry_budget::RetryBudget,
    single_flight::{JoinedCall, SingleFlight},
};
use riskgate_engine::evidence::{FailureReason, Tier};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::health::CacheResult;

/// Adds coalescing.
pub struct SingleFlightLayer {
    retry_budget: Arc<RetryBudget>,
    context: Arc<StackContext>,
}

/// Joins the call that is in flight for a key, or starts one. Each caller waits until its own deadline.
#[derive(Clone)]
pub struct SingleFlightService<S> {
    calls: SingleFlight<Result<LookupResult, Failure>>,
    retry_budget: Arc<RetryBudget>,
    context: Arc<StackContext>,
    inner: S,
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

impl SingleFlightLayer {
    /// A layer that pays for follow-up calls from `retry_budget`.
    pub fn new(retry_budget: Arc<RetryBudget>, context: Arc<StackContext>) -> Self {
        SingleFlightLayer { retry_budget, context }
    }
}

impl<S> Layer<S> for SingleFlightLayer {
    type Service = SingleFlightService<S>;

    fn layer(&self, inner: S) -> SingleFlightService<S> {
        SingleFlightService { calls: SingleFlight::default(), retry_budget: Arc::clone(&self.retry_budget), context: Arc::clone(&self.context), inner }
    }
}

impl<S: LookupService> tower::Service<ProviderCall> for SingleFlightService<S> {
    type Response = LookupResult;
    type Error = Failure;
    type Future = LookupFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ProviderCall) -> LookupFuture {
        let this = self.clone();
        Box::pin(async move {
            match this.join(call.clone(), Join::First).await {
                (CallRole::Follower, Err(failure)) if failure.cause == FailureReason::Reset => this.join(call, Join::FollowUp).await.1,
                (_, result) => result,
            }
        })
    }
}

impl<S: LookupService> Refresh for SingleFlightService<S> {
    fn refresh(&self, call: ProviderCall) {
        let joined = self.calls.join::<Infallible>(call.key, || Ok(self.inner.clone().oneshot(call).boxed()));
        if let Ok(JoinedCall::Started(shared_call)) = joined {
            tokio::spawn(shared_call);
        }
    }
}

impl<S: LookupService> SingleFlightService<S> {
    async fn join(&self, call: ProviderCall, join: Join) -> (CallRole, Result<LookupResult, Failure>) {
        let deadline = call.deadline;
        let joined = self.calls.join(call.key, || {
            if join == Join::FollowUp && !self.retry_budget.withdraw() {
                return Err(Failure::from(FailureReason::Reset));
            }
            Ok(self.inner.clone().oneshot(call).boxed())
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

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use futures_util::future::join_all;
    use tower::service_fn;

    use super::*;
    use crate::middleware::tests as fixtures;
    use riskgate_runtime::{deadline::Deadline, mode::RuntimeMode};
    use tokio::time::Instant;

    /// A service whose first call fails with `Reset` and whose calls take 100 ms, and the number of its calls.
    fn service(fails_first: bool) -> (impl LookupService + Refresh, Arc<AtomicU32>, Arc<StackContext>) {
        let (calls, context) = (Arc::<AtomicU32>::default(), fixtures::context(RuntimeMode::Sidecar));
        let counted = Arc::clone(&calls);
        let provider = service_fn(move |_: ProviderCall| {
            let is_first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if is_first && fails_first { Err(Failure::from(FailureReason::Reset)) } else { Ok(LookupResult::answered(Some(fixtures::answer(20.0)))) }
            }
        });
        (SingleFlightLayer::new(Arc::default(), Arc::clone(&context)).layer(provider), calls, context)
    }

    fn counted(context: &StackContext, result: CacheResult) -> u64 {
        context.health.cache(Tier::Memory, result).load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_call() {
        let (service, calls, context) = service(false);
        let results = join_all((0..10).map(|_| service.clone().oneshot(fixtures::call()))).await;
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!((counted(&context, CacheResult::Miss), counted(&context, CacheResult::Coalesced)), (1, 9));
    }

    #[tokio::test(start_paused = true)]
    async fn followers_of_a_broken_connection_make_one_more_call_together() {
        let (service, calls, _) = service(true);
        let results = join_all((0..10).map(|_| service.clone().oneshot(fixtures::call()))).await;
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1, "only the leader fails");
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn each_caller_has_its_own_deadline() {
        let (service, calls, _) = service(false);
        let hurried = ProviderCall { deadline: Deadline::after(Instant::now(), Duration::from_millis(50)), ..fixtures::call() };
        let (hurried, patient) = tokio::join!(service.clone().oneshot(hurried), service.clone().oneshot(fixtures::call()));
        assert_eq!(hurried, Err(FailureReason::Timeout.into()));
        assert!(patient.is_ok());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_is_neither_counted_nor_repeated() {
        let (service, calls, context) = service(false);
        service.refresh(fixtures::call());
        service.refresh(fixtures::call());
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!(counted(&context, CacheResult::Miss), 0);
    }
}
