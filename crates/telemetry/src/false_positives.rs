//! The gauges of promised and realised false-positive rates.

use metrics::Gauge;

use crate::{names, prometheus::Registry};
use riskgate_runtime::calibration_health::{CalibrationHealth, METRIC_GROUPS};

const THRESHOLDS: [&str; 3] = ["review", "challenge", "deny"];

/// The promised share, the realised one and the ends of its interval.
const VALUES: [&str; 4] = ["promised", "realised", "low", "high"];

/// The gauges. What is not known is NaN, which no alert's comparison matches.
#[derive(Debug)]
pub struct FalsePositiveGauges {
    rates: Vec<(&'static str, &'static str, [Gauge; VALUES.len()])>,
    excess: Gauge,
    from_shipped: Gauge,
    from_week_before: Gauge,
}

impl FalsePositiveGauges {
    pub(super) fn new(registry: &Registry) -> Self {
        let rates = METRIC_GROUPS.into_iter().flat_map(|group| THRESHOLDS.map(|threshold| (group, threshold)));
        let gauges =
            |group, threshold| VALUES.map(|value| registry.gauge(names::FALSE_POSITIVE_RATE, &[("group", group), ("threshold", threshold), ("value", value)]));
        FalsePositiveGauges {
            rates: rates.map(|(group, threshold)| (group, threshold, gauges(group, threshold))).collect(),
            excess: registry.gauge(names::FALSE_POSITIVE_EXCESS, &[]),
            from_shipped: registry.gauge(names::CALIBRATION_DRIFT, &[("since", "shipped")]),
            from_week_before: registry.gauge(names::CALIBRATION_DRIFT, &[("since", "week_before")]),
        }
    }

    pub(super) fn set(&self, health: &CalibrationHealth) {
        let known = health.rates();
        for (group, threshold, gauges) in &self.rates {
            let rate = known.rates.iter().find(|rate| rate.group == *group && rate.threshold == *threshold);
            let [share, low, high] = rate.and_then(|rate| rate.realised).unwrap_or([f64::NAN; 3]);
            let promised = rate.map_or(f64::NAN, |rate| rate.promised);
            gauges.iter().zip([promised, share, low, high]).for_each(|(gauge, value)| gauge.set(value));
        }
        self.excess.set(health.excess());
        self.from_shipped.set(known.from_shipped);
        self.from_week_before.set(known.from_week_before.unwrap_or(f64::NAN));
    }
}
