//! Accumulation of reasons: large weights are listed, small ones are summed as `other`.

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::score::reason::{Reason, ReasonCode};

/// The smallest absolute weight that is listed: ln 1.5. minFraud also reports reasons from a risk multiplier of 1.5.
const MIN_LISTED_WEIGHT: f64 = 0.405;

/// The reasons of a score while it is computed.
#[derive(Debug)]
pub(super) struct ReasonAccumulator {
    reasons: SmallVec<[Reason; 8]>,
    sum: f64,
    other: f64,
}

impl ReasonAccumulator {
    pub(super) fn new() -> Self {
        ReasonAccumulator { reasons: SmallVec::new(), sum: 0.0, other: 0.0 }
    }

    /// Adds a weight. `detail` is only called if the weight is listed.
    pub(super) fn add(&mut self, code: ReasonCode, weight: f64, detail: impl FnOnce() -> Option<SmolStr>) {
        self.sum += weight;
        if weight.abs() < MIN_LISTED_WEIGHT || code == ReasonCode::Other {
            self.other += weight;
        } else {
            self.reasons.push(Reason { code, weight, detail: detail() });
        }
    }

    /// Adds a reason without weight, unless the code is already listed.
    pub(super) fn annotate(&mut self, code: ReasonCode, detail: Option<SmolStr>) {
        if self.reasons.iter().all(|reason| reason.code != code) {
            self.reasons.push(Reason { code, weight: 0.0, detail });
        }
    }

    /// The sum of all weights, and the reasons by absolute weight and then by code.
    pub(super) fn finish(mut self) -> (f64, SmallVec<[Reason; 8]>) {
        if self.other.abs() > 1e-12 {
            self.reasons.push(Reason { code: ReasonCode::Other, weight: self.other, detail: None });
        }
        self.reasons.sort_unstable_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()).then_with(|| a.code.as_label().cmp(b.code.as_label())));
        (self.sum, self.reasons)
    }
}
