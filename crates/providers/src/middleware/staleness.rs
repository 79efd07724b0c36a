//! Answers of an adapter that has the data itself: they are stale while the data cannot be refreshed.

use std::sync::Arc;

use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::{
    Provider,
    middleware::{AnswerService, LookupResult, Middleware, ProviderCall},
};
use riskgate_engine::evidence::Outcome;
use riskgate_http_client::failure::Failure;

/// Marks answers as stale while the provider's data is outdated. "No decision" is outdated like a decision.
pub struct Staleness {
    provider: Arc<dyn Provider>,
}

impl Staleness {
    /// The state of the data of `provider`.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Staleness { provider }
    }
}

impl<S: AnswerService> Middleware<ProviderCall, S> for Staleness {
    type Response = LookupResult;

    async fn call(self: Arc<Self>, call: ProviderCall, inner: S) -> Result<LookupResult, Failure> {
        let outdated = self.provider.outdated(Instant::now());
        let answer = inner.oneshot(call).await?.into_answer();
        Ok(match outdated {
            Some(_) => LookupResult { outdated, ..LookupResult::new(Outcome::Stale, answer) },
            None => LookupResult::answered(answer),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower::Layer as _;

    use super::*;
    use crate::{
        ProviderFuture, ProviderRequest,
        middleware::{layer, provider::ProviderService, tests as fixtures},
    };
    use riskgate_engine::evidence::{FailureReason, Outdated};

    /// A provider without decisions, whose data has this state.
    struct InMemory(Option<Outdated>);

    impl Provider for InMemory {
        fn query<'a>(&'a self, _: &'a ProviderRequest) -> ProviderFuture<'a> {
            Box::pin(std::future::ready(Ok(None)))
        }

        fn outdated(&self, _: Instant) -> Option<Outdated> {
            self.0
        }
    }

    #[tokio::test]
    async fn answers_from_outdated_data_are_stale() {
        let outdated = Outdated { cause: FailureReason::Timeout, age: Duration::from_secs(100) };
        for (state, expected) in [(None, Outcome::Negative), (Some(outdated), Outcome::Stale)] {
            let provider: Arc<dyn Provider> = Arc::new(InMemory(state));
            let service = layer(Staleness::new(Arc::clone(&provider))).layer(ProviderService::new(provider));
            let result = service.oneshot(fixtures::call()).await.expect("an answer");
            assert_eq!((result.outcome, result.outdated), (expected, state));
        }
    }
}
