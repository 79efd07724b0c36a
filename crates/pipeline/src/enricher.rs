//! Enrichment: queries every source of evidence about a sign-in concurrently, under one deadline.

use std::{pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use smallvec::SmallVec;
use smol_str::SmolStr;
use tokio::time::Instant;

use crate::keyed_resources::{KeyedResources, KeyedResourcesDeps};
use crate::pool_monitor::{CalibrationSettings, PoolMonitor, SignInPool};
use riskgate_calibration::{PoolScale, Thresholds};
use riskgate_config::pseudonym::Pseudonyms;
use riskgate_config::{Config, env::ConfigError};
use riskgate_engine::{
    browser_update::is_browser_update,
    evidence::{
        EnrichmentTimings, Evidence, FailureReason, Outcome, ProviderResult,
        history::{History, NonceStatus},
        store_parts::StorePart,
    },
    features::Features,
    ignored::IgnoredInput,
    network_facts::NetworkFacts,
};
use riskgate_engine::{
    service::Service,
    sign_in::{SignIn, Trigger},
    time::ClockReading,
};
use riskgate_history::repository::{HistoryRepository, PendingAttempt};
use riskgate_http_client::{RawResponse, Tls};
use riskgate_network::{Networks, local_time};
use riskgate_pool::AttackNotice;
use riskgate_runtime::{
    catch_panic::{catch_panic, catch_panic_sync},
    deadline::Deadline,
    health::Health,
    mode::RuntimeMode,
};
use riskgate_store::breaker::StoreBreaker;

/// Collects the evidence about a sign-in from the network databases, the history store and the providers.
#[derive(Debug)]
pub struct Enricher {
    keyed_resources: ArcSwap<KeyedResources>,
    breaker: Arc<StoreBreaker>,
    runtime_mode: RuntimeMode,
    tls: Tls,
    connect_timeout: Duration,
    store_timeout: Duration,
    health: Arc<Health>,
    networks: Networks,
    pools: PoolMonitor,
}

/// The result of the store look-up, and its duration.
struct HistoryLookup {
    history: History,
    attempt: Option<Box<PendingAttempt>>,
    outcome: Outcome,
    took: Duration,
}

impl Enricher {
    /// Opens the configured sources. No connection is made yet.
    ///
    /// # Errors
    ///
    /// Errors that are found when a file is opened. The bundled database replaces a faulty file.
    pub fn open(config: &Config, runtime_mode: RuntimeMode) -> (Self, Vec<ConfigError>) {
        let health = Arc::<Health>::default();
        let (networks, mut faults) = Networks::open(&config.networks, &health);
        let (breaker, tls) = (Arc::<StoreBreaker>::default(), Tls::trusting(&config.services.authorities));
        let deps = KeyedResourcesDeps { runtime_mode, tls: &tls, breaker: &breaker, health: &health };
        let (keyed_resources, found) = KeyedResources::open(config, deps, None);
        faults.extend(found);
        let (connect_timeout, store_timeout) = (config.budget.connect, config.budget.store);
        let keyed_resources = ArcSwap::from_pointee(keyed_resources);
        let calibration = CalibrationSettings { mode: config.history.calibration, thresholds: Thresholds::new(&config.decision) };
        let pools = PoolMonitor::new(Arc::clone(&health), calibration);
        (Enricher { keyed_resources, breaker, runtime_mode, tls, connect_timeout, store_timeout, health, networks, pools }, faults)
    }

    /// Applies new secrets. `config` must otherwise equal the configuration that this was opened with. Resources whose secret has
    /// changed are rebuilt. Sign-ins in progress finish with the previous resources.
    ///
    /// # Errors
    ///
    /// A secret cannot be used, such as a key that is not a valid header value. Then nothing changes.
    pub fn renew(&self, config: &Config) -> Result<(), Vec<ConfigError>> {
        let deps = KeyedResourcesDeps { runtime_mode: self.runtime_mode, tls: &self.tls, breaker: &self.breaker, health: &self.health };
        let (keyed_resources, faults) = KeyedResources::open(config, deps, Some(&self.keyed_resources.load()));
        if faults.is_empty() {
            self.keyed_resources.store(Arc::new(keyed_resources));
            Ok(())
        } else {
            Err(faults)
        }
    }

    /// Opens connections to the services and the store concurrently, and waits at most `CONNECT_TIMEOUT`.
    ///
    /// It is called before the first sign-in. A connection that fails is opened again by that sign-in.
    pub async fn warm(&self, now: ClockReading) {
        let keyed_resources = self.keyed_resources.load_full();
        let services = futures_util::future::join_all(keyed_resources.endpoints().map(|endpoint| endpoint.client.warm(&endpoint.origin, now)));
        let store = async {
            if let Some(repository) = &keyed_resources.repository {
                self.report_probe(repository, now).await;
            }
        };
        let opened = Deadline::after(now.mono, self.connect_timeout).run(futures_util::future::join(services, store));
        let _ = catch_panic(&self.health, opened).await;
    }

    /// Probes the store. Failures are logged and shown in `/readyz`.
    pub async fn probe_store(&self, now: ClockReading, deadline: Deadline) {
        let Some(repository) = self.repository() else { return };
        if deadline.run(self.report_probe(&repository, now)).await.is_err() {
            self.health.store.report(StorePart::Store, Some(FailureReason::Timeout), Instant::now());
        }
    }

    async fn report_probe(&self, repository: &HistoryRepository, now: ClockReading) {
        let cause = repository.store().probe(now.wall).await.err();
        let is_logged = self.health.store.report(StorePart::Store, cause, Instant::now());
        if let Some(problem) = repository.store().problem().filter(|_| is_logged) {
            tracing::warn!(problem, "the store rejects operations");
        }
    }

    /// What the operator must fix in the store; `None` when nothing fails or the problem is unknown.
    pub fn store_problem(&self) -> Option<String> {
        self.health.store.failing().next()?;
        self.repository()?.store().problem()
    }

    /// The last raw response of a service. It is stored only in `RuntimeMode::Command`.
    pub fn last_response(&self, service: Service) -> Option<RawResponse> {
        self.keyed_resources.load().endpoints().find(|endpoint| endpoint.service == service)?.client.last_response()
    }

    /// The same enricher with a given store.
    pub fn with_store(self, config: &Config, store: Arc<dyn riskgate_store::Store>) -> Self {
        self.keyed_resources.rcu(|keyed_resources| keyed_resources.with_store(config, Arc::clone(&store), &self.health));
        self
    }

    /// Collects the evidence about a sign-in. It returns by the deadline and never fails: missing sources are marked in the evidence.
    pub async fn enrich(&self, sign_in: impl Into<Arc<SignIn>>, deadline: Deadline) -> Enriched {
        let mut sign_in = sign_in.into();
        let started = Instant::now();
        let keyed_resources = self.keyed_resources.load_full();
        let networks = catch_panic_sync(&self.health, || {
            self.networks.reload_if_due(started);
            self.networks.facts(&sign_in.context)
        })
        .unwrap_or_default();
        let local_time = catch_panic_sync(&self.health, || local_time::read(&sign_in, &networks)).unwrap_or_default();
        if local_time.zone_fits.is_none() && local_time::has_unknown_zone(&sign_in) {
            Arc::make_mut(&mut sign_in).context.ignored.insert(IgnoredInput::UnknownTimezone);
        }
        let features = catch_panic_sync(&self.health, || Features::of(&sign_in, &networks, keyed_resources.pseudonyms.feature_key())).unwrap_or_default();
        let networks_took = started.elapsed();
        let provider_results = futures_util::future::join_all(keyed_resources.stacks().map(|stack| stack.look_up(&sign_in, deadline)));
        let pool = self.sign_in_pool(&keyed_resources, &sign_in);
        let (history_lookup, services) = {
            // Pinned, because every layer that takes a future by value copies it.
            let history_lookup = pin!(self.look_up_history(&keyed_resources, &sign_in, &networks, &features, local_time.hour, deadline));
            let pool_read = self.read_pool(&keyed_resources, pool.as_ref(), &sign_in, deadline);
            let (history_lookup, services, ()) = futures_util::future::join3(history_lookup, provider_results, pool_read).await;
            (history_lookup, services)
        };
        let HistoryLookup { history, attempt, outcome: history_outcome, took } = history_lookup;
        let feature_key = keyed_resources.pseudonyms.feature_key();
        let is_browser_update = catch_panic_sync(&self.health, || is_browser_update(&sign_in, &features, &history.profile, feature_key)).unwrap_or_default();
        let services: SmallVec<[ProviderResult; 2]> = services.into();
        let took = EnrichmentTimings { networks: networks_took, history: took, total: started.elapsed() };
        let mut evidence = Box::new(Evidence { sign_in, networks, local_time, features, is_browser_update, history, history_outcome, services, took });
        let scale = pool.and_then(|pool| catch_panic_sync(&self.health, || pool.add_state(&mut evidence)).unwrap_or_default());
        Enriched { evidence, attempt, scale }
    }

    /// The pool of a sign-in. A command takes no part in the detection of attacks.
    fn sign_in_pool(&self, keyed_resources: &KeyedResources, sign_in: &SignIn) -> Option<SignInPool> {
        let is_serving = keyed_resources.repository.is_some() && self.runtime_mode != RuntimeMode::Command;
        is_serving.then(|| self.pools.pool_of(sign_in, &keyed_resources.pseudonyms)).flatten()
    }

    /// Reads the state of a pool if it is unknown, within `STORE_TIMEOUT`. While the store does not answer, it stays unknown.
    async fn read_pool(&self, keyed_resources: &KeyedResources, pool: Option<&SignInPool>, sign_in: &SignIn, deadline: Deadline) {
        let (Some(pool), Some(repository)) = (pool.filter(|pool| pool.is_read_due()), &keyed_resources.repository) else { return };
        if self.breaker.is_open() {
            return pool.fail(FailureReason::BreakerOpen);
        }
        // Boxed, because every layer that takes a future by value copies it, and few sign-ins need this one.
        let read = Box::pin(pool.read_state(&**repository.store(), &keyed_resources.pseudonyms, sign_in.received.wall));
        let cause = match catch_panic(&self.health, deadline.sooner(Instant::now(), self.store_timeout).run(read)).await {
            Ok(Ok(read)) => read.err(),
            Ok(Err(_)) => Some(FailureReason::Timeout),
            Err(_) => Some(FailureReason::Panic),
        };
        if let Some(cause) = cause {
            pool.fail(cause);
        }
        self.pools.report_read(cause);
    }

    /// Writes the counts of pools and reads their states where that is due, within `STORE_TIMEOUT`. Returns what has to be reported about attacks, by
    /// this process only. No sign-in waits for it: the sidecar calls it in the background, Lambda between an answer and the next event.
    pub async fn update_pools(&self, now: ClockReading) -> Vec<AttackNotice> {
        let keyed_resources = self.keyed_resources.load_full();
        let Some(repository) = keyed_resources.repository.as_ref().filter(|_| self.pools.has_work(now.wall)) else { return Vec::new() };
        let Some(permit) = self.breaker.admit(Instant::now()) else {
            self.pools.fail_read(FailureReason::BreakerOpen);
            return Vec::new();
        };
        let (store, deadline) = (&**repository.store(), Deadline::after(Instant::now(), self.store_timeout));
        let written = async {
            let written = catch_panic(&self.health, deadline.run(Box::pin(self.pools.flush(store, now.wall)))).await;
            written.map_err(|_| FailureReason::Panic)?.map_err(|_| FailureReason::Timeout)?
        };
        let read = async {
            let read = catch_panic(&self.health, deadline.run(Box::pin(self.pools.refresh(store, &keyed_resources.pseudonyms, now.wall)))).await;
            read.map_err(|_| FailureReason::Panic)?.map_err(|_| FailureReason::Timeout)?
        };
        let (written, read) = futures_util::future::join(written, read).await;
        if let Err(cause @ (FailureReason::Panic | FailureReason::Timeout)) = written {
            self.pools.fail_write(cause);
        }
        if let Err(cause @ (FailureReason::Panic | FailureReason::Timeout)) = read {
            self.pools.fail_read(cause);
        }
        let is_unavailable = |cause: &FailureReason| !matches!(cause, FailureReason::BadAnswer | FailureReason::TooLarge | FailureReason::Panic);
        match written.err().or(read.as_ref().err().copied()).filter(is_unavailable) {
            Some(_) => self.breaker.fail(permit, Instant::now()),
            None => self.breaker.succeed(permit),
        }
        read.unwrap_or_default()
    }

    /// Reads the states of the detectors of these pools, which other processes keep.
    pub async fn read_pools(&self, names: &[SmolStr], now: Timestamp) {
        let keyed_resources = self.keyed_resources.load_full();
        if let Some(repository) = keyed_resources.repository.as_ref() {
            self.pools.read(names, &**repository.store(), &keyed_resources.pseudonyms, now).await;
        }
    }

    /// The pools, for counting and to show their state.
    pub fn pools(&self) -> &PoolMonitor {
        &self.pools
    }

    /// Reads the profile and the counters and records the attempt, within `STORE_TIMEOUT`.
    async fn look_up_history(
        &self,
        keyed_resources: &KeyedResources,
        sign_in: &SignIn,
        networks: &NetworkFacts,
        features: &Features,
        hour: Option<u8>,
        deadline: Deadline,
    ) -> HistoryLookup {
        let started = Instant::now();
        let (history, attempt, outcome) = match &keyed_resources.repository {
            None => (History::default(), None, keyed_resources.outcome_without_repository()),
            Some(repository) => {
                match self.query_repository(repository, sign_in, networks, features, hour, deadline.sooner(started, self.store_timeout)).await {
                    Ok((history, attempt)) => (history, attempt, Outcome::Fresh),
                    Err(cause) => self.history_without_record(repository, sign_in, networks.asn, cause),
                }
            }
        };
        if let Some(repository) = &keyed_resources.repository {
            repository.report_templates(history.unread.cause(StorePart::Templates), started);
            // While the breaker is open, the cause that opened it stays the reported one.
            if outcome.cause() != Some(FailureReason::BreakerOpen) {
                self.health.store.report(StorePart::Record, outcome.cause(), started);
            }
            for part in [StorePart::BlockList, StorePart::Nonce, StorePart::Velocity] {
                // A sign-in without a nonce does not show whether nonces can be written.
                if part == StorePart::Nonce && history.nonce == NonceStatus::New && sign_in.context.nonce.is_none() {
                    continue;
                }
                self.health.store.report(part, history.unread.cause(part), started);
            }
        }
        HistoryLookup { history, attempt, outcome, took: started.elapsed() }
    }

    /// The history when the store fails. The cached block list still applies.
    fn history_without_record(
        &self,
        repository: &HistoryRepository,
        sign_in: &SignIn,
        asn: Option<u32>,
        cause: FailureReason,
    ) -> (History, Option<Box<PendingAttempt>>, Outcome) {
        let history = catch_panic_sync(&self.health, || repository.history_without_record(sign_in, asn, cause)).unwrap_or_default();
        (history, None, Outcome::Failed(cause))
    }

    /// Begins the sign-in in the repository; a command only reads. Updates the circuit breaker by the result.
    async fn query_repository(
        &self,
        repository: &HistoryRepository,
        sign_in: &SignIn,
        networks: &NetworkFacts,
        features: &Features,
        hour: Option<u8>,
        deadline: Deadline,
    ) -> Result<(History, Option<Box<PendingAttempt>>), FailureReason> {
        let permit = self.breaker.admit(Instant::now()).ok_or(FailureReason::BreakerOpen)?;
        // Boxed, because every layer that takes a future by value copies it.
        let query = Box::pin(async {
            match self.runtime_mode {
                // A session is not another attempt.
                RuntimeMode::Lambda | RuntimeMode::Sidecar if sign_in.trigger != Trigger::Session => {
                    repository.begin_attempt(sign_in, networks, features, hour).await.map(|(history, attempt)| (history, Some(attempt)))
                }
                RuntimeMode::Lambda | RuntimeMode::Sidecar | RuntimeMode::Command => {
                    repository.read_history(sign_in, networks, features).await.map(|history| (history, None))
                }
            }
        });
        let result = match catch_panic(&self.health, deadline.run(query)).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(FailureReason::Timeout),
            Err(_) => Err(FailureReason::Panic),
        };
        match &result {
            // An unreadable record affects only one user and does not show that the store fails.
            Ok(_) | Err(FailureReason::BadAnswer | FailureReason::TooLarge | FailureReason::Panic) => self.breaker.succeed(permit),
            Err(_) => self.breaker.fail(permit, Instant::now()),
        }
        result
    }

    /// The history repository; `None` when no store is configured.
    pub fn repository(&self) -> Option<Arc<HistoryRepository>> {
        self.keyed_resources.load().repository.clone()
    }

    /// The longest wait for the store, `STORE_TIMEOUT`.
    pub fn store_timeout(&self) -> Duration {
        self.store_timeout
    }

    /// The trusted certificate authorities, for clients of other services.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The pseudonyms that replace users, networks and devices in stored and logged data.
    pub fn pseudonyms(&self) -> Arc<Pseudonyms> {
        Arc::clone(&self.keyed_resources.load().pseudonyms)
    }

    /// The health counters and states.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

/// The evidence about a sign-in, and the attempt that enrichment recorded.
#[derive(Debug)]
pub struct Enriched {
    /// The evidence about the sign-in.
    pub evidence: Box<Evidence>,
    /// The recorded attempt, which the decision completes; `None` when nothing was recorded.
    pub attempt: Option<Box<PendingAttempt>>,
    /// The scale of the pool; `None` if it has none.
    pub scale: Option<Arc<PoolScale>>,
}
