//! Detection of attacks on a whole user pool: campaigns of which each attempt looks harmless.
//!
//! Each attempt is counted once, in the minute in which it happened ([`Counts`]). Counts are additive, so the processes of a pool add to
//! the same minute without reading it. A pool's [`PoolState`] has what is usual for the pool and the state of the detector. It takes up
//! each minute once, when the minute is over; the minute in progress is evaluated without being taken up, so a burst is detected within it.
//!
//! # Layout
//!
//! - [`attempt`]: what is counted about an attempt, and how attempts are sampled when a pool is busy.
//! - [`cell`]: the values that many attempts of a campaign share.
//! - [`counts`]: the counts of a minute.
//! - [`sketch`]: the number of distinct users and networks, estimated from the smallest hashes (bottom-k).
//! - [`usual`]: what is usual in each hour of the week.
//! - [`chart`]: the sequential test (CUSUM), over windows of 1, 10 and 60 minutes.
//! - [`episode`]: what was counted since a chart left zero.
//! - [`state`]: the state of a pool. [`codec`]: its stored form.
//! - [`summary`]: the size, onset and sources of an attack.
//! - [`notice`]: what is reported about an attack, once.
//! - [`wave`]: what a sign-in has in common with an attack.
//!
//! Nothing here waits, reads a clock or writes. Sources: CUSUM for Poisson counts (Lucas 1985), bottom-k sketches (Cohen and Kaplan 2007).

pub mod attempt;

pub mod cell;

pub mod counts;

pub mod sketch;

pub mod usual;

pub mod chart;

pub mod episode;

pub mod state;

pub mod summary;

pub mod notice;

pub mod wave;

pub mod codec;

pub use crate::{
    attempt::{Attempt, AttemptKind},
    cell::Cell,
    counts::Counts,
    notice::{AttackEvent, AttackNotice, Reported},
    state::{Attack, PoolState, Status},
    summary::AttackSummary,
    wave::Wave,
};

/// The seconds of a minute, in which attempts are counted.
pub const MINUTE: i64 = 60;
