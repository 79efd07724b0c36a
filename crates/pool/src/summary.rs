//! The summary of an attack: its size, its onset and its sources.

use smol_str::{SmolStr, ToSmolStr};

use crate::{
    MINUTE,
    state::{Attack, PoolState},
};

/// The most over-represented values in a summary.
const MAX_NAMED_CELLS: usize = 8;

/// An attack on a pool. It names no account and no address.
#[derive(Debug, Clone, PartialEq)]
pub struct AttackSummary {
    /// The estimated onset, in seconds since 1970.
    pub since: i64,
    /// When it was detected, in seconds since 1970. A minute is taken up at its end.
    pub detected: i64,
    /// The end of the last minute in which it was in progress, in seconds since 1970.
    pub last_high: i64,
    /// Unfamiliar attempts since the onset.
    pub attempts: u32,
    /// The unfamiliar attempts that are usual in such a time.
    pub expected: f64,
    /// The accounts, estimated if there are many.
    pub accounts: u64,
    /// The networks, /24 or /48; a lower bound if attempts were sampled.
    pub networks: u64,
    /// Attempts at names that the pool does not have.
    pub unknown: u32,
    /// Successes of attempts that had the reason `attack_wave`.
    pub let_in: u32,
    /// The over-represented values, the most frequent first.
    pub cells: Vec<SmolStr>,
}

impl AttackSummary {
    /// Describes an attack by what is usual for its pool.
    pub fn of(attack: &Attack, state: &PoolState) -> Self {
        let episode = &attack.episode;
        AttackSummary {
            since: episode.since * MINUTE,
            detected: (attack.detected + 1) * MINUTE,
            last_high: (attack.last_high + 1) * MINUTE,
            attempts: episode.attempts,
            expected: episode.expected,
            accounts: episode.users.estimate(),
            networks: episode.networks.estimate(),
            unknown: episode.unknown,
            let_in: episode.let_in,
            cells: episode.over_represented(&state.usual).iter().take(MAX_NAMED_CELLS).map(|excess| excess.cell.to_smolstr()).collect(),
        }
    }
}
