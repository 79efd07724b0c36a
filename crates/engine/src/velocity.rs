//! Velocity counters: distinct accounts from an address and its network in one hour, and failures of an account in 15 minutes.
//!
//! The history repository and replay use the same rules. Time is always an argument.

use std::time::Duration;

use jiff::Timestamp;
use smallvec::SmallVec;

use crate::{evidence::history::Velocity, profile::SignInLocation};

/// How long an account counts for its address and network, in seconds.
pub const ACCOUNT_WINDOW_SECONDS: i64 = 3600;

/// The maximum number of entries for an address, and for a network.
pub const MAX_WINDOW_ENTRIES: usize = 32;

/// How long a failed attempt counts, in seconds.
pub const FAILURE_WINDOW_SECONDS: i64 = 900;

/// The maximum number of failures that are counted for an account.
pub const MAX_FAILURES: usize = 24;

/// An account seen at an address or in a network, as a keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowEntry {
    /// The account's hash.
    pub account: u32,
    /// The hash of the address or its /64 in entries of earlier versions; 0 in new entries.
    pub host: u32,
}

/// The entries of one window.
pub type WindowEntries = SmallVec<[WindowEntry; 4]>;

/// The latest entries of one address or network. At the maximum, a new entry replaces the least recent one. The count is exact up
/// to the maximum, however many entries are added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountWindow(SmallVec<[(WindowEntry, i64); 1]>);

impl WindowEntry {
    /// Encodes the entry in eight bytes.
    pub fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.account) << 32 | u64::from(self.host)).to_be_bytes()
    }

    /// Decodes eight bytes; `None` for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let both = u64::from_be_bytes(bytes.try_into().ok()?);
        Some(WindowEntry { account: u32::try_from(both >> 32).ok()?, host: u32::try_from(both & u64::from(u32::MAX)).ok()? })
    }
}

impl AccountWindow {
    /// Adds or renews an entry, and removes the expired ones.
    pub fn add(&mut self, entry: WindowEntry, at: Timestamp) {
        let at = at.as_second();
        self.0.retain(|(_, seen)| at - *seen < ACCOUNT_WINDOW_SECONDS);
        if let Some((_, seen)) = self.0.iter_mut().find(|(known, _)| *known == entry) {
            *seen = at.max(*seen);
            return;
        }
        if self.0.len() < MAX_WINDOW_ENTRIES {
            self.0.push((entry, at));
        } else if let Some(oldest) = self.0.iter_mut().min_by_key(|(_, seen)| *seen).filter(|(_, seen)| *seen <= at) {
            *oldest = (entry, at);
        }
    }

    /// The entries within an hour of `at`. Clocks differ between processes, so an entry may be slightly later than `at`.
    pub fn entries(&self, at: Timestamp) -> WindowEntries {
        self.0.iter().filter(|(_, seen)| is_within(*seen, at.as_second())).map(|(entry, _)| *entry).collect()
    }

    /// Whether any entry is within an hour of `at`.
    pub fn is_live(&self, at: Timestamp) -> bool {
        self.0.iter().any(|(_, seen)| is_within(*seen, at.as_second()))
    }
}

fn is_within(seen: i64, at: i64) -> bool {
    (at - seen).abs() < ACCOUNT_WINDOW_SECONDS
}

/// Counts distinct accounts of an address and of its network. The sign-in's own account is always included.
///
/// Earlier versions wrote entries with account and address for the network only. Those entries count for both.
pub fn accounts(own: WindowEntry, network: &[WindowEntry], address: &[WindowEntry]) -> Velocity {
    let distinct = |entries: &mut dyn Iterator<Item = &WindowEntry>| {
        let mut accounts: SmallVec<[u32; MAX_WINDOW_ENTRIES]> = entries.map(|entry| entry.account).collect();
        accounts.push(own.account);
        accounts.sort_unstable();
        accounts.dedup();
        u32::try_from(accounts.len().min(MAX_WINDOW_ENTRIES)).unwrap_or(u32::MAX)
    };
    Velocity {
        account_failures: 0,
        accounts_per_ip: distinct(&mut network.iter().filter(|entry| entry.host != 0 && entry.host == own.host).chain(address)),
        accounts_per_network: distinct(&mut network.iter()),
    }
}

/// Counts failures of an account: attempts of the last 15 minutes that came after its last success, up to the maximum.
pub fn failures(attempts: impl Iterator<Item = Timestamp>, last_success: Option<Timestamp>, now: Timestamp) -> u32 {
    let is_recent = |at: Timestamp| (0..FAILURE_WINDOW_SECONDS).contains(&(now.as_second() - at.as_second()));
    let counted = attempts.filter(|at| is_recent(*at) && last_success.is_none_or(|success| *at > success)).take(MAX_FAILURES).count();
    u32::try_from(counted).unwrap_or(u32::MAX)
}

/// Known locations of concurrent sign-ins to an account: of its attempts and its last success within `window` before `now`.
pub fn concurrent(sign_ins: impl Iterator<Item = SignInLocation>, now: Timestamp, window: Duration) -> Vec<SignInLocation> {
    let is_recent = |at: Timestamp| u64::try_from(now.as_second() - at.as_second()).is_ok_and(|age| age < window.as_secs());
    sign_ins.filter(|sign_in| is_recent(sign_in.at) && sign_in.location.is_some()).collect()
}
