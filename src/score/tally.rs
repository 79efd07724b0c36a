//! Adding up reasons: what is large is listed, what is small is summed into `other`.

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::{Reason, ReasonCode};

/// The smallest weight that is listed: ln 1.5, the factor from which minFraud too gives a reason.
const CUT_OFF: f64 = 0.405;

/// Reasons in the making.
#[derive(Debug)]
pub(super) struct Tally {
    reasons: SmallVec<[Reason; 8]>,
    sum: f64,
    other: f64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Tally { reasons: SmallVec::new(), sum: 0.0, other: 0.0 }
    }

    /// Adds a weight; the detail is only written when the weight is listed.
    pub(super) fn add(&mut self, code: ReasonCode, weight: f64, detail: impl FnOnce() -> Option<SmolStr>) {
        self.sum += weight;
        if weight.abs() < CUT_OFF || code == ReasonCode::Other {
            self.other += weight;
        } else {
            self.reasons.push(Reason { code, weight, detail: detail() });
        }
    }

    /// Adds a fact that weighs nothing.
    pub(super) fn remark(&mut self, code: ReasonCode, detail: Option<SmolStr>) {
        if self.reasons.iter().all(|reason| reason.code != code) {
            self.reasons.push(Reason { code, weight: 0.0, detail });
        }
    }

    /// The sum of all weights, and the reasons by size of weight and then by code.
    pub(super) fn finish(mut self) -> (f64, SmallVec<[Reason; 8]>) {
        if self.other.abs() > 1e-12 {
            self.reasons.push(Reason { code: ReasonCode::Other, weight: self.other, detail: None });
        }
        self.reasons.sort_unstable_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()).then_with(|| a.code.as_label().cmp(b.code.as_label())));
        (self.sum, self.reasons)
    }
}
