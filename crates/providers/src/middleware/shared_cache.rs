//! The second cache tier: answers that other processes stored, and a short wait for a process that makes the same call.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tower::{Layer, ServiceExt as _};

use crate::{
    breaker::Breaker,
    cache::{Cache, Lookup},
    middleware::{AnswerService, LookupFuture, LookupResult, ProviderCall, StackContext},
    shared_cache::SharedCache,
};
use riskgate_engine::evidence::{Answer, Tier};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::{clock, deadline::Deadline, health::CacheResult};

/// For how long a process counts as calling the provider after it announced its call.
const CALL_CLAIM_TTL: Duration = Duration::from_secs(10);

/// The longest wait for the answer of another process.
const MAX_WAIT_FOR_OTHER_PROCESS: Duration = Duration::from_millis(600);

/// How often the store is checked during that wait.
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// Adds the second cache tier.
pub struct SharedCacheLayer {
    state: Arc<State>,
}

/// Answers from the store, if there is one, and converts the provider's answers to results.
#[derive(Clone)]
pub struct SharedCacheService<S> {
    state: Arc<State>,
    inner: S,
}

struct State {
    cache: Arc<Cache>,
    shared: Option<SharedCache>,
    breaker: Arc<Breaker>,
    context: Arc<StackContext>,
}

impl SharedCacheLayer {
    /// A layer before the memory of this process and the shared store. While `breaker` is open, it does not wait for other processes.
    pub fn new(cache: Arc<Cache>, shared: Option<SharedCache>, breaker: Arc<Breaker>, context: Arc<StackContext>) -> Self {
        SharedCacheLayer { state: Arc::new(State { cache, shared, breaker, context }) }
    }
}

impl<S> Layer<S> for SharedCacheLayer {
    type Service = SharedCacheService<S>;

    fn layer(&self, inner: S) -> SharedCacheService<S> {
        SharedCacheService { state: Arc::clone(&self.state), inner }
    }
}

impl<S: AnswerService> tower::Service<ProviderCall> for SharedCacheService<S> {
    type Response = LookupResult;
    type Error = Failure;
    type Future = LookupFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: ProviderCall) -> LookupFuture {
        let (state, inner) = (Arc::clone(&self.state), self.inner.clone());
        Box::pin(async move {
            let context = &state.context;
            // A caller can start a call just after the previous one has stored its answer.
            if let Lookup::Fresh(answer) = state.cache.look_up(call.key, clock::read_since(call.request.received)) {
                return Ok(context.fresh(answer, Tier::Memory));
            }
            // The provider's time includes the waits for the store.
            call.deadline = Deadline::after(Instant::now(), context.timeout);
            let stored = match state.look_up(&call).await {
                Lookup::Fresh(answer) => return Ok(context.fresh(answer, Tier::Store)),
                Lookup::Revalidate(answer) => Some((answer, Duration::ZERO)),
                Lookup::Stale(answer, age) => Some((answer, age)),
                Lookup::Missing => {
                    context.count(Tier::Store, CacheResult::Miss);
                    if let Some(answer) = state.wait_for_other_process(&call).await {
                        return Ok(context.fresh(answer, Tier::Store));
                    }
                    None
                }
            };
            let called = Instant::now();
            match (inner.oneshot(call).await, stored) {
                (Ok(entry), _) => Ok(LookupResult::answered(entry.into_answer())),
                (Err(failure), Some((answer, age))) => context.stale_on_failure(answer, Tier::Store, failure, age + called.elapsed()),
                (Err(failure), None) => Err(failure),
            }
        })
    }
}

impl State {
    /// Looks up what another process stored, and copies a fresh answer to memory.
    async fn look_up(&self, call: &ProviderCall) -> Lookup {
        let Some(shared) = &self.shared else { return Lookup::Missing };
        let now = clock::read_since(call.request.received);
        let Some(entry) = shared.get(call.key, now).await else { return Lookup::Missing };
        let lookup = self.cache.evaluate(entry.clone(), call.key, now);
        if matches!(lookup, Lookup::Fresh(_)) {
            self.cache.insert(call.key, entry);
        }
        lookup
    }

    /// Waits briefly if another process makes the same call.
    async fn wait_for_other_process(&self, call: &ProviderCall) -> Option<Option<Answer>> {
        let shared = self.shared.as_ref().filter(|_| !self.breaker.is_open())?;
        if shared.claim_call(call.key, CALL_CLAIM_TTL, clock::read_since(call.request.received)).await? {
            return None;
        }
        let deadline = Deadline::after(Instant::now(), (self.context.timeout / 2).min(MAX_WAIT_FOR_OTHER_PROCESS));
        while !deadline.left(Instant::now()).is_zero() {
            tokio::time::sleep(POLL_INTERVAL).await;
            if let Lookup::Fresh(answer) = self.look_up(call).await {
                return Some(answer);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tower::service_fn;

    use super::*;
    use crate::{cache::CacheEntry, middleware::tests as fixtures};
    use riskgate_engine::evidence::{FailureReason, Outcome};
    use riskgate_runtime::mode::RuntimeMode;

    /// Looks up an answer before a provider that fails. Returns the outcome and the number of calls to the provider.
    async fn look_up(shared: &SharedCache) -> (Result<(Outcome, Option<Tier>), FailureReason>, u32) {
        let (calls, context) = (Arc::<AtomicU32>::default(), fixtures::context(RuntimeMode::Sidecar));
        let counted = Arc::clone(&calls);
        let breaker = Arc::new(Breaker::new(context.service, context.runtime_mode, context.timeout, Arc::clone(&context.health)));
        let layer = SharedCacheLayer::new(fixtures::cache(RuntimeMode::Sidecar), Some(shared.clone()), breaker, context);
        let service = layer.layer(service_fn(move |_: ProviderCall| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Err::<CacheEntry, Failure>(FailureReason::Http5xx.into()))
        }));
        let result = service.oneshot(fixtures::call()).await;
        (result.map(|found| (found.outcome, found.tier)).map_err(|failure| failure.cause), calls.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_fresh_answer_of_another_process_ends_the_call() {
        let shared = fixtures::shared_cache();
        shared.put(fixtures::call().key, &fixtures::entry(20.0), Duration::from_secs(180)).await;
        assert_eq!(look_up(&shared).await, (Ok((Outcome::Hit, Some(Tier::Store))), 0));
    }

    #[tokio::test]
    async fn a_stale_answer_of_another_process_replaces_a_failed_call() {
        let shared = fixtures::shared_cache();
        shared.put(fixtures::call().key, &fixtures::entry_of_age(20.0, Duration::from_secs(100)), Duration::from_secs(180)).await;
        assert_eq!(look_up(&shared).await, (Ok((Outcome::Stale, Some(Tier::Store))), 1));
    }

    #[tokio::test]
    async fn a_call_of_another_process_is_awaited() {
        let shared = fixtures::shared_cache();
        let call = fixtures::call();
        assert_eq!(shared.claim_call(call.key, CALL_CLAIM_TTL, clock::read()).await, Some(true));
        let other = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            shared.put(call.key, &fixtures::entry(20.0), Duration::from_secs(180)).await;
        };
        let (result, ()) = tokio::join!(look_up(&shared), other);
        assert_eq!(result, (Ok((Outcome::Hit, Some(Tier::Store))), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_another_process_is_bounded() {
        let shared = fixtures::shared_cache();
        assert_eq!(shared.claim_call(fixtures::call().key, CALL_CLAIM_TTL, clock::read()).await, Some(true));
        let started = Instant::now();
        assert_eq!(look_up(&shared).await, (Err(FailureReason::Http5xx), 1));
        assert!(started.elapsed() <= fixtures::TIMEOUT / 2 + POLL_INTERVAL);
    }
}
