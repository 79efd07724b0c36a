//! Recent decisions in bounded memory, and what an analyst asks about them.
//!
//! [`Activity`] stores the rows that audit lines describe: at most [`MAX_ROWS`] decisions, and counts by minute and hour for 30 days. It answers
//! pure queries: a [`Filter`] selects rows, [`summary`](Activity::summary) counts and ranks them. Attacks, changes and accounts that were let in
//! ([`overview`](Activity::overview)) are those of all rows, whatever the filter is. [`user`](Activity::user) is one user's timeline, [`findings`](Activity::findings) lists the likely mistakes,
//! [`values`](Activity::values) lists every network, account or other value with its counts, [`find_value`](Activity::find_value) says what a text names,
//! [`let_in`](Activity::let_in) the accounts that an attack got into. The sidecar, the demo and
//! `riskgate watch` use the same code. It reads no clock and does no I/O; the caller says what time it is.
//!
//! Rows hold the pseudonyms of the audit line and no other personal value.

pub use crate::{activity::Activity, description::attack_kind, filter::Filter, find::FoundValue, let_in::DetectedAttack};

pub mod activity;

pub mod attack;

pub mod changes;

mod codes;

mod description;

pub mod decision;

mod detection;

mod detector;

pub mod filter;

mod find;

mod findings;

pub mod let_in;

pub mod line;

pub mod listing;

mod overview;

mod ranking;

pub mod rollup;

pub mod row;

pub mod session;

mod sources;

mod stopped_owners;

mod summary;

mod timeline;

/// The most decisions that are stored. Older ones are dropped; their counts remain in the rollups.
pub const MAX_ROWS: usize = 100_000;
