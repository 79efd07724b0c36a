//! Health counters and states, in atomics. `/metrics`, EMF and `/readyz` read them.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    attack_health::AttackHealth, calibration_health::CalibrationHealth, challenge_health::ChallengeHealth, session_health::SessionHealth, sharing::SharedValues,
};
use riskgate_engine::evidence::{FailureReason, Tier, store_parts::StorePart};
use riskgate_engine::service::Service;

use riskgate_engine::network_source::Source;

/// Counters and states of the parts of riskgate that are not visible in a decision.
#[derive(Debug, Default)]
pub struct Health {
    /// Faults in the configuration in force.
    pub config_faults: AtomicU64,
    /// Referenced secrets whose newest value could not be fetched.
    pub secrets_missing: AtomicU64,
    /// Changed mmdb files that could not be read, in total. The previous file stays in use.
    pub networks_refused: AtomicU64,
    /// mmdb files whose newest version cannot be read. The previous version, or the bundled database, is in use.
    pub networks_outdated: AtomicU64,
    /// Records of the operator's mmdb files that could not be decoded; the bundled database answered instead.
    pub networks_undecodable: AtomicU64,
    /// Build time of each database in use, in seconds since 1970, by `Source`; 0 where there is none.
    pub networks_built: [AtomicU64; Source::ALL.len()],
    /// The date of each part of the bundled network data, in seconds since 1970, by `BundledPart`.
    pub bundled_data: [AtomicU64; BundledPart::ALL.len()],
    /// Panics that were caught.
    pub panics: AtomicU64,
    /// Fetches of a user pool's signing keys that failed.
    pub signing_key_failures: AtomicU64,
    /// Failures of the store.
    pub store: StoreHealth,
    /// Codes of custom challenges.
    pub challenge: ChallengeHealth,
    /// Look-ups of sessions.
    pub sessions: SessionHealth,
    /// Attacks on pools.
    pub attacks: AttackHealth,
    /// Promised and realised false-positive rates.
    pub calibration: CalibrationHealth,
    /// Addresses and device ids that many users share.
    pub sharing: SharedValues,
    /// Cache requests, by `Tier` and `CacheResult`.
    cache: [[AtomicU64; CacheResult::ALL.len()]; Tier::ALL.len()],
    /// The health of every known service, whether it is configured or not.
    services: [ServiceHealth; Service::ALL.len()],
}

/// A part of the bundled network data. Each has its own source and date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundledPart {
    /// Countries.
    Country,
    /// AS numbers.
    Asn,
    /// Hosting providers, VPNs, Tor exits and privacy relays.
    Kind,
}

/// Failures to read or write the store, by `StorePart`.
#[derive(Debug, Default)]
pub struct StoreHealth {
    parts: [PartHealth; StorePart::ALL.len()],
    /// When the block list was last read, in seconds since 1970; 0 before the first time.
    block_list_read: AtomicU64,
    first_report: OnceLock<Instant>,
}

#[derive(Debug, Default)]
struct PartHealth {
    failures: AtomicU64,
    /// The last cause as its index in `FailureReason::ALL` plus one; 0 while the part works.
    cause: AtomicU8,
    /// The minute in which a line was last logged, counted from one.
    last_logged: AtomicU64,
}

/// Counters and states of the connection to one service.
#[derive(Debug, Default)]
pub struct ServiceHealth {
    /// Requests sent, retries included.
    pub calls: AtomicU64,
    /// Second attempts, each after a dead connection.
    pub retries: AtomicU64,
    /// How often the breaker opened.
    pub trips: AtomicU64,
    /// Requests that were not sent because the daily quota is used up.
    pub over_quota: AtomicU64,
    /// Requests that were not sent because too many are already waiting.
    pub shed: AtomicU64,
    breaker: AtomicU8,
    fault: AtomicU8,
    /// Why its decisions could not be read at the last try: a place in `Cause::ALL`, from one on; 0 where they were.
    unread: AtomicU8,
    /// Their age in seconds, from one on; 0 where none is in force.
    unread_age: AtomicU64,
}

/// The result of a cache look-up; the label of `riskgate_cache_requests_total{result}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheResult {
    /// A fresh entry was found.
    Hit,
    /// An expired entry was found and used.
    Stale,
    /// A cached "nothing known" was found.
    Negative,
    /// No entry was found.
    Miss,
    /// The caller waited for the same request of another caller.
    Coalesced,
}

/// A breaker's state; the value of `riskgate_breaker_state{provider}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BreakerState {
    /// Requests are sent.
    Closed = 0,
    /// One request tests whether the service has recovered.
    HalfOpen = 1,
    /// No requests are sent.
    Open = 2,
}

/// A problem of a service that only the operator can fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountFault {
    /// The service refuses the key.
    KeyRefused,
    /// The account has no credit left.
    NoCredit,
    /// The certificate is not trusted, or there is no common version of TLS.
    Tls,
    /// It redirects.
    Redirect,
    /// Its name has only addresses that riskgate never calls.
    AddressRefused,
}

impl BundledPart {
    /// Every part.
    pub const ALL: [BundledPart; 3] = [BundledPart::Country, BundledPart::Asn, BundledPart::Kind];

    /// Age in days from which the data is reported as outdated. Tor exits and VPN servers change within weeks: 88 % of the exits are
    /// still known after 44 days, 57 % after 409.
    pub const MAX_AGE_DAYS: u64 = 60;

    /// The label in metrics and `/readyz`.
    pub fn as_label(self) -> &'static str {
        match self {
            BundledPart::Country => "country",
            BundledPart::Asn => "asn",
            BundledPart::Kind => "kind",
        }
    }

    /// The operator's database that replaces this part.
    pub fn replaced_by(self) -> Source {
        match self {
            BundledPart::Country => Source::City,
            BundledPart::Asn => Source::Asn,
            BundledPart::Kind => Source::Anonymous,
        }
    }
}

impl Health {
    /// The parts of the bundled network data that are too old and not replaced by a database of the operator, with their age in days.
    pub fn outdated_data(&self, now: u64) -> impl Iterator<Item = (BundledPart, u64)> {
        BundledPart::ALL.into_iter().filter_map(move |part| {
            let is_replaced = self.networks_built[part.replaced_by() as usize].load(Ordering::Relaxed) > 0;
            let date = self.bundled_data[part as usize].load(Ordering::Relaxed);
            let days = now.saturating_sub(date) / 86_400;
            (!is_replaced && date > 0 && days > BundledPart::MAX_AGE_DAYS).then_some((part, days))
        })
    }

    /// Increments a counter.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The health of one service.
    pub fn service(&self, service: Service) -> &ServiceHealth {
        &self.services[service as usize]
    }

    /// The counter of one cache tier and result.
    pub fn cache(&self, tier: Tier, result: CacheResult) -> &AtomicU64 {
        &self.cache[tier as usize][result as usize]
    }
}

impl StoreHealth {
    /// Records the result of an access to a part: the cause of a failure, or `None` for a success. Failures are counted, and logged at
    /// most once a minute per part. Returns whether a line was logged.
    pub fn report(&self, part: StorePart, cause: Option<FailureReason>, now: Instant) -> bool {
        let state = &self.parts[part as usize];
        let Some(cause) = cause else {
            if state.cause.load(Ordering::Relaxed) != 0 {
                state.cause.store(0, Ordering::Relaxed);
            }
            return false;
        };
        Health::count(&state.failures);
        state.cause.store(place(cause), Ordering::Relaxed);
        let minute = now.saturating_duration_since(*self.first_report.get_or_init(|| now)).as_secs() / 60 + 1;
        let is_due = state.last_logged.swap(minute, Ordering::Relaxed) != minute;
        if is_due {
            tracing::warn!(
                part = part.as_label(),
                cause = cause.as_label(),
                "could not read or write a part of the store; not logged again for this part for a minute"
            );
        }
        is_due
    }

    /// When the block list was last read, in seconds since 1970; 0 before the first time.
    pub fn block_list_read(&self) -> u64 {
        self.block_list_read.load(Ordering::Relaxed)
    }

    /// Sets when the block list was last read, in seconds since 1970.
    pub fn set_block_list_read(&self, at: i64) {
        self.block_list_read.store(u64::try_from(at).unwrap_or_default(), Ordering::Relaxed);
    }

    /// The number of failures of a part.
    pub fn failures(&self, part: StorePart) -> u64 {
        self.parts[part as usize].failures.load(Ordering::Relaxed)
    }

    /// Whether the last access to a part failed.
    pub fn is_failing(&self, part: StorePart) -> bool {
        self.parts[part as usize].cause.load(Ordering::Relaxed) != 0
    }

    /// The number of failures of all parts.
    pub fn all_failures(&self) -> u64 {
        self.parts.iter().map(|part| part.failures.load(Ordering::Relaxed)).sum()
    }

    /// The parts whose last access failed, with the cause.
    pub fn failing(&self) -> impl Iterator<Item = (StorePart, FailureReason)> + '_ {
        StorePart::ALL.into_iter().filter_map(|part| {
            let index = usize::from(self.parts[part as usize].cause.load(Ordering::Relaxed)).checked_sub(1)?;
            Some((part, *FailureReason::ALL.get(index)?))
        })
    }
}

/// The index of a reason in `FailureReason::ALL` plus one.
fn place(cause: FailureReason) -> u8 {
    FailureReason::ALL.iter().position(|known| *known == cause).and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(1)
}

impl ServiceHealth {
    /// The state of the service's circuit breaker.
    pub fn breaker(&self) -> BreakerState {
        match self.breaker.load(Ordering::Relaxed) {
            0 => BreakerState::Closed,
            1 => BreakerState::HalfOpen,
            _ => BreakerState::Open,
        }
    }

    /// The account problem that the service last reported, if any.
    pub fn fault(&self) -> Option<AccountFault> {
        usize::from(self.fault.load(Ordering::Relaxed)).checked_sub(1).and_then(|index| AccountFault::ALL.get(index).copied())
    }

    /// Why the service's decisions could not be refreshed at the last attempt, and the age in seconds of those in force.
    pub fn unread(&self) -> Option<(FailureReason, Option<u64>)> {
        let place = usize::from(self.unread.load(Ordering::Relaxed)).checked_sub(1)?;
        Some((*FailureReason::ALL.get(place)?, self.unread_age.load(Ordering::Relaxed).checked_sub(1)))
    }

    /// Records whether the service's decisions could be refreshed, and the age of those in force.
    pub fn set_unread(&self, cause: Option<FailureReason>, age: Option<Duration>) {
        self.unread_age.store(age.map_or(0, |age| age.as_secs() + 1), Ordering::Relaxed);
        self.unread.store(cause.map_or(0, place), Ordering::Relaxed);
    }

    /// Sets the state of the service's circuit breaker.
    pub fn set_breaker(&self, state: BreakerState) {
        self.breaker.store(state as u8, Ordering::Relaxed);
    }

    /// Sets or clears the account problem.
    pub fn set_fault(&self, fault: Option<AccountFault>) {
        self.fault.store(fault.map_or(0, |fault| fault as u8 + 1), Ordering::Relaxed);
    }
}

impl CacheResult {
    /// Every result.
    pub const ALL: [CacheResult; 5] = [CacheResult::Hit, CacheResult::Stale, CacheResult::Negative, CacheResult::Miss, CacheResult::Coalesced];

    /// The label in the metrics.
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

impl BreakerState {
    /// The name in the body of `/readyz` and on the dashboard.
    pub fn as_label(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half_open",
            BreakerState::Open => "open",
        }
    }
}

impl AccountFault {
    /// Every fault, in order.
    const ALL: [AccountFault; 5] = [AccountFault::KeyRefused, AccountFault::NoCredit, AccountFault::Tls, AccountFault::Redirect, AccountFault::AddressRefused];

    /// The account problem that a failure reason means, if any.
    pub fn of(cause: FailureReason) -> Option<Self> {
        AccountFault::ALL.into_iter().find(|fault| fault.cause() == cause)
    }

    /// How a call fails by it.
    pub fn cause(self) -> FailureReason {
        match self {
            AccountFault::KeyRefused => FailureReason::KeyRefused,
            AccountFault::NoCredit => FailureReason::NoCredit,
            AccountFault::Tls => FailureReason::Tls,
            AccountFault::Redirect => FailureReason::Redirect,
            AccountFault::AddressRefused => FailureReason::AddressRefused,
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

    /// Whether text of a client in the request can cause it.
    pub fn may_be_the_requests(self) -> bool {
        matches!(self, AccountFault::KeyRefused | AccountFault::NoCredit)
    }

    /// The name in the body of `/readyz`.
    pub fn as_label(self) -> &'static str {
        self.cause().as_label()
    }
}
