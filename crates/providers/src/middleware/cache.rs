//! The memory cache: answers a call before anything is boxed or cloned.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::{Either, Ready, ready};
use tower::{Layer, ServiceExt as _};

use crate::{
    cache::{Cache, Lookup},
    middleware::{LookupResult, LookupService, ProviderCall, ResponseFuture, StackContext},
};
use riskgate_engine::evidence::Tier;
use riskgate_http_client::failure::Failure;

/// Renews a cached answer in the background.
pub trait Refresh {
    /// Starts a call unless one with the same key is in flight. The caller does not wait for it.
    fn refresh(&self, call: ProviderCall);
}

/// Adds the memory cache.
pub struct CacheLayer {
    cache: Arc<Cache>,
    context: Arc<StackContext>,
}

/// Answers from memory. A fresh answer ends the call; a stale one replaces the answer of a failed call.
pub struct CacheService<S>(Arc<State<S>>);

struct State<S> {
    cache: Arc<Cache>,
    context: Arc<StackContext>,
    inner: S,
}

impl CacheLayer {
    /// A layer before `cache`.
    pub fn new(cache: Arc<Cache>, context: Arc<StackContext>) -> Self {
        CacheLayer { cache, context }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> CacheService<S> {
        CacheService(Arc::new(State { cache: Arc::clone(&self.cache), context: Arc::clone(&self.context), inner }))
    }
}

impl<S> Clone for CacheService<S> {
    fn clone(&self) -> Self {
        CacheService(Arc::clone(&self.0))
    }
}

impl<S: LookupService + Refresh> tower::Service<ProviderCall> for CacheService<S> {
    type Response = LookupResult;
    type Error = Failure;
    type Future = Either<Ready<Result<LookupResult, Failure>>, ResponseFuture<LookupResult>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ProviderCall) -> Self::Future {
        let State { cache, context, inner } = &*self.0;
        match cache.look_up(call.key, call.request.received.at(call.started.into_std())) {
            Lookup::Fresh(answer) => Either::Left(ready(Ok(context.fresh(answer, Tier::Memory)))),
            Lookup::Revalidate(answer) => {
                inner.refresh(call);
                Either::Left(ready(Ok(context.stale(answer, Tier::Memory))))
            }
            Lookup::Stale(answer, age) => {
                let (context, inner) = (Arc::clone(context), inner.clone());
                Either::Right(Box::pin(async move {
                    let started = call.started;
                    match inner.oneshot(call).await {
                        Err(failure) => context.stale_on_failure(answer, Tier::Memory, failure, age + started.elapsed()),
                        found => found,
                    }
                }))
            }
            Lookup::Missing => Either::Right(Box::pin(inner.clone().oneshot(call))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use futures_util::FutureExt as _;
    use tower::Service as _;

    use super::*;
    use crate::middleware::{catch_panic::CatchPanicLayer, tests as fixtures};
    use riskgate_engine::evidence::{FailureReason, Outcome};
    use riskgate_runtime::{health::CacheResult, mode::RuntimeMode};

    /// A provider that always fails, with counters of its calls and refreshes.
    #[derive(Clone, Default)]
    struct Failing {
        calls: Arc<AtomicU32>,
        refreshes: Arc<AtomicU32>,
    }

    impl tower::Service<ProviderCall> for Failing {
        type Response = LookupResult;
        type Error = Failure;
        type Future = Ready<Result<LookupResult, Failure>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: ProviderCall) -> Self::Future {
            self.calls.fetch_add(1, Ordering::Relaxed);
            ready(Err(FailureReason::Http5xx.into()))
        }
    }

    impl Refresh for Failing {
        fn refresh(&self, _: ProviderCall) {
            self.refreshes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Looks up an entry of this age. Returns the outcome, and the numbers of calls and refreshes.
    async fn look_up(runtime_mode: RuntimeMode, age: Option<u64>) -> (Result<Outcome, FailureReason>, u32, u32) {
        let (cache, context, provider) = (fixtures::cache(runtime_mode), fixtures::context(runtime_mode), Failing::default());
        if let Some(age) = age {
            cache.insert(fixtures::call().key, fixtures::entry_of_age(20.0, Duration::from_secs(age)));
        }
        let service = CacheLayer::new(cache, Arc::clone(&context)).layer(provider.clone());
        let result = service.oneshot(fixtures::call()).await;
        let hits = context.health.cache(Tier::Memory, CacheResult::Hit).load(Ordering::Relaxed);
        assert_eq!(hits, u64::from(matches!(&result, Ok(found) if found.outcome == Outcome::Hit)));
        let outcome = result.map(|found| found.outcome).map_err(|failure| failure.cause);
        (outcome, provider.calls.load(Ordering::Relaxed), provider.refreshes.load(Ordering::Relaxed))
    }

    #[test]
    fn a_fresh_answer_is_returned_without_an_allocation() {
        let (cache, context) = (fixtures::cache(RuntimeMode::Sidecar), fixtures::context(RuntimeMode::Sidecar));
        cache.insert(fixtures::call().key, fixtures::entry(20.0));
        let layers = (CatchPanicLayer::new(Arc::clone(&context.health)), CacheLayer::new(cache, context));
        let service = layers.0.layer(layers.1.layer(Failing::default()));
        let look_up = |call| service.clone().call(call).now_or_never().expect("the answer is ready").expect("the answer is cached").outcome;
        assert_eq!(look_up(fixtures::call()), Outcome::Hit);
        let call = fixtures::call();
        let allocations = allocation_counter::measure(|| assert_eq!(look_up(call), Outcome::Hit)).count_total;
        assert_eq!(allocations, 0);
    }

    #[tokio::test]
    async fn a_fresh_answer_ends_the_call() {
        for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
            assert_eq!(look_up(runtime_mode, Some(1)).await, (Ok(Outcome::Hit), 0, 0));
        }
    }

    #[tokio::test]
    async fn a_stale_answer_is_renewed_in_the_background_only_in_the_sidecar() {
        assert_eq!(look_up(RuntimeMode::Sidecar, Some(61)).await, (Ok(Outcome::Stale), 0, 1));
        assert_eq!(look_up(RuntimeMode::Lambda, Some(61)).await, (Ok(Outcome::Stale), 1, 0));
    }

    #[tokio::test]
    async fn an_older_answer_replaces_a_failed_call_until_it_is_too_old() {
        assert_eq!(look_up(RuntimeMode::Sidecar, Some(170)).await, (Ok(Outcome::Stale), 1, 0));
        assert_eq!(look_up(RuntimeMode::Sidecar, Some(180)).await, (Err(FailureReason::Http5xx), 1, 0));
        assert_eq!(look_up(RuntimeMode::Sidecar, None).await, (Err(FailureReason::Http5xx), 1, 0));
    }
}
