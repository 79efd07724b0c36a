//! Stage 4 of 6: Signals -> Score.
//!
//! Log-odds with named reasons, and how rare they are among legitimate sign-ins.

use smallvec::SmallVec;

use crate::signals::Signals;

mod annotations;

mod combination;

mod familiarity_terms;

pub mod hours;

mod mixture;

pub mod model;

mod network_reputation;

pub mod novelty;

pub mod priors;

pub mod quantiles;

pub mod reason;

mod reason_accumulator;

pub mod scale;

pub mod table;

pub mod weights;

pub use crate::score::model::{Model, ModelError, Tables};
pub use crate::score::reason::{Reason, ReasonCode};

/// The risk score of a sign-in, with its reasons.
#[derive(Debug)]
pub struct Score {
    /// The signals that were scored.
    pub signals: Signals,
    /// 0 to 100, rounded to 0.1: 25 x -log10 of the share of legitimate sign-ins with at least this risk, on the scale in force.
    pub value: f64,
    /// The score on the shipped scale.
    pub shipped: f64,
    /// The shipped score without what third parties do to the account: failed attempts, a concurrent sign-in, an attack on the pool.
    pub without_third_parties: f64,
    /// The score on the pool's scale; `None` if the pool has none.
    pub on_pool_scale: Option<f64>,
    /// The scale in force.
    pub calibration: scale::Calibration,
    /// Log-odds of an attack (natural logarithm): `base` plus the weights of all reasons.
    pub log_odds: f64,
    /// Log-odds before any evidence: the logit of the prior plus the calibration offset.
    pub base: f64,
    /// The reasons by absolute weight, then by code. Small weights are summed as `other`, which never exceeds a listed weight.
    pub reasons: SmallVec<[Reason; 8]>,
    /// The reason for which the sign-in is at least reviewed, whatever its score.
    pub review_floor: Option<ReasonCode>,
}
