//! Accumulation of reasons: large weights are listed, small ones are summed as `other`.

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::score::reason::{Reason, ReasonCode};

/// The smallest absolute weight that is always listed: ln 1.5. minFraud also reports reasons from a risk multiplier of 1.5.
const MIN_LISTED_WEIGHT: f64 = 0.405;

/// The reasons of a score while it is computed.
#[derive(Debug, Default)]
pub(super) struct ReasonAccumulator {
    reasons: SmallVec<[Reason; 8]>,
    sum: f64,
    small: SmallVec<[(ReasonCode, f64); 12]>,
}

impl ReasonAccumulator {
    /// Adds a weight. `detail` is only called if the weight is always listed.
    pub(super) fn add(&mut self, code: ReasonCode, weight: f64, detail: impl FnOnce() -> Option<SmolStr>) {
        self.sum += weight;
        if weight.abs() >= MIN_LISTED_WEIGHT {
            self.reasons.push(Reason { code, weight, detail: detail() });
        } else if weight != 0.0 {
            self.small.push((code, weight));
        }
    }

    /// Adds a reason without weight, unless the code is already listed.
    pub(super) fn annotate(&mut self, code: ReasonCode, detail: Option<SmolStr>) {
        if self.reasons.iter().all(|reason| reason.code != code) {
            self.reasons.push(Reason { code, weight: 0.0, detail });
        }
    }

    /// The sum of all weights, and the reasons by absolute weight and then by code. `other` is never alone and never exceeds a listed
    /// weight: until then, the largest of the small weights are listed too.
    pub(super) fn finish(mut self) -> (f64, SmallVec<[Reason; 8]>) {
        let is_any_listed = self.reasons.iter().any(|reason| reason.weight != 0.0);
        // Without a listed weight, the largest small one is listed, unless it rounds to 0.
        let mut least = if is_any_listed { MIN_LISTED_WEIGHT } else { 0.005 };
        let other = loop {
            let other: f64 = self.small.iter().map(|(_, weight)| weight).sum();
            let largest = (0..self.small.len()).max_by(|a, b| self.small[*a].1.abs().total_cmp(&self.small[*b].1.abs()));
            let Some(largest) = largest.filter(|_| other.abs() > least) else { break other };
            let (code, weight) = self.small.swap_remove(largest);
            least = weight.abs();
            self.reasons.retain(|reason| reason.code != code || reason.weight != 0.0);
            self.reasons.push(Reason { code, weight, detail: None });
        };
        if other.abs() >= 5e-5 {
            self.reasons.push(Reason { code: ReasonCode::Other, weight: other, detail: None });
        }
        self.reasons.sort_unstable_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()).then_with(|| a.code.as_label().cmp(b.code.as_label())));
        (self.sum, self.reasons)
    }
}
