//! Secrets that are kept elsewhere: asked for at start, again where one is missing or refused, and every five minutes in case they were rotated.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[cfg(feature = "secrets")]
use std::sync::Arc;
#[cfg(feature = "secrets")]
use tokio::task::JoinHandle;
use tokio::{sync::Semaphore, time::Instant};

#[cfg(feature = "secrets")]
use crate::evidence::{
    Face,
    provider::{Client, Tls},
    vault::{Had, Vaults},
};
use crate::{
    config::{
        Config,
        env::{Fault, Strings},
        references::{Reference, Resolved, Values},
        services::Service,
    },
    event::Now,
    evidence::{
        Cause,
        health::{AccountFault, Health},
    },
};

/// Longest wait for secrets at start and before a sign-in, in all.
pub const WAIT: Duration = Duration::from_millis(500);

/// Longest time to connect to a vault.
#[cfg(feature = "secrets")]
const CONNECT: Duration = Duration::from_secs(5);

/// Longest time to fetch secrets, behind whoever waits for them; then the next call begins anew.
#[cfg(feature = "secrets")]
const FETCH: Duration = Duration::from_secs(10);

/// How old secrets may be: a rotated one is in force after that at the latest.
const AGE: Duration = Duration::from_secs(300);

/// How soon they are asked for again when one of them is missing, after the first time that this was tried at once.
const AGAIN: Duration = Duration::from_secs(10);

/// How soon a key that its service refuses is asked for again: it may have been rotated.
const REFUSED: Duration = Duration::from_secs(30);

/// The secrets that variables refer to.
pub struct Secrets {
    source: Box<dyn Strings + Send + Sync>,
    references: Vec<(&'static str, Reference)>,
    #[cfg(feature = "secrets")]
    vaults: Arc<Vaults>,
    /// A fetch that took longer than its caller may wait; its answers are taken up by the next one.
    #[cfg(feature = "secrets")]
    fetch: Mutex<Option<JoinHandle<Vec<Had>>>>,
    /// One asks at a time.
    turn: Semaphore,
    kept: Mutex<Kept>,
}

/// Why secrets are to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// One was never had, or its service refuses it: what comes next has use for it.
    Missing,
    /// They may have been rotated.
    Old,
}

/// Whether asking has brought anything new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Other values than before.
    Changed,
    /// Nothing.
    None,
}

#[derive(Default)]
struct Kept {
    values: Values,
    causes: BTreeMap<Reference, Cause>,
    asked: Option<Now>,
    /// How often in a row not all of them could be had.
    misses: u32,
}

// === impl Secrets ===

impl Secrets {
    /// The secrets that variables refer to; nothing is asked for yet.
    pub fn named_by(source: impl Strings + Send + Sync + 'static) -> Self {
        Secrets {
            references: Reference::all(&source),
            source: Box::new(source),
            #[cfg(feature = "secrets")]
            vaults: Arc::new(Vaults::new(Client::new(CONNECT, Face::Lambda, Tls::default()))),
            #[cfg(feature = "secrets")]
            fetch: Mutex::default(),
            turn: Semaphore::new(1),
            kept: Mutex::default(),
        }
    }

    /// The same, asked for in vaults of the caller's own.
    #[cfg(feature = "secrets")]
    pub fn from_vaults(self, vaults: Vaults) -> Self {
        Secrets { vaults: Arc::new(vaults), ..self }
    }

    /// The configuration with the secrets that were had; those that were not are awaited.
    pub fn read(&self) -> (Config, Vec<Fault>) {
        Config::read(&Resolved::new(&*self.source, &self.kept().values))
    }

    /// Every secret variable that is kept elsewhere, and why its newest value could not be had.
    pub fn causes(&self) -> Vec<(&'static str, Option<Cause>)> {
        let kept = self.kept();
        self.references.iter().map(|(name, reference)| (*name, kept.causes.get(reference).copied())).collect()
    }

    /// Why secrets are to be asked for now, if they are.
    pub fn need(&self, now: Now, health: &Health) -> Option<Need> {
        if self.references.is_empty() {
            return None;
        }
        let kept = self.kept();
        let Some(asked) = kept.asked else { return Some(Need::Missing) };
        if self.has_answers() {
            return Some(Need::Missing);
        }
        let age = age(asked, now);
        let is_missing = self.references.iter().any(|(_, reference)| !kept.values.contains_key(reference));
        let is_refused = || Service::ALL.iter().any(|service| self.refers(service.secret_variable()) && is_refused(health, *service));
        if is_missing && (kept.misses < 2 || age >= AGAIN) || age >= REFUSED && is_refused() { Some(Need::Missing) } else { (age >= AGE).then_some(Need::Old) }
    }

    /// Asks for all of them at once, for no longer than `wait`. What cannot be had stays as it was.
    pub async fn ask(&self, wait: Duration, now: Now) -> News {
        let Ok(_turn) = self.turn.try_acquire() else { return News::None };
        if self.references.is_empty() {
            return News::None;
        }
        let found = self.answers(wait, now).await;
        let mut kept = self.kept();
        kept.asked = Some(now);
        kept.causes = self.references.iter().map(|(_, reference)| (reference.clone(), Cause::Timeout)).collect();
        let mut news = News::None;
        for (reference, answer) in found {
            match answer {
                Ok(value) => {
                    use secrecy::ExposeSecret as _;
                    kept.causes.remove(&reference);
                    let old = kept.values.insert(reference, value.clone());
                    if old.is_none_or(|old| old.expose_secret() != value.expose_secret()) {
                        news = News::Changed;
                    }
                }
                Err(cause) => {
                    kept.causes.insert(reference, cause);
                }
            }
        }
        kept.misses = if kept.causes.is_empty() { 0 } else { kept.misses.saturating_add(1) };
        news
    }

    /// What the vaults answer within `wait`. A slower answer is not given up: it serves the next call.
    #[cfg(feature = "secrets")]
    async fn answers(&self, wait: Duration, now: Now) -> Vec<Had> {
        let under_way = self.fetch.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut fetch = under_way.unwrap_or_else(|| {
            let references: Vec<Reference> = self.references.iter().map(|(_, reference)| reference.clone()).collect();
            let vaults = Arc::clone(&self.vaults);
            tokio::spawn(async move { tokio::time::timeout(FETCH, vaults.ask(&references, now)).await.unwrap_or_default() })
        });
        match tokio::time::timeout(wait, &mut fetch).await {
            Ok(answers) => answers.unwrap_or_default(),
            Err(_) => {
                *self.fetch.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetch);
                Vec::new()
            }
        }
    }

    /// Whether a slow fetch has ended.
    #[cfg(feature = "secrets")]
    fn has_answers(&self) -> bool {
        self.fetch.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// What the operator has to correct before secrets can be fetched, if that is known.
    #[cfg(feature = "secrets")]
    pub fn problem(&self) -> Option<String> {
        self.vaults.problem().map(|fault| fault.to_string())
    }

    #[cfg(not(feature = "secrets"))]
    fn has_answers(&self) -> bool {
        false
    }

    /// What the operator has to correct before secrets can be fetched, if that is known.
    #[cfg(not(feature = "secrets"))]
    pub fn problem(&self) -> Option<String> {
        None
    }

    /// A build that cannot ask refuses references as faults of the configuration.
    #[cfg(not(feature = "secrets"))]
    async fn answers(&self, _wait: Duration, _now: Now) -> Vec<(Reference, Result<secrecy::SecretString, Cause>)> {
        Vec::new()
    }

    fn refers(&self, variable: &str) -> bool {
        self.references.iter().any(|(name, _)| *name == variable)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Secrets").field(&self.references).finish()
    }
}

fn is_refused(health: &Health, service: Service) -> bool {
    health.service(service).fault() == Some(AccountFault::KeyRefused)
}

/// The greater of the times that passed by the two clocks: Lambda freezes the one, the other jumps.
fn age(since: Now, now: Now) -> Duration {
    let wall = Duration::try_from(now.wall.duration_since(since.wall)).unwrap_or_default();
    let mono: Instant = now.mono;
    mono.saturating_duration_since(since.mono).max(wall)
}
