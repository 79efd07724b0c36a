//! The write budget of a process: how many records attempts at names without a history may create in the store.
//!
//! Anyone can cause such attempts by inventing names. The budget is charged before the record is read, and refunded if the user has a history.
//! Claimed addresses are free to invent, so they have one limit in common, and a fifth of the total is reserved for trusted addresses.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;

use riskgate_engine::{client_ip::network_of, sign_in::SignIn};

/// Networks of each kind that are remembered. One attempt a second is refilled, so more than this only matters in a flood, which the total bounds.
const MAX_NETWORKS: usize = 10_000;

/// Seconds for which the budget counts as exceeded after it refused a write.
const LIMITED_SECONDS: i64 = 60;

/// An attempt in the unit of the buckets, a minute's milliseconds: a millisecond refills `per_minute` units, without a remainder.
const CHARGE: u64 = 60_000;

/// A token bucket's size: what may be charged at once, and the refill in a minute.
#[derive(Debug, Clone, Copy)]
struct Limit {
    burst: u64,
    per_minute: u64,
}

/// The limits of one network, a /24 or /48, and of all networks in common.
#[derive(Debug, Clone, Copy)]
struct Limits {
    network: Limit,
    total: Limit,
}

/// Attempts whose records last 20 minutes to an hour. The burst of a network is an office of 300 people who arrive at once for the first time;
/// the total is 20 such sign-ins a second for a process. In Redis an attempt with an invented address takes about 850 bytes: 400 for 20 minutes and
/// 450 for an hour. In total that is at most 1,200 * (20 * 400 + 60 * 450) = 42 MB.
const ATTEMPTS: Limits = Limits { network: Limit { burst: 300, per_minute: 60 }, total: Limit { burst: 6_000, per_minute: 1_200 } };

/// Attempts whose records last for days: pending outcomes, and profiles with `LEARN=allow`. A tenth of the rate: 200 bytes for 7 days
/// are at most 120 * 10,080 * 200 = 242 MB.
const LONG_LIVED: Limits = Limits { network: Limit { burst: 300, per_minute: 6 }, total: Limit { burst: 6_000, per_minute: 120 } };

/// The write budget of a process.
#[derive(Default)]
pub struct WriteBudget {
    attempts: Mutex<Buckets>,
    long_lived: Mutex<Buckets>,
    /// When a write was last refused, in seconds since 1970; 0 before the first time.
    limited_at: AtomicI64,
}

/// Where an attempt comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// The /24 or /48 of the address, if it is public.
    network: Option<IpAddr>,
    is_trusted: bool,
}

/// Whether an attempt is within the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// Records may be created.
    Within,
    /// The limit of its network is reached.
    OverNetwork,
    /// The limit of all networks is reached.
    OverTotal,
}

#[derive(Debug, Default)]
struct Buckets {
    total: Bucket,
    trusted: HashMap<IpAddr, Bucket>,
    claimed: HashMap<IpAddr, Bucket>,
}

/// What was charged and is not refilled yet.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    used: u64,
    updated_ms: i64,
}

impl WriteBudget {
    /// Charges an attempt.
    pub fn charge(&self, source: Source, now: Timestamp) -> Charge {
        locked(&self.attempts).charge(ATTEMPTS, source, now)
    }

    /// Takes a charge back: the user has a history.
    pub fn refund(&self, source: Source) {
        locked(&self.attempts).refund(source);
    }

    /// Charges a record that lasts for days. Returns whether it may be created.
    pub fn charge_long_lived(&self, source: Source, now: Timestamp) -> bool {
        locked(&self.long_lived).charge(LONG_LIVED, source, now) == Charge::Within
    }

    /// Remembers that a write was refused.
    pub fn record_limited(&self, now: Timestamp) {
        self.limited_at.store(now.as_second(), Ordering::Relaxed);
    }

    /// Whether a write was ever refused.
    pub fn has_limited(&self) -> bool {
        self.limited_at.load(Ordering::Relaxed) != 0
    }

    /// Whether a write was refused in the last minute.
    pub fn is_limiting(&self, now: Timestamp) -> bool {
        (0..LIMITED_SECONDS).contains(&now.as_second().saturating_sub(self.limited_at.load(Ordering::Relaxed)))
    }
}

impl Source {
    /// The source of a sign-in.
    pub fn of(sign_in: &SignIn) -> Self {
        Source { network: sign_in.context.ip.public().map(network_of), is_trusted: sign_in.context.is_trusted() }
    }
}

impl Buckets {
    fn charge(&mut self, limits: Limits, source: Source, now: Timestamp) -> Charge {
        let now_ms = now.as_millisecond();
        let reserve = if source.is_trusted { 0 } else { limits.total.burst / 5 };
        self.total.refill(limits.total, now_ms);
        if !self.total.has_room(limits.total.burst - reserve) {
            return Charge::OverTotal;
        }
        if let Some(network) = source.network {
            let bucket = self.network(limits.network, source, network, now_ms);
            bucket.refill(limits.network, now_ms);
            if !bucket.has_room(limits.network.burst) {
                return Charge::OverNetwork;
            }
            bucket.used += CHARGE;
        }
        self.total.used += CHARGE;
        Charge::Within
    }

    fn refund(&mut self, source: Source) {
        self.total.used = self.total.used.saturating_sub(CHARGE);
        let networks = if source.is_trusted { &mut self.trusted } else { &mut self.claimed };
        if let Some(bucket) = source.network.and_then(|network| networks.get_mut(&network)) {
            bucket.used = bucket.used.saturating_sub(CHARGE);
        }
    }

    /// The bucket of a network. If too many are remembered, those that are full again are dropped, and in a flood all of this kind.
    fn network(&mut self, limit: Limit, source: Source, network: IpAddr, now_ms: i64) -> &mut Bucket {
        let networks = if source.is_trusted { &mut self.trusted } else { &mut self.claimed };
        if networks.len() >= MAX_NETWORKS && !networks.contains_key(&network) {
            networks.retain(|_, bucket| {
                bucket.refill(limit, now_ms);
                bucket.used > 0
            });
            if networks.len() >= MAX_NETWORKS {
                networks.clear();
            }
        }
        networks.entry(network).or_default()
    }
}

impl Bucket {
    fn refill(&mut self, limit: Limit, now_ms: i64) {
        // A clock that was set back refills nothing once.
        let elapsed = u64::try_from(now_ms.saturating_sub(self.updated_ms)).unwrap_or_default();
        self.used = self.used.saturating_sub(elapsed.saturating_mul(limit.per_minute));
        self.updated_ms = now_ms;
    }

    fn has_room(&self, burst: u64) -> bool {
        self.used + CHARGE <= burst * CHARGE
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("is_trusted", &self.is_trusted).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for WriteBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The networks are personal.
        f.debug_struct("WriteBudget").finish_non_exhaustive()
    }
}

fn locked(buckets: &Mutex<Buckets>) -> MutexGuard<'_, Buckets> {
    buckets.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(network: u32, is_trusted: bool) -> Source {
        Source { network: Some(IpAddr::V4(network.wrapping_mul(256).into())), is_trusted }
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    /// The charges within the budget among `count` attempts at one time.
    fn within(budget: &WriteBudget, source: Source, count: usize, now: Timestamp) -> usize {
        (0..count).filter(|_| budget.charge(source, now) == Charge::Within).count()
    }

    #[test]
    fn a_network_has_a_burst_and_a_rate() {
        let (budget, one, other) = (WriteBudget::default(), source(1, true), source(2, true));
        assert_eq!(within(&budget, one, 1_000, second(0)), 300);
        assert_eq!(budget.charge(one, second(0)), Charge::OverNetwork);
        assert_eq!(within(&budget, other, 1_000, second(0)), 300, "networks are independent");
        assert_eq!(within(&budget, one, 1_000, second(60)), 60);
        assert_eq!(within(&budget, one, 1_000, second(3_600)), 300, "the burst is refilled and not exceeded");
    }

    #[test]
    fn invented_networks_share_a_limit_and_the_last_fifth_is_reserved_for_trusted_addresses() {
        let budget = WriteBudget::default();
        let claimed = (0..10_000).filter(|network| budget.charge(source(*network, false), second(0)) == Charge::Within).count();
        assert_eq!(claimed, 4_800);
        let no_address = Source { network: None, is_trusted: false };
        assert_eq!(budget.charge(no_address, second(0)), Charge::OverTotal);
        let trusted: usize = (0..10).map(|network| within(&budget, source(network, true), 200, second(0))).sum();
        assert_eq!(trusted, 1_200);
        assert_eq!(within(&budget, source(99, true), 5_000, second(60)), 300, "a minute refills 1,200 in total");
    }

    #[test]
    fn a_refund_restores_what_was_charged() {
        let (budget, one) = (WriteBudget::default(), source(1, true));
        for _ in 0..10_000 {
            assert_eq!(budget.charge(one, second(0)), Charge::Within);
            budget.refund(one);
        }
        assert_eq!(within(&budget, one, 1_000, second(0)), 300);
    }

    #[test]
    fn records_that_last_for_days_have_a_tenth_of_the_rate() {
        let (budget, one) = (WriteBudget::default(), source(1, true));
        let long_lived = |count: usize, now| (0..count).filter(|_| budget.charge_long_lived(one, now)).count();
        assert_eq!((long_lived(1_000, second(0)), long_lived(1_000, second(60))), (300, 6));
    }

    #[test]
    fn memory_is_bounded_and_a_clock_that_is_set_back_does_not_stop_the_refill() {
        let budget = WriteBudget::default();
        for network in 0..50_000 {
            budget.charge(source(network, true), second(i64::from(network)));
        }
        assert!(locked(&budget.attempts).trusted.len() <= MAX_NETWORKS);
        let one = source(7, true);
        assert_eq!(within(&budget, one, 1_000, second(400_000)), 300);
        assert_eq!(within(&budget, one, 1_000, second(0)), 0);
        assert_eq!(within(&budget, one, 1_000, second(60)), 60);
    }

    #[test]
    fn the_budget_counts_as_exceeded_for_a_minute() {
        let budget = WriteBudget::default();
        assert!(!budget.is_limiting(second(0)));
        budget.record_limited(second(0));
        assert!(budget.is_limiting(second(59)) && !budget.is_limiting(second(60)));
    }

    #[test]
    fn no_network_is_printed() {
        assert!(!format!("{:?} {:?}", WriteBudget::default(), source(0x0102_0304, true)).contains("3.4"));
    }
}
