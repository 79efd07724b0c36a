//! Stage 2 of 6: SignIn -> Evidence.
//!
//! The only stage that waits. Networks are looked up in memory; history and the outside services
//! are asked at the same time, each under the sign-in's one deadline. Past `resilience::rescue`
//! nothing can fail: an outage changes what Evidence says, never whether there is one.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::{config::services::Service, event::SignIn};

#[cfg(feature = "aws")]
pub mod aws;

pub mod features;

pub mod health;

pub mod history;

pub mod local_time;

pub mod network_facts;

pub mod networks;

pub mod provider;

pub mod resilience;

pub mod sharing;

pub mod sources;

mod standing;

#[cfg(feature = "secrets")]
pub mod vault;

pub use self::{
    features::Features,
    history::{History, Ticket},
    network_facts::NetworkFacts,
    resilience::Face,
    sources::Sources,
};

/// What is known of a sign-in, and how each part came to be known.
#[derive(Debug)]
pub struct Evidence {
    /// The sign-in.
    pub sign_in: Arc<SignIn>,
    /// Where its address is, and what kind of network that is.
    pub networks: NetworkFacts,
    /// The time of day where the person is.
    pub local_time: LocalTime,
    /// Its network and device, as keyed hashes that a history can be held against.
    pub features: Features,
    /// What the store knows of the person, the address and the blocks.
    pub history: History,
    /// How the store answered.
    pub history_outcome: Outcome,
    /// What each configured service said, in the order of `PROVIDERS`.
    pub services: SmallVec<[Consultation; 2]>,
    /// What the waiting cost.
    pub took: Waits,
}

/// What enrichment found of a sign-in, and the attempt that it recorded.
#[derive(Debug)]
pub struct Enriched {
    /// What is known of the sign-in.
    pub evidence: Box<Evidence>,
    /// The recorded attempt, which the decision completes; `None` where nothing was recorded.
    pub attempt: Option<Box<Ticket>>,
}

/// The time of day where the person is, by the claimed zone and the address's country.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalTime {
    /// The hour, 0 to 23; from the claimed zone, else from the address's country.
    pub hour: Option<u8>,
    /// Whether a clock in the address's country, or in a neighbour, shows the time of the claimed zone.
    pub zone_fits: Option<bool>,
}

/// How long stage 2 took, in all and for the store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waits {
    /// The network look-ups.
    pub networks: Duration,
    /// The store; zero when it was not asked.
    pub history: Duration,
    /// The whole stage.
    pub total: Duration,
}

/// One service's part.
#[derive(Debug, Clone)]
pub struct Consultation {
    /// Which service.
    pub service: Service,
    /// How it ended.
    pub outcome: Outcome,
    /// What it said; present when the outcome is usable and not `Negative`.
    pub answer: Option<Answer>,
    /// Multiplies its evidence (`<NAME>_WEIGHT`).
    pub weight: f64,
    /// Which cache tier answered, where one did.
    pub tier: Option<Tier>,
    /// How long it took, queueing included.
    pub took: Duration,
    /// Why the decisions that it answered with could not be renewed. Decisions are a block list, so they are reported; a stale score is not.
    pub outdated: Option<Outdated>,
}

/// Decisions of a service that could not be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outdated {
    /// Why they could not.
    pub cause: Cause,
    /// How long ago they were read.
    pub age: Duration,
}

/// What a service said of an address.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its judgement.
    pub risk: Risk,
    /// Its own reason codes, at most 16 of at most 64 bytes, for the audit line.
    pub codes: SmallVec<[SmolStr; 4]>,
    /// When it ends by the service's own word; `None` where the service says nothing.
    pub expiry: Option<Box<Expiry>>,
}

/// The end of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Expiry {
    /// How long after the service was asked.
    pub after: Duration,
    /// What holds from then on, until it ends as well.
    pub then: Option<Answer>,
}

/// A service's judgement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Risk {
    /// A score from 0 to 100 on riskgate's own scale: alone, it is the sign-in's score.
    Score(f64),
    /// It knows the address and holds nothing against it, which speaks neither way.
    Neutral,
    /// A deny-list hit (a CrowdSec `ban`).
    Ban,
    /// To be reviewed (a CrowdSec `captcha`).
    Review,
}

/// Which cache answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// This process's memory.
    Memory,
    /// The shared store.
    Store,
}

/// How asking ended; the values of an Assessment's `evidence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered now.
    Fresh,
    /// From a cache, within its time.
    Hit,
    /// From a cache, past its time, because the service failed.
    Stale,
    /// Known to be unknown to the service.
    Negative,
    /// Not due: nothing configured, or no public address to ask about.
    NotAsked,
    /// No usable answer.
    Failed(Cause),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// Its time ran out.
    Timeout,
    /// No connection: refused, unreachable, no such name.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The connection broke.
    Reset,
    /// A 4xx answer of no other cause.
    Http4xx,
    /// A 5xx answer.
    Http5xx,
    /// The service says that it is asked too often.
    RateLimited,
    /// The service refuses the key: a configuration fault.
    KeyRefused,
    /// The account has no credit left: a configuration fault.
    NoCredit,
    /// The answer is not what the format promises.
    BadAnswer,
    /// The answer is larger than 64 KiB.
    TooLarge,
    /// A redirect, which is not followed.
    Redirect,
    /// The name has only addresses that riskgate never calls: link-local ones and metadata services.
    AddressRefused,
    /// Not asked, because it failed too often of late.
    BreakerOpen,
    /// Not asked, because too many calls wait already.
    Shed,
    /// Not asked, because the day's calls are used up.
    OverQuota,
    /// The store could not be reached.
    NoStore,
    /// There are no credentials to sign a call with, or no region: a configuration fault.
    NoCredentials,
    /// The code that asked panicked.
    Panic,
}

// === impl Evidence ===

impl Evidence {
    /// Whether claims may lower the score: they are believed, and their context was not used before by another sign-in.
    pub fn is_believed(&self) -> bool {
        self.history.nonce.believes(&self.sign_in.context)
    }

    /// What is left of a sign-in whose judging panicked: who it was, what the operator's lists need of its network, and of its history what an operator has decided and whether its
    /// nonce was replayed. The decision is recorded as degraded: nothing is learned from it, and tokens are held back.
    pub fn after_panic(sign_in: Arc<SignIn>, networks: NetworkFacts, history: History) -> Self {
        Evidence {
            sign_in,
            networks,
            local_time: LocalTime::default(),
            features: Features::default(),
            history,
            history_outcome: Outcome::Failed(Cause::Panic),
            services: SmallVec::new(),
            took: Waits::default(),
        }
    }
}

// === impl Consultation ===

impl Consultation {
    /// Why an answer is missing, or outdated where that matters.
    pub fn degraded(&self) -> Option<Cause> {
        self.outcome.cause().or(self.outdated.map(|outdated| outdated.cause))
    }
}

// === impl Answer ===

impl Answer {
    /// An answer without an end.
    pub fn new(risk: Risk, codes: SmallVec<[SmolStr; 4]>) -> Self {
        Answer { risk, codes, expiry: None }
    }

    /// Whether it has ended at an age; something else may hold from then on.
    pub fn has_ended(&self, age: Duration) -> bool {
        self.expiry.as_ref().is_some_and(|expiry| age >= expiry.after)
    }

    /// What of it holds at an age.
    pub fn at(self, age: Duration) -> Option<Self> {
        if self.has_ended(age) { self.expiry?.then?.at(age) } else { Some(self) }
    }
}

// === impl Outcome ===

impl Outcome {
    /// The label in metrics and in an Assessment's `evidence`.
    pub fn as_label(self) -> &'static str {
        match self {
            Outcome::Fresh => "fresh",
            Outcome::Hit => "hit",
            Outcome::Stale => "stale",
            Outcome::Negative => "negative",
            Outcome::NotAsked => "not_asked",
            Outcome::Failed(cause) => cause.as_label(),
        }
    }

    /// Whether it carries an answer, "nothing known" included.
    pub fn is_usable(self) -> bool {
        match self {
            Outcome::Fresh | Outcome::Hit | Outcome::Stale | Outcome::Negative => true,
            Outcome::NotAsked | Outcome::Failed(_) => false,
        }
    }

    /// Why it failed, if it did.
    pub fn cause(self) -> Option<Cause> {
        match self {
            Outcome::Failed(cause) => Some(cause),
            Outcome::Fresh | Outcome::Hit | Outcome::Stale | Outcome::Negative | Outcome::NotAsked => None,
        }
    }
}

// === impl Tier ===

impl Tier {
    /// Every tier.
    pub const ALL: [Tier; 2] = [Tier::Memory, Tier::Store];

    /// The label of `riskgate_cache_requests_total{tier}`.
    pub fn as_label(self) -> &'static str {
        match self {
            Tier::Memory => "memory",
            Tier::Store => "store",
        }
    }
}

// === impl Cause ===

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 19] = [
        Cause::Timeout,
        Cause::Connect,
        Cause::Tls,
        Cause::Reset,
        Cause::Http4xx,
        Cause::Http5xx,
        Cause::RateLimited,
        Cause::KeyRefused,
        Cause::NoCredit,
        Cause::BadAnswer,
        Cause::TooLarge,
        Cause::Redirect,
        Cause::AddressRefused,
        Cause::BreakerOpen,
        Cause::Shed,
        Cause::OverQuota,
        Cause::NoStore,
        Cause::NoCredentials,
        Cause::Panic,
    ];

    /// The label in metrics and answers.
    pub fn as_label(self) -> &'static str {
        match self {
            Cause::Timeout => "timeout",
            Cause::Connect => "connect",
            Cause::Tls => "tls",
            Cause::Reset => "reset",
            Cause::Http4xx => "http_4xx",
            Cause::Http5xx => "http_5xx",
            Cause::RateLimited => "rate_limited",
            Cause::KeyRefused => "key_refused",
            Cause::NoCredit => "no_credit",
            Cause::BadAnswer => "bad_answer",
            Cause::TooLarge => "too_large",
            Cause::Redirect => "redirect",
            Cause::AddressRefused => "address_refused",
            Cause::BreakerOpen => "breaker_open",
            Cause::Shed => "shed",
            Cause::OverQuota => "over_quota",
            Cause::NoStore => "no_store",
            Cause::NoCredentials => "no_credentials",
            Cause::Panic => "panic",
        }
    }
}
