//! Which successes are counted for the calibration of scores, and the scale that the counts give.

use std::sync::Arc;

use riskgate_calibration::{Calibrator, PoolScale, SuccessCell};
use riskgate_config::history::CalibrationMode;
use riskgate_engine::{
    decision::{Decision, Verdict},
    evidence::history::NonceStatus,
    score::scale::CalibrationSource,
};

/// Settings of the calibration of scores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CalibrationSettings {
    /// Whether successes are counted, and whether scores follow them.
    pub(crate) mode: CalibrationMode,
    /// The score from which sign-ins are stopped; `None` in monitor mode.
    pub(crate) stopped_from: Option<f64>,
}

impl CalibrationSettings {
    /// The scale in force for a pool that has its own.
    pub(super) fn source(self) -> CalibrationSource {
        match self.mode {
            CalibrationMode::Auto => CalibrationSource::Pool,
            CalibrationMode::Propose | CalibrationMode::Shipped => CalibrationSource::Shipped,
        }
    }
}

/// Where a success is counted for the calibration. Not if something was missing, because the score is then of another kind, nor if the sign-in
/// may be an attacker's: its context was replayed, it is challenged, or it has what an attack on the pool has.
pub(crate) fn counted_cell(decision: &Decision) -> Option<SuccessCell> {
    let (score, history) = (&decision.score, &decision.score.signals.evidence.history);
    let is_counted = !decision.is_degraded()
        && history.nonce != NonceStatus::Replayed
        && history.attack_wave.is_none()
        && matches!(decision.action, Verdict::Allow | Verdict::Review);
    is_counted.then(|| SuccessCell::of(&score.signals, score.shipped))
}

/// The scale that the counts give; `None` if nothing was counted.
pub(super) fn scale_of(calibrator: &Calibrator, calibration: CalibrationSettings) -> Option<Arc<PoolScale>> {
    let scale = PoolScale::new(calibrator, calibration.source());
    (scale.sign_ins() > 0).then(|| Arc::new(scale))
}
