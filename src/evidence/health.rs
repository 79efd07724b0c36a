//! What happens off the path, in atomics: read by `/metrics`, EMF and `/readyz`.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{Cause, Tier, history::unread::Part, sharing::Sharing};
use crate::config::services::Service;

use super::networks::source::Source;

/// Counters and states of what happens off the path.
#[derive(Debug, Default)]
pub struct Health {
    /// Faults in the configuration in force.
    pub config_faults: AtomicU64,
    /// Secrets kept elsewhere whose newest value could not be had.
    pub secrets_missing: AtomicU64,
    /// mmdb files that could not be read when they changed; the old one stayed.
    pub networks_refused: AtomicU64,
    /// mmdb files whose newest version could not be read; the one before it, or the bundled database, is in force.
    pub networks_outdated: AtomicU64,
    /// Records of the operator's mmdb files that could not be decoded; the bundled database answered instead.
    pub networks_undecodable: AtomicU64,
    /// When each database in force was built, seconds since 1970, by `Source`; 0 where there is none.
    pub networks_built: [AtomicU64; Source::ALL.len()],
    /// Stage panics that were turned into answers.
    pub panics: AtomicU64,
    /// What could not be read from the store, or written to it.
    pub store: StoreHealth,
    /// Addresses and device ids that many users share.
    pub sharing: Sharing,
    /// What the caches before the services did, by `Tier` and `CacheResult`.
    cache: [[AtomicU64; CacheResult::ALL.len()]; Tier::ALL.len()],
    /// One for each service that riskgate knows, asked or not.
    services: [ServiceHealth; Service::ALL.len()],
}

/// What could not be read from the store, or written to it, by `Part`.
#[derive(Debug, Default)]
pub struct StoreHealth {
    parts: [StorePart; Part::ALL.len()],
    /// When the list of blocks was last read, seconds since 1970; 0 before the first time.
    block_list_read: AtomicU64,
    opened: OnceLock<Instant>,
}

#[derive(Debug, Default)]
struct StorePart {
    failures: AtomicU64,
    /// The last cause: its place in `Cause::ALL`, from one on; 0 while the part is read.
    cause: AtomicU8,
    /// The minute, from one on, in which a line was last logged.
    logged: AtomicU64,
}

/// What happens between riskgate and one service.
#[derive(Debug, Default)]
pub struct ServiceHealth {
    /// Requests sent, retries included.
    pub calls: AtomicU64,
    /// Second attempts, each after a dead connection.
    pub retries: AtomicU64,
    /// How often the breaker opened.
    pub trips: AtomicU64,
    /// Questions not put because the day's calls are used up.
    pub over_quota: AtomicU64,
    /// Questions not put because too many wait already.
    pub shed: AtomicU64,
    breaker: AtomicU8,
    fault: AtomicU8,
    /// Why its decisions could not be read at the last try: a place in `Cause::ALL`, from one on; 0 where they were.
    unread: AtomicU8,
    /// Their age in seconds, from one on; 0 where none is in force.
    unread_age: AtomicU64,
}

/// What a cache did with a question; the label of `riskgate_cache_requests_total{result}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheResult {
    /// Answered within its time.
    Hit,
    /// Answered past its time.
    Stale,
    /// Answered "nothing known".
    Negative,
    /// Had nothing.
    Miss,
    /// Waited for another caller's question.
    Coalesced,
}

/// A breaker's state; the value of `riskgate_breaker_state{provider}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BreakerState {
    /// Questions go through.
    Closed = 0,
    /// One question tries whether the service is back.
    HalfOpen = 1,
    /// No question goes through.
    Open = 2,
}

/// What only the operator can correct about a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AccountFault {
    /// The service refuses the key.
    KeyRefused = 1,
    /// The account has no credit left.
    NoCredit = 2,
    /// The certificate is not believed, or no common version of TLS is spoken.
    Tls = 3,
    /// It redirects.
    Redirect = 4,
    /// Its name has only addresses that riskgate never calls.
    AddressRefused = 5,
}

// === impl Health ===

impl Health {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// One service's part.
    pub fn service(&self, service: Service) -> &ServiceHealth {
        &self.services[service as usize]
    }

    /// What one cache did how often.
    pub fn cache(&self, tier: Tier, result: CacheResult) -> &AtomicU64 {
        &self.cache[tier as usize][result as usize]
    }
}

// === impl StoreHealth ===

impl StoreHealth {
    /// Counts and logs a part that could not be read or written, each part at most once a minute; `None` for one that could.
    /// Returns whether a line was logged.
    pub fn report(&self, part: Part, cause: Option<Cause>, now: Instant) -> bool {
        let state = &self.parts[part as usize];
        let Some(cause) = cause else {
            if state.cause.load(Ordering::Relaxed) != 0 {
                state.cause.store(0, Ordering::Relaxed);
            }
            return false;
        };
        Health::count(&state.failures);
        state.cause.store(place(cause), Ordering::Relaxed);
        let minute = now.saturating_duration_since(*self.opened.get_or_init(|| now)).as_secs() / 60 + 1;
        let is_due = state.logged.swap(minute, Ordering::Relaxed) != minute;
        if is_due {
            tracing::warn!(
                part = part.as_label(),
                cause = cause.as_label(),
                "the store could not be read or written in part; further lines of this part are held back for a minute"
            );
        }
        is_due
    }

    /// When the list of blocks was last read, seconds since 1970; 0 before the first time.
    pub fn block_list_read(&self) -> u64 {
        self.block_list_read.load(Ordering::Relaxed)
    }

    pub(super) fn set_block_list_read(&self, at: i64) {
        self.block_list_read.store(u64::try_from(at).unwrap_or_default(), Ordering::Relaxed);
    }

    /// How often a part could not be read or written.
    pub fn failures(&self, part: Part) -> u64 {
        self.parts[part as usize].failures.load(Ordering::Relaxed)
    }

    /// Whether a part could not be read or written at the last try.
    pub fn is_failing(&self, part: Part) -> bool {
        self.parts[part as usize].cause.load(Ordering::Relaxed) != 0
    }

    /// How often any part could not be read or written.
    pub fn all_failures(&self) -> u64 {
        self.parts.iter().map(|part| part.failures.load(Ordering::Relaxed)).sum()
    }

    /// The parts that could not be read or written at the last try.
    pub fn failing(&self) -> impl Iterator<Item = (Part, Cause)> + '_ {
        Part::ALL.into_iter().filter_map(|part| {
            let place = usize::from(self.parts[part as usize].cause.load(Ordering::Relaxed)).checked_sub(1)?;
            Some((part, *Cause::ALL.get(place)?))
        })
    }
}

/// A cause's place in `Cause::ALL`, from one on.
fn place(cause: Cause) -> u8 {
    Cause::ALL.iter().position(|known| *known == cause).and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(1)
}

// === impl ServiceHealth ===

impl ServiceHealth {
    /// The state of the breaker before the service.
    pub fn breaker(&self) -> BreakerState {
        match self.breaker.load(Ordering::Relaxed) {
            0 => BreakerState::Closed,
            1 => BreakerState::HalfOpen,
            _ => BreakerState::Open,
        }
    }

    /// What the operator has to mend, by the service's last word.
    pub fn fault(&self) -> Option<AccountFault> {
        match self.fault.load(Ordering::Relaxed) {
            1 => Some(AccountFault::KeyRefused),
            2 => Some(AccountFault::NoCredit),
            3 => Some(AccountFault::Tls),
            4 => Some(AccountFault::Redirect),
            5 => Some(AccountFault::AddressRefused),
            _ => None,
        }
    }

    /// Why its decisions could not be read at the last try, and the age in seconds of those in force.
    pub fn unread(&self) -> Option<(Cause, Option<u64>)> {
        let place = usize::from(self.unread.load(Ordering::Relaxed)).checked_sub(1)?;
        Some((*Cause::ALL.get(place)?, self.unread_age.load(Ordering::Relaxed).checked_sub(1)))
    }

    pub(super) fn set_unread(&self, cause: Option<Cause>, age: Option<Duration>) {
        self.unread_age.store(age.map_or(0, |age| age.as_secs() + 1), Ordering::Relaxed);
        self.unread.store(cause.map_or(0, place), Ordering::Relaxed);
    }

    pub(super) fn set_breaker(&self, state: BreakerState) {
        self.breaker.store(state as u8, Ordering::Relaxed);
    }

    pub(super) fn set_fault(&self, fault: Option<AccountFault>) {
        self.fault.store(fault.map_or(0, |fault| fault as u8), Ordering::Relaxed);
    }
}

// === impl CacheResult ===

impl CacheResult {
    /// All of them.
    pub const ALL: [CacheResult; 5] = [CacheResult::Hit, CacheResult::Stale, CacheResult::Negative, CacheResult::Miss, CacheResult::Coalesced];

    /// The label in metrics.
    pub fn as_label(self) -> &'static str {
        match self {
            CacheResult::Hit => "hit",
            CacheResult::Stale => "stale",
            CacheResult::Negative => "negative",
            CacheResult::Miss => "miss",
            CacheResult::Coalesced => "coalesced",
        }
    }
}

// === impl BreakerState ===

impl BreakerState {
    /// The word in `/readyz`'s body and on the dashboard.
    pub fn as_label(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half_open",
            BreakerState::Open => "open",
        }
    }
}

// === impl AccountFault ===

impl AccountFault {
    /// The fault that a cause stands for, if it is one.
    pub fn of(cause: Cause) -> Option<Self> {
        let faults = [AccountFault::KeyRefused, AccountFault::NoCredit, AccountFault::Tls, AccountFault::Redirect, AccountFault::AddressRefused];
        faults.into_iter().find(|fault| fault.cause() == cause)
    }

    /// How a call fails by it.
    pub fn cause(self) -> Cause {
        match self {
            AccountFault::KeyRefused => Cause::KeyRefused,
            AccountFault::NoCredit => Cause::NoCredit,
            AccountFault::Tls => Cause::Tls,
            AccountFault::Redirect => Cause::Redirect,
            AccountFault::AddressRefused => Cause::AddressRefused,
        }
    }

    /// What the operator has to know.
    pub fn help(self) -> &'static str {
        match self {
            AccountFault::KeyRefused => "the service refuses the key: it is wrong, revoked or lacks the permission",
            AccountFault::NoCredit => "the account has no credit left",
            AccountFault::Tls => "the certificate is not trusted, or TLS 1.2 or later is not spoken: for a private authority set RISKGATE_SERVICES_CA",
            AccountFault::Redirect => "the service redirects, which riskgate does not follow: set the final URL",
            AccountFault::AddressRefused => {
                "the name of the service leads only to link-local or metadata addresses (VPC Lattice's are such), which riskgate never calls: use a name with another address"
            }
        }
    }

    /// Whether a client's text in the request can bring it about.
    pub fn may_be_the_requests(self) -> bool {
        matches!(self, AccountFault::KeyRefused | AccountFault::NoCredit)
    }

    /// The word in `/readyz`'s body.
    pub fn as_label(self) -> &'static str {
        self.cause().as_label()
    }
}
