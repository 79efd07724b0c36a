//! The retry policy for tower's `Retry`: one more attempt, and only if the first did not reach the service.
//!
//! Cognito may repeat a call that timed out, so riskgate makes at most two attempts and never hedges a paid call.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use tower::retry::{Policy, budget::Budget as _};

use crate::{
    cache::CacheEntry,
    middleware::{Attempt, ProviderCall},
    retry_budget::RetryBudget,
};
use riskgate_engine::evidence::FailureReason;
use riskgate_http_client::failure::{Failure, RequestPhase};

/// Allows a retry after a dead connection, while the budget lasts. tower clones it for each call.
#[derive(Debug, Clone)]
pub struct ReconnectPolicy {
    budget: Arc<RetryBudget>,
    /// The failure of the first attempt, once a retry has been made.
    first_failure: Option<Failure>,
}

impl ReconnectPolicy {
    /// A policy that pays for retries from `budget`.
    pub fn new(budget: Arc<RetryBudget>) -> Self {
        ReconnectPolicy { budget, first_failure: None }
    }
}

impl Policy<ProviderCall, CacheEntry, Failure> for ReconnectPolicy {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut ProviderCall, result: &mut Result<CacheEntry, Failure>) -> Option<Ready<()>> {
        match (&*result, self.first_failure) {
            (Ok(_), _) => self.budget.deposit(),
            (Err(failure), None) if failure.phase == RequestPhase::NotSent && self.budget.withdraw() => {
                self.first_failure = Some(*failure);
                return Some(ready(()));
            }
            // The quota did not allow the retry, so only the first attempt was made.
            (Err(Failure { cause: FailureReason::OverQuota, .. }), Some(first)) => *result = Err(first),
            (Err(_), _) => {}
        }
        None
    }

    fn clone_request(&mut self, call: &ProviderCall) -> Option<ProviderCall> {
        Some(ProviderCall { attempt: Attempt::Second, ..call.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tower::{Layer as _, ServiceExt as _, retry::RetryLayer, service_fn};

    use super::*;
    use crate::middleware::tests as fixtures;

    /// Runs a call whose attempts fail like this, then succeed. Returns the result and the attempts.
    async fn run(budget: &Arc<RetryBudget>, failures: &[Failure]) -> (Result<(), FailureReason>, Vec<Attempt>) {
        let attempts = Arc::<Mutex<Vec<Attempt>>>::default();
        let (made, failures) = (Arc::clone(&attempts), failures.to_vec());
        let service = RetryLayer::new(ReconnectPolicy::new(Arc::clone(budget))).layer(service_fn(move |call: ProviderCall| {
            let mut made = made.lock().unwrap();
            made.push(call.attempt);
            std::future::ready(failures.get(made.len() - 1).map_or_else(|| Ok(fixtures::entry(20.0)), |failure| Err(*failure)))
        }));
        let result = service.oneshot(fixtures::call()).await.map(drop).map_err(|failure| failure.cause);
        let attempts = attempts.lock().unwrap().clone();
        (result, attempts)
    }

    fn not_sent(cause: FailureReason) -> Failure {
        Failure { phase: RequestPhase::NotSent, ..cause.into() }
    }

    #[tokio::test]
    async fn a_request_that_was_not_sent_is_tried_twice_and_never_more() {
        let budget = Arc::default();
        assert_eq!(run(&budget, &[not_sent(FailureReason::Reset)]).await, (Ok(()), vec![Attempt::First, Attempt::Second]));
        let twice = [not_sent(FailureReason::Reset), not_sent(FailureReason::Connect), not_sent(FailureReason::Reset)];
        assert_eq!(run(&budget, &twice).await, (Err(FailureReason::Connect), vec![Attempt::First, Attempt::Second]));
    }

    #[tokio::test]
    async fn a_request_that_may_have_been_sent_is_not_repeated() {
        assert_eq!(run(&Arc::default(), &[FailureReason::Reset.into()]).await, (Err(FailureReason::Reset), vec![Attempt::First]));
    }

    #[tokio::test]
    async fn a_retry_beyond_the_quota_reports_the_first_failure() {
        let failures = [not_sent(FailureReason::Reset), FailureReason::OverQuota.into()];
        assert_eq!(run(&Arc::default(), &failures).await.0, Err(FailureReason::Reset));
    }

    #[tokio::test]
    async fn an_empty_budget_allows_no_retry() {
        let budget = Arc::<RetryBudget>::default();
        while budget.withdraw() {}
        assert_eq!(run(&budget, &[not_sent(FailureReason::Reset)]).await, (Err(FailureReason::Reset), vec![Attempt::First]));
    }
}
