//! The scale of a pool: a map from scores on the shipped scale to those on the pool's own.

use jiff::Timestamp;
use smallvec::SmallVec;

use crate::{
    score::{
        Score,
        model::round_to_tenth,
        reason::{Reason, ReasonCode},
    },
    signals::Signals,
};

/// A rising map from the shipped scale to that of a pool.
pub trait ScoreScale: std::fmt::Debug + Send + Sync {
    /// Returns the pool's score for a shipped one; 0 to 100.
    fn calibrate(&self, signals: &Signals, shipped: f64) -> f64;

    /// What the scale is based on.
    fn calibration(&self) -> Calibration;
}

/// The scale of a score, and what it is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calibration {
    /// The scale in force.
    pub source: CalibrationSource,
    /// The successes of the pool that were counted.
    pub sign_ins: u64,
    /// When a success was last counted; `None` before the first.
    pub as_of: Option<Timestamp>,
}

/// The scale in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CalibrationSource {
    /// The scale of the model's tables.
    #[default]
    Shipped,
    /// The scale of the pool.
    Pool,
}

labels!(CalibrationSource, "The label in assessments and the audit line.", {
    Shipped "shipped"
    Pool "pool"
});

impl Score {
    /// A score on the shipped scale: with and without what third parties do, and the log-odds with and without evidence.
    pub(super) fn on_shipped_scale(
        signals: Signals,
        [value, without_third_parties]: [f64; 2],
        [log_odds, base]: [f64; 2],
        reasons: SmallVec<[Reason; 8]>,
        review_floor: Option<ReasonCode>,
    ) -> Self {
        let calibration = Calibration::default();
        Score { signals, value, shipped: value, without_third_parties, on_pool_scale: None, calibration, log_odds, base, reasons, review_floor }
    }

    /// The score with the scale of a pool. `stop` is the lowest score that is challenged or denied.
    ///
    /// A threshold from `stop` on that third parties make the sign-in reach on the pool's scale is one that it reaches on the shipped scale too.
    #[must_use]
    pub fn on_scale(self, scale: &dyn ScoreScale, stop: f64) -> Self {
        let on_pool_scale = |shipped| round_to_tenth(scale.calibrate(&self.signals, shipped));
        let highest = on_pool_scale(self.without_third_parties).max(self.shipped).max(stop - 1.0);
        let pool_score = on_pool_scale(self.shipped).min(highest);
        let calibration = scale.calibration();
        let value = if calibration.source == CalibrationSource::Pool { pool_score } else { self.shipped };
        Score { value, on_pool_scale: Some(pool_score), calibration, ..self }
    }
}
