//! Combination of terms that measure the same thing: travel and a new country, a network report and the network's rarity. Only one
//! of each pair counts.

use crate::score::{
    mixture::{MixedTerms, Mixture, TermSets},
    network_reputation::NetworkReport,
};

/// The mixture and the additional terms that count.
#[derive(Debug)]
pub(super) struct CombinedTerms {
    /// The mixture. A replaced term is 0.
    pub(super) mixed: MixedTerms,
    /// Whether travel replaces the country term.
    pub(super) is_travel: bool,
    /// The network report, unless the rarity term replaces it.
    pub(super) report: Option<NetworkReport>,
    /// The sum of everything that counts.
    pub(super) sum: f64,
}

/// Combines the mixture with the weight of travel and a network report.
///
/// The mixture is computed again without a replaced term. Subtracting the term's contribution instead could raise the sum when a
/// familiar value is added.
pub(super) fn combine(mixture: &Mixture, terms: TermSets, travel: f64, report: Option<NetworkReport>) -> CombinedTerms {
    let s = report.as_ref().map(|report| report.s);
    let (mut chosen, mut is_travel) = (add_report(mixture, terms, s), false);
    if travel > 0.0 {
        let mut without_country = terms;
        (without_country.strict.country, without_country.full.country, without_country.favourable.country) = (0.0, 0.0, 0.0);
        let replaced = add_report(mixture, without_country, s);
        if replaced.sum + travel > chosen.sum {
            (chosen, is_travel) = (replaced, true);
        }
    }
    let sum = chosen.sum + if is_travel { travel } else { 0.0 };
    CombinedTerms { mixed: chosen.mixed, is_travel, sum, report: report.filter(|_| chosen.has_report) }
}

/// The mixture with either the network report or the rarity term.
struct WithReport {
    mixed: MixedTerms,
    sum: f64,
    has_report: bool,
}

/// Chooses between the report and the rarity term. The larger sum counts, or the smaller one if both count in the user's favour:
/// adding a favourable report must not raise the score.
fn add_report(mixture: &Mixture, terms: TermSets, report: Option<f64>) -> WithReport {
    let mixed = mixture.weigh(&terms);
    let rarity = terms.strict.rarity;
    let Some(report) = report else { return WithReport { sum: mixed.s, mixed, has_report: false } };
    if rarity == 0.0 {
        return WithReport { sum: mixed.s + report, mixed, has_report: true };
    }
    let mut without_rarity = terms;
    (without_rarity.strict.rarity, without_rarity.full.rarity, without_rarity.favourable.rarity) = (0.0, 0.0, 0.0);
    let replaced = mixture.weigh(&without_rarity);
    let sum = replaced.s + report;
    let has_report = if rarity < 0.0 && report <= 0.0 { sum < mixed.s } else { sum > mixed.s };
    if has_report { WithReport { mixed: replaced, sum, has_report } } else { WithReport { sum: mixed.s, mixed, has_report } }
}
