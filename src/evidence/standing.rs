//! What rests on secrets: pseudonyms, the ledger, the services with their keys. Built whole, so that it is swapped whole when a secret changes.

use std::sync::Arc;

use secrecy::ExposeSecret;

use super::{
    Cause, Face, Outcome,
    health::{BreakerState, Health},
    history::{self, Ledger, Patience, Pseudonyms},
    provider::{self, Client, Tls},
    resilience::{Guarded, Shared, Surroundings},
};
use crate::config::{
    Config,
    env::Fault,
    history::{PseudonymKey, StoreConfig},
    services::{Own, Service, ServiceConfig},
};

/// What stands on the secrets in force.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) pseudonyms: Arc<Pseudonyms>,
    pub(super) ledger: Option<Arc<Ledger>>,
    keys: Vec<PseudonymKey>,
    /// Whether there is no ledger only because its key is not here yet.
    awaits_key: bool,
    posts: Vec<Post>,
}

/// What does not change with a secret.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) face: Face,
    pub(super) tls: &'a Tls,
    pub(super) patience: &'a Arc<Patience>,
    pub(super) health: &'a Arc<Health>,
}

/// One service: its guards, the way to it, and the settings that it was built with.
#[derive(Debug, Clone)]
struct Post {
    config: ServiceConfig,
    service: Arc<Guarded>,
    door: Arc<Door>,
}

/// Where a service is, and the client that its adapter asks through.
pub(super) struct Door {
    pub(super) service: Service,
    pub(super) origin: String,
    pub(super) client: Client,
}

// === impl Standing ===

impl Standing {
    /// Builds what the configuration names; what `old` has on the same secrets is kept, its caches and breakers with it.
    pub(super) fn open(config: &Config, ground: Ground<'_>, old: Option<&Standing>) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let keys = config.history.pseudonym_keys.clone();
        let old = old.filter(|old| same_keys(&old.keys, &keys)).ok_or(old);
        let (pseudonyms, ledger) = match old {
            Ok(same) => (Arc::clone(&same.pseudonyms), same.ledger.clone()),
            Err(other) => {
                let pseudonyms = Arc::new(Pseudonyms::new(&keys));
                let ledger = match other.and_then(|old| old.ledger.as_ref()) {
                    // The store itself rests on no secret: what it holds, and its connections, go on.
                    Some(ledger) => Some(ledger.with_pseudonyms(Arc::clone(&pseudonyms), config)),
                    None => history::open(config, Arc::clone(&pseudonyms), ground.face, ground.health).unwrap_or_else(|fault| {
                        faults.push(fault);
                        None
                    }),
                };
                (pseudonyms, ledger.map(Arc::new))
            }
        };
        let mut standing = Standing { pseudonyms, ledger, keys, awaits_key: config.awaits("PSEUDONYM_KEY"), posts: Vec::new() };
        let around = standing.surroundings(config, ground);
        for service in &config.services.services {
            let kept = old.ok().and_then(|old| old.posts.iter().find(|post| post.config.service == service.service && same_secrets(&post.config, service)));
            match kept.cloned().map_or_else(|| Post::open(service, config, ground, &around), Ok) {
                Ok(post) => standing.posts.push(post),
                Err(fault) => faults.push(fault),
            }
        }
        (standing, faults)
    }

    /// The same over a store of the caller's own.
    pub(super) fn with_store(&self, config: &Config, store: Arc<dyn history::Store>, health: &Arc<Health>) -> Self {
        let ledger = Ledger::new(store, Arc::clone(&self.pseudonyms), config, Arc::clone(health));
        Standing { ledger: Some(Arc::new(ledger)), ..self.clone() }
    }

    /// The services, in the order of `PROVIDERS`.
    pub(super) fn services(&self) -> impl Iterator<Item = &Guarded> {
        self.posts.iter().map(|post| &*post.service)
    }

    /// The ways to them.
    pub(super) fn doors(&self) -> impl Iterator<Item = &Door> {
        self.posts.iter().map(|post| &*post.door)
    }

    /// How asking the store ended where there is no ledger.
    pub(super) fn without_ledger(&self) -> Outcome {
        if self.awaits_key { Outcome::Failed(Cause::NoStore) } else { Outcome::NotAsked }
    }

    fn surroundings(&self, config: &Config, ground: Ground<'_>) -> Surroundings {
        // A command writes nothing, not even an answer.
        let is_shared = !matches!(config.history.store, StoreConfig::Memory) && ground.face != Face::Command;
        let ledger = self.ledger.as_ref().filter(|_| is_shared);
        let shared = ledger.map(|ledger| Shared::new(Arc::clone(ledger.store()), Arc::clone(ground.patience), Arc::clone(ground.health), config.budget.store));
        Surroundings { cache: config.services.cache, secret: self.pseudonyms.cache_key(), face: ground.face, health: Arc::clone(ground.health), shared }
    }
}

// === impl Post ===

impl Post {
    fn open(config: &ServiceConfig, whole: &Config, ground: Ground<'_>, around: &Surroundings) -> Result<Self, Fault> {
        let client = Client::new(config.connect_timeout, ground.face, ground.tls.clone());
        let is_awaited = whole.awaits(config.service.secret_variable());
        let adapter = if is_awaited { provider::keyless() } else { provider::open(config, client.clone(), ground.face)? };
        let health = ground.health.service(config.service);
        health.set_breaker(BreakerState::Closed);
        health.set_fault(None);
        let service = Arc::new(Guarded::new(config, adapter, around.clone()));
        let door = Arc::new(Door { service: config.service, origin: config.origin().to_owned(), client });
        Ok(Post { config: config.clone(), service, door })
    }
}

// === impl Door ===

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("service", &self.service).finish_non_exhaustive()
    }
}

fn same_keys(one: &[PseudonymKey], other: &[PseudonymKey]) -> bool {
    let told = |keys: &[PseudonymKey]| -> Vec<(String, String)> { keys.iter().map(|key| (key.kid.clone(), key.key.expose_secret().to_owned())).collect() };
    told(one) == told(other)
}

fn same_secrets(one: &ServiceConfig, other: &ServiceConfig) -> bool {
    let told = |config: &ServiceConfig| -> Vec<String> {
        let headers = if let Own::Http(own) = &config.own { own.headers.as_slice() } else { &[] };
        let headers = headers.iter().map(|(name, value)| format!("{name}: {}", value.expose_secret()));
        config.key.iter().map(|key| key.expose_secret().to_owned()).chain(headers).collect()
    };
    told(one) == told(other)
}
