//! Stage 2 of 6: SignIn -> Evidence.
//!
//! The result of enrichment: network facts, history, and the results of risk services. A failed look-up is recorded as its outcome,
//! so there is evidence for every sign-in. Enrichment itself does I/O and is in other crates.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::{service::Service, sign_in::SignIn};

pub mod history;

pub mod store_parts;

pub use crate::{evidence::history::History, features::Features, network_facts::NetworkFacts};

/// A sign-in with everything that was looked up, and the outcome of each look-up.
#[derive(Debug)]
pub struct Evidence {
    /// The sign-in.
    pub sign_in: Arc<SignIn>,
    /// Facts about the address from network databases.
    pub networks: NetworkFacts,
    /// The user's local time of day.
    pub local_time: LocalTime,
    /// Keyed hashes of its network and device, which are compared with the profile.
    pub features: Features,
    /// Whether the user agent is one of the profile with a higher version of the browser ([`crate::browser_update`]).
    pub is_browser_update: bool,
    /// What the store has for the user, the address and the blocks.
    pub history: History,
    /// The outcome of reading the user's record.
    pub history_outcome: Outcome,
    /// The result of each configured service, in the order of `PROVIDERS`.
    pub services: SmallVec<[ProviderResult; 2]>,
    /// How long enrichment took.
    pub took: EnrichmentTimings,
}

/// The user's local time of day, by the claimed time zone and the address's country.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalTime {
    /// The hour, 0 to 23; from the claimed zone, else from the address's country.
    pub hour: Option<u8>,
    /// Whether a time zone of the address's country, or of a neighbour, has the same time as the claimed zone; `None` if unknown.
    pub zone_fits: Option<bool>,
}

/// How long enrichment took.
#[derive(Debug, Clone, Copy, Default)]
pub struct EnrichmentTimings {
    /// The network look-ups.
    pub networks: Duration,
    /// Reading the store; zero if it was not queried.
    pub history: Duration,
    /// The complete stage.
    pub total: Duration,
}

/// The result of one risk service.
#[derive(Debug, Clone)]
pub struct ProviderResult {
    /// The service.
    pub service: Service,
    /// The outcome of the call.
    pub outcome: Outcome,
    /// The answer; present if the outcome is usable and not `Negative`.
    pub answer: Option<Arc<Answer>>,
    /// Factor of its evidence (`<NAME>_WEIGHT`). At 0 it is only observed.
    pub weight: f64,
    /// The cache tier that answered, if any.
    pub tier: Option<Tier>,
    /// How long the look-up took, including queueing.
    pub took: Duration,
    /// Set if it answered from a block list that could not be refreshed. A stale score is not reported as degraded.
    pub outdated: Option<Outdated>,
}

/// A service's block list that could not be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outdated {
    /// Why the refresh failed.
    pub cause: FailureReason,
    /// The time since the last successful refresh.
    pub age: Duration,
}

/// A service's answer about an address.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The service's assessment.
    pub risk: Risk,
    /// The service's reason codes for the audit line: at most 16, of at most 64 bytes each.
    pub codes: SmallVec<[SmolStr; 4]>,
    /// When the answer expires according to the service; `None` if the service does not state it.
    pub expiry: Option<Box<Expiry>>,
}

/// The expiry of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Expiry {
    /// The time from the call to the expiry.
    pub after: Duration,
    /// The answer that applies from then on, until it expires as well.
    pub then: Option<Answer>,
}

/// A service's assessment of an address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Risk {
    /// A score from 0 to 100 on riskgate's scale. Without other evidence it is the sign-in's score.
    Score(f64),
    /// The service knows the address and reports nothing against it. This has no effect.
    Neutral,
    /// Deny the address (a CrowdSec `ban`).
    Ban,
    /// Review the sign-in (a CrowdSec `captcha`).
    Review,
}

/// A cache tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// This process's memory.
    Memory,
    /// The store that all processes share.
    Store,
}

/// The outcome of a look-up; the values of an Assessment's `evidence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered by the service or store.
    Fresh,
    /// From a cache, not expired.
    Hit,
    /// From a cache, expired, because the service failed.
    Stale,
    /// The service does not know the address.
    Negative,
    /// Not called: not configured, or no public address.
    NotCalled,
    /// No usable answer.
    Failed(FailureReason),
}

/// Why a look-up failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureReason {
    /// The deadline passed.
    Timeout,
    /// No connection: refused, unreachable, or the name does not resolve.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The connection broke.
    Reset,
    /// A 4xx response without a more specific reason.
    Http4xx,
    /// A 5xx response.
    Http5xx,
    /// The service limits the rate of calls.
    RateLimited,
    /// The service rejects the key: a configuration error.
    KeyRefused,
    /// The service account has no credit left: a configuration error.
    NoCredit,
    /// The response does not have the documented format.
    BadAnswer,
    /// The response is larger than 64 KiB.
    TooLarge,
    /// A redirect, which is not followed.
    Redirect,
    /// The name resolves only to addresses that riskgate never calls (see [`crate::refused_ip`]).
    AddressRefused,
    /// Not called, because the circuit breaker is open after recent failures.
    BreakerOpen,
    /// Not called, because too many calls are waiting.
    Shed,
    /// Not called, because the daily quota is used up.
    OverQuota,
    /// The store could not be reached.
    NoStore,
    /// There are no AWS credentials or no region to sign the call: a configuration error.
    NoCredentials,
    /// The calling code panicked.
    Panic,
}

impl Evidence {
    /// Whether the context may lower the score: it is trusted, and a replay is ruled out.
    pub fn is_trusted(&self) -> bool {
        self.history.nonce.is_trusted_with(&self.sign_in.context)
    }

    /// The evidence for a sign-in whose evaluation panicked. The caller passes the network facts that the lists need, and the block
    /// and nonce status of the history. The sign-in is degraded: it is not learned from, and tokens are restricted.
    pub fn after_panic(sign_in: Arc<SignIn>, networks: NetworkFacts, history: History) -> Self {
        Evidence { networks, history, history_outcome: Outcome::Failed(FailureReason::Panic), ..Evidence::of(sign_in) }
    }

    /// The evidence before any look-up.
    pub fn of(sign_in: impl Into<Arc<SignIn>>) -> Self {
        Evidence {
            sign_in: sign_in.into(),
            networks: NetworkFacts::default(),
            local_time: LocalTime::default(),
            features: Features::default(),
            is_browser_update: false,
            history: History::default(),
            history_outcome: Outcome::NotCalled,
            services: SmallVec::new(),
            took: EnrichmentTimings::default(),
        }
    }
}

impl ProviderResult {
    /// A service's answer to this sign-in, with full weight.
    pub fn fresh(service: Service, answer: Answer) -> Self {
        let (outcome, answer) = (Outcome::Fresh, Some(Arc::new(answer)));
        ProviderResult { service, outcome, answer, weight: 1.0, tier: None, took: Duration::ZERO, outdated: None }
    }

    /// Why the result makes the sign-in degraded: the answer is missing, or the block list is outdated.
    pub fn degraded(&self) -> Option<FailureReason> {
        self.outcome.cause().or(self.outdated.map(|outdated| outdated.cause))
    }
}

impl Answer {
    /// An answer that does not expire.
    pub fn new(risk: Risk, codes: SmallVec<[SmolStr; 4]>) -> Self {
        Answer { risk, codes, expiry: None }
    }

    /// Whether the answer has expired at an age. Another answer may apply from then on.
    pub fn is_expired(&self, age: Duration) -> bool {
        self.expiry.as_ref().is_some_and(|expiry| age >= expiry.after)
    }

    /// The answer that applies at an age, if any.
    pub fn at(self: Arc<Self>, age: Duration) -> Option<Arc<Self>> {
        if self.is_expired(age) { Arc::new(Arc::unwrap_or_clone(self).expiry?.then?).at(age) } else { Some(self) }
    }
}

impl Outcome {
    /// The label in metrics and in an Assessment's `evidence`.
    pub fn as_label(self) -> &'static str {
        match self {
            Outcome::Fresh => "fresh",
            Outcome::Hit => "hit",
            Outcome::Stale => "stale",
            Outcome::Negative => "negative",
            Outcome::NotCalled => "not_asked",
            Outcome::Failed(cause) => cause.as_label(),
        }
    }

    /// Whether there is an answer, including that the service does not know the address.
    pub fn is_usable(self) -> bool {
        match self {
            Outcome::Fresh | Outcome::Hit | Outcome::Stale | Outcome::Negative => true,
            Outcome::NotCalled | Outcome::Failed(_) => false,
        }
    }

    /// Why the look-up failed; `None` if it did not fail.
    pub fn cause(self) -> Option<FailureReason> {
        match self {
            Outcome::Failed(cause) => Some(cause),
            Outcome::Fresh | Outcome::Hit | Outcome::Stale | Outcome::Negative | Outcome::NotCalled => None,
        }
    }
}

labels!(Tier, "The label of `riskgate_cache_requests_total{tier}`.", {
    Memory "memory"
    Store "store"
});

labels!(FailureReason, "The label in metrics and responses.", {
    Timeout "timeout"
    Connect "connect"
    Tls "tls"
    Reset "reset"
    Http4xx "http_4xx"
    Http5xx "http_5xx"
    RateLimited "rate_limited"
    KeyRefused "key_refused"
    NoCredit "no_credit"
    BadAnswer "bad_answer"
    TooLarge "too_large"
    Redirect "redirect"
    AddressRefused "address_refused"
    BreakerOpen "breaker_open"
    Shed "shed"
    OverQuota "over_quota"
    NoStore "no_store"
    NoCredentials "no_credentials"
    Panic "panic"
});
