//! The second cache tier: answers that other processes stored, and a short wait for a process that makes the same call.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::{
    breaker::Breaker,
    cache::{Cache, Lookup},
    middleware::{AnswerService, LookupResult, Middleware, ProviderCall, StackContext},
    shared_cache::SharedCache,
};
use riskgate_engine::evidence::{Answer, Tier};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::{clock, deadline::Deadline, health::CacheResult};

#[cfg(test)]
mod tests;

/// For how long a process counts as calling the provider after it announced its call.
const CALL_CLAIM_TTL: Duration = Duration::from_secs(10);

/// The longest wait for the answer of another process.
const MAX_WAIT_FOR_OTHER_PROCESS: Duration = Duration::from_millis(600);

/// How often the store is checked during that wait.
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// Answers from the store, if there is one, and converts the provider's answers to results.
pub struct SecondTier {
    cache: Arc<Cache>,
    shared: Option<SharedCache>,
    breaker: Arc<Breaker>,
    context: Arc<StackContext>,
}

impl<S: AnswerService> Middleware<ProviderCall, S> for SecondTier {
    type Response = LookupResult;

    async fn call(self: Arc<Self>, mut call: ProviderCall, inner: S) -> Result<LookupResult, Failure> {
        let context = &self.context;
        // A caller can start a call just after the previous one has stored its answer.
        if let Lookup::Fresh(answer) = self.cache.look_up(call.key, clock::read_since(call.request.received)) {
            return Ok(context.fresh(answer, Tier::Memory));
        }
        // The provider's time includes the waits for the store.
        call.deadline = Deadline::after(Instant::now(), context.timeout);
        let stored = match self.look_up(&call).await {
            Lookup::Fresh(answer) => return Ok(context.fresh(answer, Tier::Store)),
            Lookup::Revalidate(answer) => Some((answer, Duration::ZERO)),
            Lookup::Stale(answer, age) => Some((answer, age)),
            Lookup::Missing => {
                context.count(Tier::Store, CacheResult::Miss);
                if let Some(answer) = self.wait_for_other_process(&call).await {
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
    }
}

impl SecondTier {
    /// The memory of this process and the shared store. While `breaker` is open, no call waits for other processes.
    pub fn new(cache: Arc<Cache>, shared: Option<SharedCache>, breaker: Arc<Breaker>, context: Arc<StackContext>) -> Self {
        SecondTier { cache, shared, breaker, context }
    }

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
    async fn wait_for_other_process(&self, call: &ProviderCall) -> Option<Option<Arc<Answer>>> {
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
