//! Everything that is asked about a sign-in, all at once, under one deadline.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    Cause, Consultation, Enriched, Evidence, Face, Features, History, NetworkFacts, Outcome, Waits,
    health::Health,
    history::{self, Ledger, Nonce, Patience, Pseudonyms, Ticket, unread::Part},
    local_time,
    networks::Networks,
    provider::{Tls, client::Heard},
    resilience::{
        deadline::Deadline,
        rescue::{rescue, rescue_now},
    },
    standing::{Ground, Standing},
};
use crate::{
    config::{Config, env::Fault, services::Service},
    event::{Now, SignIn},
};

/// The sources of evidence: network databases, the history store, outside services.
#[derive(Debug)]
pub struct Sources {
    standing: ArcSwap<Standing>,
    patience: Arc<Patience>,
    face: Face,
    tls: Tls,
    connect_timeout: Duration,
    store_timeout: Duration,
    health: Arc<Health>,
    networks: Networks,
}

/// What the store said, and how long it took.
struct Recalled {
    history: History,
    attempt: Option<Box<Ticket>>,
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
        let health = Arc::<Health>::default();
        let (networks, mut faults) = Networks::open(&config.networks, &health);
        let (patience, tls) = (Arc::<Patience>::default(), Tls::trusting(&config.services.authorities));
        let ground = Ground { face, tls: &tls, patience: &patience, health: &health };
        let (standing, found) = Standing::open(config, ground, None);
        faults.extend(found);
        let (connect_timeout, store_timeout) = (config.budget.connect, config.budget.store);
        let standing = ArcSwap::from_pointee(standing);
        (Sources { standing, patience, face, tls, connect_timeout, store_timeout, health, networks }, faults)
    }

    /// Takes up the secrets of a configuration that is otherwise the one that this was opened with. What rests on a secret that has
    /// changed is built anew; sign-ins under way end with what they began with.
    ///
    /// # Errors
    ///
    /// A secret that cannot be used, such as a key that fits no header; then all stays as it was.
    pub fn renew(&self, config: &Config) -> Result<(), Vec<Fault>> {
        let ground = Ground { face: self.face, tls: &self.tls, patience: &self.patience, health: &self.health };
        let (standing, faults) = Standing::open(config, ground, Some(&self.standing.load()));
        if faults.is_empty() {
            self.standing.store(Arc::new(standing));
            Ok(())
        } else {
            Err(faults)
        }
    }

    /// Opens connections to the services and the store, all at once, and waits for them no longer than `CONNECT_TIMEOUT`.
    ///
    /// For a process that is about to be given its first sign-in. What cannot be opened is left to that sign-in.
    pub async fn warm(&self, now: Now) {
        let standing = self.standing.load_full();
        let services = futures_util::future::join_all(standing.doors().map(|door| door.client.warm(&door.origin, now)));
        let store = async {
            if let Some(ledger) = &standing.ledger {
                self.report_probe(ledger, now).await;
            }
        };
        let opened = Deadline::after(now.mono, self.connect_timeout).run(futures_util::future::join(services, store));
        let _ = rescue(&self.health, opened).await;
    }

    /// Tries the store; what it refuses is logged and in `/readyz`.
    pub async fn probe_store(&self, now: Now, deadline: Deadline) {
        let Some(ledger) = self.ledger() else { return };
        if deadline.run(self.report_probe(&ledger, now)).await.is_err() {
            self.health.store.report(Part::Store, Some(Cause::Timeout), Instant::now());
        }
    }

    async fn report_probe(&self, ledger: &Ledger, now: Now) {
        let cause = ledger.store().probe(now.wall).await.err();
        let is_logged = self.health.store.report(Part::Store, cause, Instant::now());
        if let Some(problem) = ledger.store().problem().filter(|_| is_logged) {
            tracing::warn!(problem, "the store cannot be used as it is");
        }
    }

    /// What the operator has to correct at the store while a part of it fails, if that is known.
    pub fn store_problem(&self) -> Option<String> {
        self.health.store.failing().next()?;
        self.ledger()?.store().problem()
    }

    /// What a service last answered, word for word; only a command keeps it.
    pub fn heard(&self, service: Service) -> Option<Heard> {
        self.standing.load().doors().find(|door| door.service == service)?.client.heard()
    }

    /// The same sources over a store of the caller's own.
    pub fn with_store(self, config: &Config, store: Arc<dyn history::Store>) -> Self {
        self.standing.rcu(|standing| standing.with_store(config, Arc::clone(&store), &self.health));
        self
    }

    /// Gathers what can be known of a sign-in by the deadline. Never fails, never later than the deadline.
    pub async fn gather(&self, sign_in: impl Into<Arc<SignIn>>, deadline: Deadline) -> Enriched {
        let sign_in = sign_in.into();
        let started = Instant::now();
        let standing = self.standing.load_full();
        let networks = rescue_now(&self.health, || {
            self.networks.look_if_due(started);
            self.networks.facts(&sign_in.context)
        })
        .unwrap_or_default();
        let local_time = rescue_now(&self.health, || local_time::read(&sign_in, &networks)).unwrap_or_default();
        let features = rescue_now(&self.health, || Features::of(&sign_in, &networks, standing.pseudonyms.feature_key())).unwrap_or_default();
        let took_networks = started.elapsed();
        let consultations = futures_util::future::join_all(standing.services().map(|service| service.consult(&sign_in, deadline)));
        let (recalled, services) =
            futures_util::future::join(self.recall(&standing, &sign_in, &networks, &features, local_time.hour, deadline), consultations).await;
        let Recalled { history, attempt, outcome: history_outcome, took } = recalled;
        let services: SmallVec<[Consultation; 2]> = services.into();
        let took = Waits { networks: took_networks, history: took, total: started.elapsed() };
        let evidence = Box::new(Evidence { sign_in, networks, local_time, features, history, history_outcome, services, took });
        Enriched { evidence, attempt }
    }

    /// What the store knows, by `STORE_TIMEOUT`: reads the profile and the counters and records the attempt in one call.
    async fn recall(
        &self,
        standing: &Standing,
        sign_in: &SignIn,
        networks: &NetworkFacts,
        features: &Features,
        hour: Option<u8>,
        deadline: Deadline,
    ) -> Recalled {
        let started = Instant::now();
        let (history, attempt, outcome) = match &standing.ledger {
            None => (History::default(), None, standing.without_ledger()),
            Some(ledger) => match self.ask(ledger, sign_in, networks, features, hour, deadline.sooner(started, self.store_timeout)).await {
                Ok((history, attempt)) => (history, attempt, Outcome::Fresh),
                Err(cause) => self.without_record(ledger, sign_in, cause),
            },
        };
        if standing.ledger.is_some() {
            // While the breaker is open, the cause that opened it is the one to report.
            if outcome.cause() != Some(Cause::BreakerOpen) {
                self.health.store.report(Part::Record, outcome.cause(), started);
            }
            for part in [Part::BlockList, Part::Nonce, Part::Velocity, Part::Templates] {
                // A sign-in without a nonce does not show whether nonces can be claimed.
                if part == Part::Nonce && history.nonce == Nonce::New && sign_in.context.nonce.is_none() {
                    continue;
                }
                self.health.store.report(part, history.unread.cause(part), started);
            }
        }
        Recalled { history, attempt, outcome, took: started.elapsed() }
    }

    /// The blocks that were read last stay in force while the store does not answer.
    fn without_record(&self, ledger: &Ledger, sign_in: &SignIn, cause: Cause) -> (History, Option<Box<Ticket>>, Outcome) {
        let history = rescue_now(&self.health, || ledger.without_record(sign_in, cause)).unwrap_or_default();
        (history, None, Outcome::Failed(cause))
    }

    async fn ask(
        &self,
        ledger: &Ledger,
        sign_in: &SignIn,
        networks: &NetworkFacts,
        features: &Features,
        hour: Option<u8>,
        deadline: Deadline,
    ) -> Result<(History, Option<Box<Ticket>>), Cause> {
        let permit = self.patience.admit(Instant::now()).ok_or(Cause::BreakerOpen)?;
        // On the heap, since a future by value is copied whole at each layer that takes it.
        let asked = Box::pin(async {
            match self.face {
                Face::Lambda | Face::Sidecar => {
                    ledger.begin(sign_in, networks, features, hour).await.map(|(history, attempt)| (history, Some(Box::new(attempt))))
                }
                Face::Command => ledger.peek(sign_in, networks, features).await.map(|history| (history, None)),
            }
        });
        let answer = match rescue(&self.health, deadline.run(asked)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Cause::Timeout),
            Err(_) => Err(Cause::Panic),
        };
        match &answer {
            // An unreadable record is one person's, and says nothing of the others'.
            Ok(_) | Err(Cause::BadAnswer | Cause::TooLarge | Cause::Panic) => self.patience.succeed(permit),
            Err(_) => self.patience.fail(permit, Instant::now()),
        }
        answer
    }

    /// The history store, where there is one.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.standing.load().ledger.clone()
    }

    /// The longest wait for the store.
    pub fn store_timeout(&self) -> Duration {
        self.store_timeout
    }

    /// What stands for people, networks and devices in what is kept and logged.
    pub fn pseudonyms(&self) -> Arc<Pseudonyms> {
        Arc::clone(&self.standing.load().pseudonyms)
    }

    /// What happens off the path.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}
