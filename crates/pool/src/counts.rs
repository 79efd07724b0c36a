//! The counts of a minute. They are additive, and do not depend on the order in which attempts are counted.

use std::collections::{BTreeMap, BTreeSet};

use crate::cell::Cell;

/// The counts of a minute, or of several that were merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts.
    pub attempts: u32,
    /// Attempts at names that the pool does not have.
    pub unknown: u32,
    /// Attempts at accounts without a history.
    pub no_history: u32,
    /// First successes of an account.
    pub first_successes: u32,
    /// Attempts whose user agent and network are new to the account.
    pub new_values: u32,
    /// Successes of attempts in a wave.
    pub let_in: u32,
    /// The highest sampling level.
    pub level: u8,
    /// The hashes of the accounts of unfamiliar attempts, among the sampled ones.
    pub users: BTreeSet<u32>,
    /// The hashes of the networks of unfamiliar attempts, among the sampled ones.
    pub networks: BTreeSet<u32>,
    /// Unfamiliar attempts by cell.
    pub cells: BTreeMap<Cell, u32>,
}

impl Counts {
    /// The counts of a stored minute. Counters of other versions are ignored.
    pub fn from_fields<'a>(fields: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut counts = Counts::default();
        for (name, value) in fields {
            counts.add(name, u32::try_from(value).unwrap_or(u32::MAX));
        }
        counts
    }

    /// Adds to a counter by its stored name.
    pub fn add(&mut self, name: &str, value: u32) {
        let slot = match name {
            "a" => &mut self.attempts,
            "x" => &mut self.unknown,
            "w" => &mut self.no_history,
            "o" => &mut self.first_successes,
            "d" => &mut self.new_values,
            "i" => &mut self.let_in,
            other => {
                let hash = |digits: &str| u32::from_str_radix(digits, 16).ok();
                if let Some(level) = other.strip_prefix('l') {
                    self.level = self.level.max(level.parse().unwrap_or_default());
                } else if let Some(digits) = other.strip_prefix('u') {
                    self.users.extend(hash(digits));
                } else if let Some(digits) = other.strip_prefix('n') {
                    self.networks.extend(hash(digits));
                } else if let Some(cell) = Cell::from_field(other) {
                    let count = self.cells.entry(cell).or_default();
                    *count = count.saturating_add(value);
                }
                return;
            }
        };
        *slot = slot.saturating_add(value);
    }

    /// Unfamiliar attempts: at unknown names, at accounts without a history that did not succeed, and with new values.
    pub fn unfamiliar(&self) -> u32 {
        self.unknown.saturating_add(self.no_history.saturating_sub(self.first_successes)).saturating_add(self.new_values)
    }

    /// Attempts that are not unfamiliar.
    pub fn familiar(&self) -> u32 {
        self.attempts.saturating_sub(self.unfamiliar())
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Counts::default()
    }

    /// Adds the counts of another process or minute.
    pub fn merge(&mut self, other: &Counts) {
        let Counts { attempts, unknown, no_history, first_successes, new_values, let_in, level, users, networks, cells } = other;
        for (own, other) in [
            (&mut self.attempts, attempts),
            (&mut self.unknown, unknown),
            (&mut self.no_history, no_history),
            (&mut self.first_successes, first_successes),
            (&mut self.new_values, new_values),
            (&mut self.let_in, let_in),
        ] {
            *own = own.saturating_add(*other);
        }
        self.level = self.level.max(*level);
        self.users.extend(users);
        self.networks.extend(networks);
        for (cell, count) in cells {
            let own = self.cells.entry(cell.clone()).or_default();
            *own = own.saturating_add(*count);
        }
    }
}
