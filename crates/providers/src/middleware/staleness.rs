//! Answers of an adapter that has the data itself: they are stale while the data cannot be refreshed.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;
use tower::{Layer, ServiceExt as _};

use crate::{
    Provider,
    middleware::{AnswerService, LookupFuture, LookupResult, ProviderCall},
};
use riskgate_engine::evidence::Outcome;
use riskgate_http_client::failure::Failure;

/// Adds the age of the provider's data.
pub struct StalenessLayer {
    provider: Arc<dyn Provider>,
}

/// Marks answers as stale while the provider's data is outdated. "No decision" is outdated like a decision.
#[derive(Clone)]
pub struct StalenessService<S> {
    provider: Arc<dyn Provider>,
    inner: S,
}

impl StalenessLayer {
    /// A layer before `provider`.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        StalenessLayer { provider }
    }
}

impl<S> Layer<S> for StalenessLayer {
    type Service = StalenessService<S>;

    fn layer(&self, inner: S) -> StalenessService<S> {
        StalenessService { provider: Arc::clone(&self.provider), inner }
    }
}

impl<S: AnswerService> tower::Service<ProviderCall> for StalenessService<S> {
    type Response = LookupResult;
    type Error = Failure;
    type Future = LookupFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ProviderCall) -> LookupFuture {
        let (provider, inner) = (Arc::clone(&self.provider), self.inner.clone());
        Box::pin(async move {
            let outdated = provider.outdated(Instant::now());
            let answer = inner.oneshot(call).await?.into_answer();
            Ok(match outdated {
                Some(_) => LookupResult { outdated, ..LookupResult::new(Outcome::Stale, answer) },
                None => LookupResult::answered(answer),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        ProviderFuture, ProviderRequest,
        middleware::{provider::ProviderService, tests as fixtures},
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
            let service = StalenessLayer::new(Arc::clone(&provider)).layer(ProviderService::new(provider));
            let result = service.oneshot(fixtures::call()).await.expect("an answer");
            assert_eq!((result.outcome, result.outdated), (expected, state));
        }
    }
}
