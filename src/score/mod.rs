//! Stage 4 of 6: Signals -> Score.
//!
//! Log-odds with named reasons, and their rarity among legitimate sign-ins. Pure.

use smallvec::SmallVec;

use crate::signals::Signals;

pub mod model;

mod combination;

mod familiar;

mod mixture;

mod outside;

mod remarks;

mod tally;

pub mod novelty;

pub mod hours;

pub mod priors;

pub mod quantiles;

pub mod weights;

pub mod table;

pub mod reason;

pub use self::model::{Model, ModelError, Tables};
pub use self::reason::{Reason, ReasonCode};

/// How risky a sign-in looks, and why.
#[derive(Debug)]
pub struct Score {
    /// What was weighed.
    pub signals: Signals,
    /// 0 to 100, rounded to 0.1: 25 x -log10 of the share of legitimate sign-ins that look at least this risky.
    pub value: f64,
    /// `base` plus the weights of all reasons.
    pub log_odds: f64,
    /// Log-odds before anything is known: logit of the prior less the calibration's offset.
    pub base: f64,
    /// Sorted by the size of their weight, then by code; small ones summed into `other`.
    pub reasons: SmallVec<[Reason; 8]>,
}
