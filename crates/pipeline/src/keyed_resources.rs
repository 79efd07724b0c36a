//! Resources that depend on secrets: pseudonyms, the history repository and the providers. They are replaced together when a secret changes.

use std::sync::Arc;

use secrecy::ExposeSecret;

use riskgate_config::Config;
use riskgate_config::env::ConfigError;
use riskgate_config::history::StoreConfig;
use riskgate_config::pseudonym::PseudonymKey;
use riskgate_config::pseudonym::Pseudonyms;
use riskgate_config::services::{ProviderOptions, ServiceConfig};
use riskgate_engine::evidence::{FailureReason, Outcome};
use riskgate_engine::service::Service;
use riskgate_history::repository::HistoryRepository;
use riskgate_http_client::{Client, Tls};
use riskgate_providers::shared_cache::SharedCache;
use riskgate_providers::stack::{ProviderStack, ProviderStackDeps};
use riskgate_runtime::health::{BreakerState, Health};
use riskgate_runtime::mode::RuntimeMode;
use riskgate_store::breaker::StoreBreaker;

/// The resources that were built with the current secrets.
#[derive(Debug, Clone)]
pub(super) struct KeyedResources {
    pub(super) pseudonyms: Arc<Pseudonyms>,
    pub(super) repository: Option<Arc<HistoryRepository>>,
    keys: Vec<PseudonymKey>,
    /// Whether the pseudonym key is referenced but not fetched yet, so there is no repository.
    is_key_pending: bool,
    providers: Vec<ProviderHandle>,
}

/// The dependencies that do not change with a secret.
#[derive(Clone, Copy)]
pub(super) struct KeyedResourcesDeps<'a> {
    pub(super) runtime_mode: RuntimeMode,
    pub(super) tls: &'a Tls,
    pub(super) breaker: &'a Arc<StoreBreaker>,
    pub(super) health: &'a Arc<Health>,
}

/// One provider: its middleware stack, its endpoint, and the settings that it was built with.
#[derive(Debug, Clone)]
struct ProviderHandle {
    config: ServiceConfig,
    stack: Arc<ProviderStack>,
    endpoint: Arc<Endpoint>,
}

/// The origin of a service, and the client that its adapter uses.
pub(super) struct Endpoint {
    pub(super) service: Service,
    pub(super) origin: String,
    pub(super) client: Client,
}

impl KeyedResources {
    /// Builds the configured resources. Resources of `previous` with the same secrets are reused, including their caches and breakers.
    pub(super) fn open(config: &Config, deps: KeyedResourcesDeps<'_>, previous: Option<&KeyedResources>) -> (Self, Vec<ConfigError>) {
        let mut faults = Vec::new();
        let keys = config.history.pseudonym_keys.clone();
        let reusable = previous.filter(|previous| same_keys(&previous.keys, &keys)).ok_or(previous);
        let (pseudonyms, repository) = match reusable {
            Ok(same) => (Arc::clone(&same.pseudonyms), same.repository.clone()),
            Err(other) => {
                let pseudonyms = Arc::new(Pseudonyms::new(&keys));
                let repository = match other.and_then(|previous| previous.repository.as_ref()) {
                    // The store does not depend on a secret, so its contents and connections are reused.
                    Some(repository) => Some(repository.with_pseudonyms(Arc::clone(&pseudonyms), config)),
                    None => riskgate_history::open(config, Arc::clone(&pseudonyms), deps.runtime_mode, deps.health).unwrap_or_else(|fault| {
                        faults.push(fault);
                        None
                    }),
                };
                (pseudonyms, repository.map(Arc::new))
            }
        };
        let mut keyed_resources =
            KeyedResources { pseudonyms, repository, keys, is_key_pending: config.is_secret_pending("PSEUDONYM_KEY"), providers: Vec::new() };
        let stack_deps = keyed_resources.stack_deps(config, deps);
        for service in &config.services.services {
            let reused = reusable.ok().and_then(|previous| {
                previous.providers.iter().find(|provider| provider.config.service() == service.service() && same_secrets(&provider.config, service))
            });
            match reused.cloned().map_or_else(|| ProviderHandle::open(service, config, deps, &stack_deps), Ok) {
                Ok(provider) => keyed_resources.providers.push(provider),
                Err(fault) => faults.push(fault),
            }
        }
        (keyed_resources, faults)
    }

    /// The same resources with a given store.
    pub(super) fn with_store(&self, config: &Config, store: Arc<dyn riskgate_store::Store>, health: &Arc<Health>) -> Self {
        let repository = HistoryRepository::new(store, Arc::clone(&self.pseudonyms), config, Arc::clone(health));
        KeyedResources { repository: Some(Arc::new(repository)), ..self.clone() }
    }

    /// The provider stacks, in the order of `PROVIDERS`.
    pub(super) fn stacks(&self) -> impl Iterator<Item = &ProviderStack> {
        self.providers.iter().map(|provider| &*provider.stack)
    }

    /// The endpoints of the providers.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.providers.iter().map(|provider| &*provider.endpoint)
    }

    /// The history outcome when there is no repository.
    pub(super) fn outcome_without_repository(&self) -> Outcome {
        if self.is_key_pending { Outcome::Failed(FailureReason::NoStore) } else { Outcome::NotCalled }
    }

    fn stack_deps(&self, config: &Config, deps: KeyedResourcesDeps<'_>) -> ProviderStackDeps {
        // A command does not write, so it does not use the shared cache.
        let is_shared = !matches!(config.history.store, StoreConfig::Memory) && deps.runtime_mode != RuntimeMode::Command;
        let repository = self.repository.as_ref().filter(|_| is_shared);
        let shared = repository
            .map(|repository| SharedCache::new(Arc::clone(repository.store()), Arc::clone(deps.breaker), Arc::clone(deps.health), config.budget.store));
        ProviderStackDeps {
            cache: config.services.cache,
            secret: self.pseudonyms.cache_key(),
            runtime_mode: deps.runtime_mode,
            health: Arc::clone(deps.health),
            shared,
        }
    }
}

impl ProviderHandle {
    fn open(config: &ServiceConfig, full_config: &Config, deps: KeyedResourcesDeps<'_>, stack_deps: &ProviderStackDeps) -> Result<Self, ConfigError> {
        let client = Client::new(config.connect_timeout, deps.runtime_mode, deps.tls.clone());
        let is_key_pending = full_config.is_secret_pending(config.service().secret_variable());
        let adapter = if is_key_pending { riskgate_providers::without_key() } else { riskgate_providers::open(config, client.clone(), deps.runtime_mode)? };
        let health = deps.health.service(config.service());
        health.set_breaker(BreakerState::Closed);
        health.set_fault(None);
        let stack = Arc::new(ProviderStack::new(config, adapter, stack_deps.clone()));
        let endpoint = Arc::new(Endpoint { service: config.service(), origin: config.origin().to_owned(), client });
        Ok(ProviderHandle { config: config.clone(), stack, endpoint })
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("service", &self.service).finish_non_exhaustive()
    }
}

fn same_keys(one: &[PseudonymKey], other: &[PseudonymKey]) -> bool {
    let values = |keys: &[PseudonymKey]| -> Vec<(String, String)> { keys.iter().map(|key| (key.kid.clone(), key.key.expose_secret().to_owned())).collect() };
    values(one) == values(other)
}

fn same_secrets(one: &ServiceConfig, other: &ServiceConfig) -> bool {
    let values = |config: &ServiceConfig| -> Vec<String> {
        let headers = if let ProviderOptions::Http(options) = &config.options { options.headers.as_slice() } else { &[] };
        let headers = headers.iter().map(|(name, value)| format!("{name}: {}", value.expose_secret()));
        config.key.iter().map(|key| key.expose_secret().to_owned()).chain(headers).collect()
    };
    values(one) == values(other)
}
