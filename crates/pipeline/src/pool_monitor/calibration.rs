//! Settings of the calibration of scores, and the scale that the counts give.

use std::sync::Arc;

use riskgate_calibration::{Calibrator, PoolScale, Rate, Thresholds, promise::Drift};
use riskgate_config::history::CalibrationMode;
use riskgate_engine::score::scale::CalibrationSource;
use riskgate_runtime::calibration_health::{CalibrationRates, METRIC_GROUPS, PromisedRate};

/// Settings of the calibration of scores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CalibrationSettings {
    /// Whether successes are counted, and whether scores follow them.
    pub(crate) mode: CalibrationMode,
    /// The thresholds in force.
    pub(crate) thresholds: Thresholds,
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

/// The scale that the counts give; `None` if nothing was counted. The last one is used again if nothing was counted since.
pub(super) fn scale_of(calibrator: &Calibrator, calibration: CalibrationSettings, last: Option<&Arc<PoolScale>>) -> Option<Arc<PoolScale>> {
    if let Some(last) = last.filter(|last| last.is_of(calibrator)) {
        return Some(Arc::clone(last));
    }
    let scale = PoolScale::new(calibrator, calibration.source(), &calibration.thresholds);
    (scale.sign_ins() > 0).then(|| Arc::new(scale))
}

/// What metrics show about the scale of a pool.
pub(super) fn rates_of(scale: &PoolScale) -> CalibrationRates {
    let groups = scale.promises().iter().filter_map(|group| Some((group, METRIC_GROUPS.iter().find(|name| group.group == **name)?)));
    let rates = groups.flat_map(|(promises, group)| {
        promises.promises.iter().map(|promise| PromisedRate {
            group,
            threshold: promise.threshold.as_label(),
            promised: promise.promised,
            realised: promise.realised.map(|Rate { share, low, high }| [share, low, high]),
        })
    });
    let Drift { from_shipped, from_week_before } = scale.drift();
    CalibrationRates { rates: rates.collect(), from_shipped, from_week_before }
}
