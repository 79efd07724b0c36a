//! Secrets that variables reference. They are fetched at start, again when one is missing or rejected, and every five minutes in case they were rotated.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[cfg(feature = "secrets")]
use std::sync::Arc;
use tokio::sync::Semaphore;
#[cfg(feature = "secrets")]
use tokio::task::JoinHandle;

#[cfg(feature = "secrets")]
use riskgate_aws::secrets::{ResolvedSecret, SecretsClient};
use riskgate_config::{
    Config,
    env::{
        ConfigError, EnvSource,
        secret_references::{Reference, ResolvedEnv, SecretValues},
    },
};
use riskgate_engine::{evidence::FailureReason, service::Service, time::ClockReading};
#[cfg(feature = "secrets")]
use riskgate_http_client::{Client, Tls};
use riskgate_runtime::health::{AccountFault, Health};
#[cfg(feature = "secrets")]
use riskgate_runtime::mode::RuntimeMode;

/// Longest wait for all secrets, at start and before a sign-in.
pub const WAIT_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest time to connect to a secrets service.
#[cfg(feature = "secrets")]
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time of a fetch in the background. After that, the next call starts a new one.
#[cfg(feature = "secrets")]
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest age of the secrets. A rotated secret is used after this time at the latest.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Shortest interval between fetches while a secret is missing. The first retry is immediate.
const MISSING_INTERVAL: Duration = Duration::from_secs(10);

/// Shortest interval between fetches while a service rejects its key, which may have been rotated.
const REFUSED_INTERVAL: Duration = Duration::from_secs(30);

/// The secrets that variables refer to.
pub struct Secrets {
    source: Box<dyn EnvSource + Send + Sync>,
    references: Vec<(&'static str, Reference)>,
    #[cfg(feature = "secrets")]
    secrets_client: Arc<SecretsClient>,
    /// A fetch that took longer than its caller could wait. The next call uses its result.
    #[cfg(feature = "secrets")]
    fetch: Mutex<Option<JoinHandle<Vec<ResolvedSecret>>>>,
    /// Limits fetches to one at a time.
    fetch_permit: Semaphore,
    state: Mutex<State>,
}

/// Why a renewal of the secrets is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalReason {
    /// A secret was never fetched, or its service rejects it. The next sign-in may need it.
    Missing,
    /// The secrets are old and may have been rotated.
    Stale,
}

/// The result of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalResult {
    /// At least one value has changed.
    Changed,
    /// No value has changed.
    Unchanged,
}

/// The fetched values and the failures of the last fetch.
#[derive(Default)]
struct State {
    values: SecretValues,
    failures: BTreeMap<Reference, FailureReason>,
    last_fetch: Option<ClockReading>,
    /// Consecutive fetches with at least one failure.
    consecutive_failures: u32,
}

impl Secrets {
    /// Finds the variables that reference secrets. Nothing is fetched yet.
    pub fn new(source: impl EnvSource + Send + Sync + 'static) -> Self {
        Secrets {
            references: Reference::all(&source),
            source: Box::new(source),
            #[cfg(feature = "secrets")]
            secrets_client: Arc::new(SecretsClient::new(Client::new(CONNECT_TIMEOUT, RuntimeMode::Lambda, Tls::default()))),
            #[cfg(feature = "secrets")]
            fetch: Mutex::default(),
            fetch_permit: Semaphore::new(1),
            state: Mutex::default(),
        }
    }

    /// The same secrets, fetched with a given client.
    #[cfg(feature = "secrets")]
    pub fn with_client(self, secrets_client: SecretsClient) -> Self {
        Secrets { secrets_client: Arc::new(secrets_client), ..self }
    }

    /// Reads the configuration with the fetched secrets. The others are marked as pending.
    pub fn read_config(&self) -> (Config, Vec<ConfigError>) {
        Config::read(&ResolvedEnv::new(&*self.source, &self.state().values))
    }

    /// The variables that reference a secret, each with the reason why its newest value could not be fetched.
    pub fn failures(&self) -> Vec<(&'static str, Option<FailureReason>)> {
        let state = self.state();
        self.references.iter().map(|(name, reference)| (*name, state.failures.get(reference).copied())).collect()
    }

    /// The reason for a renewal that is due now, if any.
    pub fn due_renewal(&self, now: ClockReading, health: &Health) -> Option<RenewalReason> {
        if self.references.is_empty() {
            return None;
        }
        let state = self.state();
        let Some(last_fetch) = state.last_fetch else { return Some(RenewalReason::Missing) };
        if self.is_fetch_finished() {
            return Some(RenewalReason::Missing);
        }
        let age = now.since(last_fetch);
        let is_missing = self.references.iter().any(|(_, reference)| !state.values.contains_key(reference));
        let is_refused = || Service::ALL.iter().any(|service| self.is_referenced(service.secret_variable()) && is_key_refused(health, *service));
        if is_missing && (state.consecutive_failures < 2 || age >= MISSING_INTERVAL) || age >= REFUSED_INTERVAL && is_refused() {
            Some(RenewalReason::Missing)
        } else {
            (age >= MAX_AGE).then_some(RenewalReason::Stale)
        }
    }

    /// Fetches all secrets concurrently, for at most `wait`. A secret that cannot be fetched keeps its previous value.
    pub async fn fetch(&self, wait: Duration, now: ClockReading) -> RenewalResult {
        let Ok(_permit) = self.fetch_permit.try_acquire() else { return RenewalResult::Unchanged };
        if self.references.is_empty() {
            return RenewalResult::Unchanged;
        }
        let fetched = self.fetch_values(wait, now).await;
        let mut state = self.state();
        state.last_fetch = Some(now);
        state.failures = self.references.iter().map(|(_, reference)| (reference.clone(), FailureReason::Timeout)).collect();
        let mut result = RenewalResult::Unchanged;
        for (reference, value) in fetched {
            match value {
                Ok(value) => {
                    use secrecy::ExposeSecret as _;
                    state.failures.remove(&reference);
                    let old = state.values.insert(reference, value.clone());
                    if old.is_none_or(|old| old.expose_secret() != value.expose_secret()) {
                        result = RenewalResult::Changed;
                    }
                }
                Err(cause) => {
                    state.failures.insert(reference, cause);
                }
            }
        }
        state.consecutive_failures = if state.failures.is_empty() { 0 } else { state.consecutive_failures.saturating_add(1) };
        result
    }

    /// Fetches the values, for at most `wait`. A slower fetch continues, and the next call uses its result.
    #[cfg(feature = "secrets")]
    async fn fetch_values(&self, wait: Duration, now: ClockReading) -> Vec<ResolvedSecret> {
        let pending = self.fetch.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut fetch = pending.unwrap_or_else(|| {
            let references: Vec<Reference> = self.references.iter().map(|(_, reference)| reference.clone()).collect();
            let secrets_client = Arc::clone(&self.secrets_client);
            tokio::spawn(async move { tokio::time::timeout(FETCH_TIMEOUT, secrets_client.fetch(&references, now)).await.unwrap_or_default() })
        });
        match tokio::time::timeout(wait, &mut fetch).await {
            Ok(values) => values.unwrap_or_default(),
            Err(_) => {
                *self.fetch.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetch);
                Vec::new()
            }
        }
    }

    /// Whether a slow fetch in the background has finished.
    #[cfg(feature = "secrets")]
    fn is_fetch_finished(&self) -> bool {
        self.fetch.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// What the operator must fix before secrets can be fetched, if known.
    #[cfg(feature = "secrets")]
    pub fn problem(&self) -> Option<String> {
        self.secrets_client.problem().map(|fault| fault.to_string())
    }

    #[cfg(not(feature = "secrets"))]
    fn is_fetch_finished(&self) -> bool {
        false
    }

    /// What the operator must fix before secrets can be fetched, if known.
    #[cfg(not(feature = "secrets"))]
    pub fn problem(&self) -> Option<String> {
        None
    }

    /// A build without this feature rejects references as configuration errors, so there is nothing to fetch.
    #[cfg(not(feature = "secrets"))]
    async fn fetch_values(&self, _wait: Duration, _now: ClockReading) -> Vec<(Reference, Result<secrecy::SecretString, FailureReason>)> {
        Vec::new()
    }

    fn is_referenced(&self, variable: &str) -> bool {
        self.references.iter().any(|(name, _)| *name == variable)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Secrets").field(&self.references).finish()
    }
}

fn is_key_refused(health: &Health, service: Service) -> bool {
    health.service(service).fault() == Some(AccountFault::KeyRefused)
}
