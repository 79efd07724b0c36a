//! Everything that is asked about a sign-in, all at once, under one deadline.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    Cause, Consultation, Evidence, Face, Features, History, NetworkFacts, Outcome, Waits,
    health::Health,
    history::{self, Ledger, Patience, Pseudonyms},
    local_time,
    networks::Networks,
    provider::{self, Client, Tls},
    resilience::{
        Guarded, Shared, Surroundings,
        deadline::Deadline,
        rescue::{rescue, rescue_now},
    },
};
use crate::{
    config::{Config, env::Fault, history::StoreConfig},
    event::SignIn,
};

/// The sources of evidence: network databases, the history store, outside services.
#[derive(Debug)]
pub struct Sources {
    pseudonyms: Arc<Pseudonyms>,
    ledger: Option<Ledger>,
    patience: Arc<Patience>,
    face: Face,
    services: Vec<Guarded>,
    store_timeout: Duration,
    health: Arc<Health>,
    networks: Networks,
}

/// What the store said, and how long it took.
struct Recalled {
    history: History,
    outcome: Outcome,
    took: Duration,
}

impl Sources {
    /// Opens what the configuration names. Nothing is connected to yet.
    ///
    /// # Errors
    ///
    /// Faults found only when a file is opened; the bundled database stands in for a faulty one.
    pub fn open(config: &Config, face: Face) -> (Self, Vec<Fault>) {
        Self::open_trusting(config, face, Tls::default())
    }

    /// Opens what the configuration names, with trusted roots of one's own for the services' certificates.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub fn open_trusting(config: &Config, face: Face, tls: Tls) -> (Self, Vec<Fault>) {
        let health = Arc::<Health>::default();
        let (networks, mut faults) = Networks::open(&config.networks, &health);
        let pseudonyms = Arc::new(Pseudonyms::new(&config.history.pseudonym_keys));
        let ledger = history::open(config, Arc::clone(&pseudonyms), face).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let patience = Arc::<Patience>::default();
        // A command writes nothing, not even an answer.
        let is_shared = !matches!(config.history.store, StoreConfig::Memory) && face != Face::Command;
        let shared = ledger.as_ref().filter(|_| is_shared).map(|ledger| Shared::new(Arc::clone(ledger.store()), Arc::clone(&patience), config.budget.store));
        let around = Surroundings { cache: config.services.cache, secret: pseudonyms.cache_key(), face, health: Arc::clone(&health), shared };
        let mut services = Vec::new();
        for service in &config.services.services {
            match provider::open(service, Client::new(service.connect_timeout, face, tls.clone()), face) {
                Ok(adapter) => services.push(Guarded::new(service, adapter, around.clone())),
                Err(fault) => faults.push(fault),
            }
        }
        (Sources { pseudonyms, ledger, patience, face, services, store_timeout: config.budget.store, health, networks }, faults)
    }

    /// The same sources over a store of the caller's own.
    pub fn with_store(mut self, config: &Config, store: Arc<dyn history::Store>) -> Self {
        self.ledger = Some(Ledger::new(store, Arc::clone(&self.pseudonyms), config));
        self
    }

    /// Gathers what can be known of a sign-in by the deadline. Never fails, never later than the deadline.
    pub async fn gather(&self, sign_in: SignIn, deadline: Deadline) -> Evidence {
        let started = Instant::now();
        let networks = rescue_now(&self.health, || {
            self.networks.look_if_due(started);
            self.networks.facts(&sign_in.context)
        })
        .unwrap_or_default();
        let features = rescue_now(&self.health, || Features::of(&sign_in, &networks, self.pseudonyms.feature_key())).unwrap_or_default();
        let took_networks = started.elapsed();
        let consultations = futures_util::future::join_all(self.services.iter().map(|service| service.consult(&sign_in, deadline)));
        let (recalled, services) = futures_util::future::join(self.recall(&sign_in, &networks, &features, deadline), consultations).await;
        let Recalled { history, outcome: history_outcome, took } = recalled;
        let services: SmallVec<[Consultation; 2]> = services.into();
        let took = Waits { networks: took_networks, history: took, total: started.elapsed() };
        Evidence { sign_in, networks, features, history, history_outcome, services, took }
    }

    /// What the store knows, by `STORE_TIMEOUT`: reads the profile and the counters and records the attempt in one call.
    async fn recall(&self, sign_in: &SignIn, networks: &NetworkFacts, features: &Features, deadline: Deadline) -> Recalled {
        let started = Instant::now();
        let (history, outcome) = match &self.ledger {
            None => (History::default(), Outcome::NotAsked),
            Some(_) if !self.patience.is_left(started) => (History::default(), Outcome::Failed(Cause::BreakerOpen)),
            Some(ledger) => match self.ask(ledger, sign_in, networks, features, deadline.sooner(started, self.store_timeout)).await {
                Ok(history) => (history, Outcome::Fresh),
                Err(cause) => (History::default(), Outcome::Failed(cause)),
            },
        };
        Recalled { history, outcome, took: started.elapsed() }
    }

    async fn ask(&self, ledger: &Ledger, sign_in: &SignIn, networks: &NetworkFacts, features: &Features, deadline: Deadline) -> Result<History, Cause> {
        let asked = async {
            match self.face {
                Face::Lambda | Face::Sidecar => ledger.begin(sign_in, networks, features, local_time::hour(sign_in, networks)).await,
                Face::Command => ledger.peek(sign_in, networks, features).await,
            }
        };
        let answer = match rescue(&self.health, deadline.run(asked)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Cause::Timeout),
            Err(_) => Err(Cause::Panic),
        };
        match &answer {
            Ok(_) => self.patience.answered(),
            Err(_) => self.patience.failed(Instant::now()),
        }
        answer
    }

    /// The history store, where there is one.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    /// The longest wait for the store.
    pub fn store_timeout(&self) -> Duration {
        self.store_timeout
    }

    /// What stands for people, networks and devices in what is kept and logged.
    pub fn pseudonyms(&self) -> &Arc<Pseudonyms> {
        &self.pseudonyms
    }

    /// What happens off the path.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}
