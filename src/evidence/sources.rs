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
    provider::{self, Client, Tls, client::Heard},
    resilience::{
        Guarded, Shared, Surroundings,
        deadline::Deadline,
        rescue::{rescue, rescue_now},
    },
};
use crate::{
    config::{Config, env::Fault, history::StoreConfig, services::Service},
    event::{Now, SignIn},
};

/// The sources of evidence: network databases, the history store, outside services.
#[derive(Debug)]
pub struct Sources {
    pseudonyms: Arc<Pseudonyms>,
    ledger: Option<Ledger>,
    patience: Arc<Patience>,
    face: Face,
    services: Vec<Guarded>,
    doors: Vec<Door>,
    connect_timeout: Duration,
    store_timeout: Duration,
    health: Arc<Health>,
    networks: Networks,
}

/// Where a service is, and the client that its adapter asks through.
struct Door {
    service: Service,
    origin: String,
    client: Client,
}

/// What the store said, and how long it took.
struct Recalled {
    history: History,
    outcome: Outcome,
    took: Duration,
}

// === impl Sources ===

impl Sources {
    /// Opens what the configuration names. Nothing is connected to yet.
    ///
    /// # Errors
    ///
    /// Faults found only when a file is opened; the bundled database stands in for a faulty one.
    pub fn open(config: &Config, face: Face) -> (Self, Vec<Fault>) {
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
        let tls = Tls::trusting(&config.services.authorities);
        let (mut services, mut doors) = (Vec::new(), Vec::new());
        for service in &config.services.services {
            let client = Client::new(service.connect_timeout, face, tls.clone());
            match provider::open(service, client.clone(), face) {
                Ok(adapter) => services.push(Guarded::new(service, adapter, around.clone())),
                Err(fault) => faults.push(fault),
            }
            doors.push(Door { service: service.service, origin: service.origin().to_owned(), client });
        }
        let (connect_timeout, store_timeout) = (config.budget.connect, config.budget.store);
        (Sources { pseudonyms, ledger, patience, face, services, doors, connect_timeout, store_timeout, health, networks }, faults)
    }

    /// Opens connections to the services and the store, all at once, and waits for them no longer than `CONNECT_TIMEOUT`.
    ///
    /// For a process that is about to be given its first sign-in. What cannot be opened is left to that sign-in.
    pub async fn warm(&self, now: Now) {
        let services = futures_util::future::join_all(self.doors.iter().map(|door| door.client.warm(&door.origin, now)));
        let store = async {
            if let Some(ledger) = &self.ledger {
                // A key that nobody writes: what is wanted is the way there.
                let _ = ledger.store().fetch("warm", now.wall).await;
            }
        };
        let opened = Deadline::after(now.mono, self.connect_timeout).run(futures_util::future::join(services, store));
        let _ = rescue(&self.health, opened).await;
    }

    /// What a service last answered, word for word; only a command keeps it.
    pub fn heard(&self, service: Service) -> Option<Heard> {
        self.doors.iter().find(|door| door.service == service)?.client.heard()
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
        // On the heap, since a future by value is copied whole at each layer that takes it.
        let asked = Box::pin(async {
            match self.face {
                Face::Lambda | Face::Sidecar => ledger.begin(sign_in, networks, features, local_time::hour(sign_in, networks)).await,
                Face::Command => ledger.peek(sign_in, networks, features).await,
            }
        });
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

// === impl Door ===

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("service", &self.service).finish_non_exhaustive()
    }
}
