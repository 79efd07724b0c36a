//! Terms that say the same: travel and a new country, a report of the network and how rare the network is. One of each
//! pair counts.

use super::{
    mixture::{Mixed, Mixture, Told},
    outside::Candidate,
};

/// The mixture and the terms that count beside it.
#[derive(Debug)]
pub(super) struct Combined {
    /// The mixture; a term that is replaced is 0 in it.
    pub(super) mixed: Mixed,
    /// Whether travel replaces the country.
    pub(super) travelled: bool,
    /// The report of the network, unless the rare network replaces it.
    pub(super) report: Option<Candidate>,
}

/// Combines the mixture with travel and a report of the network.
///
/// The mixture is weighed again without a replaced term: subtracting the term's share afterwards could raise the sum
/// when something familiar is added.
pub(super) fn combine(mixture: &Mixture, told: Told, journey: f64, report: Option<Candidate>) -> Combined {
    let s = report.as_ref().map(|report| report.s);
    let (mut chosen, mut travelled) = (reported(mixture, told, s), false);
    if journey > 0.0 {
        let mut elsewhere = told;
        (elsewhere.strict.country, elsewhere.full.country, elsewhere.calm.country) = (0.0, 0.0, 0.0);
        let replaced = reported(mixture, elsewhere, s);
        if replaced.sum + journey > chosen.sum {
            (chosen, travelled) = (replaced, true);
        }
    }
    Combined { mixed: chosen.mixed, travelled, report: report.filter(|_| chosen.is_reported) }
}

/// The mixture with the report or with the rare network.
struct Reported {
    mixed: Mixed,
    sum: f64,
    is_reported: bool,
}

/// The larger sum counts; the smaller one where both are in the person's favour, so that neither raises the other.
fn reported(mixture: &Mixture, told: Told, report: Option<f64>) -> Reported {
    let mixed = mixture.weigh(&told);
    let rarity = told.strict.rarity;
    let Some(report) = report else { return Reported { sum: mixed.s, mixed, is_reported: false } };
    if rarity == 0.0 {
        return Reported { sum: mixed.s + report, mixed, is_reported: true };
    }
    let mut common = told;
    (common.strict.rarity, common.full.rarity, common.calm.rarity) = (0.0, 0.0, 0.0);
    let replaced = mixture.weigh(&common);
    let sum = replaced.s + report;
    let is_reported = if rarity < 0.0 && report <= 0.0 { sum < mixed.s } else { sum > mixed.s };
    if is_reported { Reported { mixed: replaced, sum, is_reported } } else { Reported { sum: mixed.s, mixed, is_reported } }
}
