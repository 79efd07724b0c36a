//! The innermost service: calls the adapter.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    Provider,
    cache::CacheEntry,
    middleware::{ProviderCall, ResponseFuture},
};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::clock;

/// Queries an adapter.
#[derive(Clone)]
pub struct ProviderService {
    provider: Arc<dyn Provider>,
}

impl ProviderService {
    /// A service before `provider`.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        ProviderService { provider }
    }
}

impl tower::Service<ProviderCall> for ProviderService {
    type Response = CacheEntry;
    type Error = Failure;
    type Future = ResponseFuture<CacheEntry>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ProviderCall) -> ResponseFuture<CacheEntry> {
        let provider = Arc::clone(&self.provider);
        Box::pin(async move {
            // An answer is as old as its request: if the process was frozen in between, the answer is outdated.
            let requested = clock::read_since(call.request.received);
            Ok(CacheEntry::new(provider.query(&call.request).await?, requested))
        })
    }
}
