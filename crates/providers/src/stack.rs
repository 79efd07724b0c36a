//! The middleware stack of one provider. It protects sign-ins from the service, and the service from sign-ins.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tower::{Service as _, ServiceBuilder, limit::ConcurrencyLimitLayer, retry::RetryLayer, util::BoxCloneSyncService};

use crate::{
    Adapter, CachePolicy, Provider, ProviderRequest, RequestFields,
    block_list_status::BlockListStatus,
    breaker::Breaker,
    cache::Cache,
    middleware::{
        Attempt, LookupResult, MiddlewareService, ProviderCall, StackContext,
        account_status::AccountStatus,
        breaker::{Admission, Report},
        bulkhead::{Bulkhead, MAX_CONCURRENT_CALLS},
        cache::{CacheLayer, CacheService},
        cache_write::CacheWrite,
        catch_panic::{CatchPanicLayer, CatchPanicService},
        layer,
        provider::ProviderService,
        quota::DailyQuota,
        retry::ReconnectPolicy,
        shared_cache::SecondTier,
        single_flight::Coalescing,
        staleness::Staleness,
        timeout::Timeout,
    },
    quota::Quota,
    retry_budget::RetryBudget,
    shared_cache::SharedCache,
};
use riskgate_config::services::{CacheConfig, ServiceConfig};
use riskgate_engine::{
    evidence::{Outcome, ProviderResult},
    service::Service,
    sign_in::SignIn,
};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::{deadline::Deadline, health::Health, mode::RuntimeMode};

#[cfg(test)]
mod tests;

/// One provider behind its middleware.
pub struct ProviderStack {
    service: Service,
    weight: f64,
    request_fields: RequestFields,
    cache_key_secret: [u8; 16],
    layers: Layers,
    /// `Some` if the service's answers are decisions of a block list.
    block_list: Option<BlockListStatus>,
}

/// The dependencies that the stacks of all services share.
#[derive(Clone)]
pub struct ProviderStackDeps {
    /// How answers are cached.
    pub cache: CacheConfig,
    /// The secret that cache keys are hashed with.
    pub secret: [u8; 16],
    /// In which mode the process runs.
    pub runtime_mode: RuntimeMode,
    /// The counters.
    pub health: Arc<Health>,
    /// The shared store, if there is one.
    pub shared: Option<SharedCache>,
}

/// The layers before a provider.
enum Layers {
    /// For a provider that calls the service.
    Remote(RemoteStack),
    /// For a provider that has the answers in memory, with the timeout of a call.
    Local(LocalStack, Duration),
}

type RemoteStack = CatchPanicService<CacheService<MiddlewareService<Coalescing, BoxCloneSyncService<ProviderCall, LookupResult, Failure>>>>;

type LocalStack = CatchPanicService<MiddlewareService<Staleness, MiddlewareService<AccountStatus, MiddlewareService<Timeout, ProviderService>>>>;

impl ProviderStack {
    /// Builds the stack before an adapter.
    pub fn new(config: &ServiceConfig, adapter: Adapter, deps: ProviderStackDeps) -> Self {
        let context = Arc::new(StackContext {
            service: config.service(),
            runtime_mode: deps.runtime_mode,
            timeout: config.timeout,
            is_block_list: adapter.cache_policy != CachePolicy::Configured,
            health: Arc::clone(&deps.health),
        });
        let block_list = context.is_block_list.then(|| BlockListStatus::new(Arc::clone(&deps.health)));
        let layers = match adapter.cache_policy {
            CachePolicy::Configured => Layers::Remote(remote_stack(config, adapter.provider, &deps, deps.cache, context)),
            CachePolicy::AtMost { ttl, max_age } => Layers::Remote(remote_stack(config, adapter.provider, &deps, limited(deps.cache, ttl, max_age), context)),
            CachePolicy::Bypass => Layers::Local(local_stack(adapter.provider, context), config.timeout),
        };
        ProviderStack {
            service: config.service(),
            weight: config.weight,
            request_fields: adapter.request_fields,
            cache_key_secret: deps.secret,
            layers,
            block_list,
        }
    }

    /// Looks up what the service reports about a sign-in, by the deadline. Failures are outcomes.
    pub async fn look_up(&self, sign_in: &SignIn, deadline: Deadline) -> ProviderResult {
        let started = Instant::now();
        let result = match ProviderRequest::from_sign_in(sign_in, self.request_fields) {
            Some(request) => self.call(request, started, deadline).await.unwrap_or_else(|failure| LookupResult::new(Outcome::Failed(failure.cause), None)),
            None => LookupResult::new(Outcome::NotCalled, None),
        };
        let LookupResult { outcome, answer, tier, outdated } = result;
        let result = ProviderResult { service: self.service, outcome, answer, weight: self.weight, tier, took: started.elapsed(), outdated };
        if let Some(block_list) = &self.block_list {
            block_list.report(&result, started);
        }
        result
    }

    /// Calls the layers. They are always ready, so they are not polled for readiness.
    async fn call(&self, request: ProviderRequest, started: Instant, deadline: Deadline) -> Result<LookupResult, Failure> {
        let attempt = Attempt::First;
        match &self.layers {
            Layers::Remote(stack) => {
                let key = request.cache_key(self.service, &self.cache_key_secret);
                stack.clone().call(ProviderCall { key, request, started, deadline, attempt }).await
            }
            Layers::Local(stack, timeout) => {
                let deadline = deadline.sooner(started, *timeout);
                // Without a cache, the key is not used.
                stack.clone().call(ProviderCall { key: 0, request, started, deadline, attempt }).await
            }
        }
    }
}

/// The stack before a provider that calls the service, from the outermost layer to the innermost.
fn remote_stack(config: &ServiceConfig, provider: Arc<dyn Provider>, deps: &ProviderStackDeps, cache: CacheConfig, context: Arc<StackContext>) -> RemoteStack {
    let ProviderStackDeps { secret, runtime_mode, health, shared, cache: _ } = deps;
    let (service, runtime_mode) = (context.service, *runtime_mode);
    let cache = Arc::new(Cache::new(cache, runtime_mode));
    let breaker = Arc::new(Breaker::new(service, runtime_mode, context.timeout, Arc::clone(health)));
    let retry_budget = Arc::<RetryBudget>::default();
    let quota = Quota::new(service, config.daily_limit, *secret, shared.clone());
    ServiceBuilder::new()
        // A panic in a layer is a failed look-up.
        .layer(CatchPanicLayer::new(Arc::clone(health)))
        // Most sign-ins end here, with an answer from memory.
        .layer(CacheLayer::new(Arc::clone(&cache), Arc::clone(&context)))
        // Concurrent sign-ins with the same request share one call.
        .layer(layer(Coalescing::new(Arc::clone(&retry_budget), Arc::clone(&context))))
        .layer_fn(BoxCloneSyncService::new)
        // Another process may have stored the answer, or be about to. The timeout starts here.
        .layer(layer(SecondTier::new(Arc::clone(&cache), shared.clone(), Arc::clone(&breaker), Arc::clone(&context))))
        // A service that fails is not called. The sidecar probes it in the background.
        .layer(layer(Admission::new(breaker, runtime_mode)))
        // Answers are stored in both tiers, those of background probes included.
        .layer(layer(CacheWrite::new(cache, shared.clone(), Arc::clone(&context))))
        // The breaker learns how the call ended, without the time of the write.
        .layer(layer(Report))
        // A refused key is shown to the operator.
        .layer(layer(AccountStatus::new(Arc::clone(&context))))
        // A hanging service occupies a bounded number of slots. The wait for a slot is bounded too.
        .layer(layer(Bulkhead::new(Arc::clone(&context))))
        .layer(ConcurrencyLimitLayer::new(MAX_CONCURRENT_CALLS))
        // A panic in the adapter is a failure that the breaker counts, and all callers receive it.
        .layer(CatchPanicLayer::new(Arc::clone(health)))
        // Both attempts together end at the deadline.
        .layer(layer(Timeout))
        // A request that was not sent is sent once more.
        .layer(RetryLayer::new(ReconnectPolicy::new(retry_budget)))
        // Each attempt is paid for.
        .layer(layer(DailyQuota::new(quota, context)))
        .service(ProviderService::new(provider))
}

/// The stack before a provider that has the answers in memory: it needs no cache, and nothing that limits calls.
fn local_stack(provider: Arc<dyn Provider>, context: Arc<StackContext>) -> LocalStack {
    ServiceBuilder::new()
        .layer(CatchPanicLayer::new(Arc::clone(&context.health)))
        .layer(layer(Staleness::new(Arc::clone(&provider))))
        .layer(layer(AccountStatus::new(Arc::clone(&context))))
        .layer(layer(Timeout))
        .service(ProviderService::new(provider))
}

/// Cache times that do not exceed those of the service's decisions.
fn limited(mut cache: CacheConfig, ttl: Duration, max_age: Duration) -> CacheConfig {
    cache.ttl = cache.ttl.min(ttl);
    cache.negative_ttl = cache.negative_ttl.min(ttl);
    cache.stale_for = cache.stale_for.min(max_age.saturating_sub(cache.ttl));
    cache
}

impl std::fmt::Debug for ProviderStack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderStack").field("service", &self.service).finish_non_exhaustive()
    }
}
