//! Settings of the calibration of scores, and the scale that the counts give.

use std::sync::Arc;

use riskgate_calibration::{Calibrator, PoolScale};
use riskgate_config::history::CalibrationMode;
use riskgate_engine::score::scale::CalibrationSource;

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

/// The scale that the counts give; `None` if nothing was counted.
pub(super) fn scale_of(calibrator: &Calibrator, calibration: CalibrationSettings) -> Option<Arc<PoolScale>> {
    let scale = PoolScale::new(calibrator, calibration.source());
    (scale.sign_ins() > 0).then(|| Arc::new(scale))
}
