//! Pairs of `CHALLENGE_AT` and `DENY_AT`: what each pair would challenge and deny.

use std::fmt;

use serde::Serialize;

use crate::roc::{ScoreDistribution, percent};

/// The shares of challenged legitimate sign-ins in the table of pairs.
const CHALLENGED_SHARES: [f64; 4] = [0.005, 0.01, 0.02, 0.05];

/// The share of challenged legitimate sign-ins that is recommended: users accept a code once in a hundred sign-ins.
const RECOMMENDED: f64 = 0.01;

/// The shares of denied legitimate sign-ins, the best first. A log of too few sign-ins supports only a later one.
const DENIED_SHARES: [f64; 2] = [0.000_1, 0.001];

/// A challenge threshold and a deny threshold, and their effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ThresholdPair {
    /// `CHALLENGE_AT`
    pub challenge_at: f64,
    /// `DENY_AT`
    pub deny_at: f64,
    /// The share of legitimate sign-ins that may be challenged.
    pub challenges_at_most: f64,
    /// The share of legitimate sign-ins that are challenged.
    pub challenged: f64,
    /// The share of legitimate sign-ins that are denied.
    pub denied: f64,
    /// The share of labelled sign-ins that are challenged or denied, if there are any.
    pub met: Option<f64>,
    /// Whether this pair is recommended.
    pub recommended: bool,
}

/// The pairs for which the log has enough legitimate sign-ins: one expected beyond each threshold.
pub(crate) fn threshold_pairs(legit: &ScoreDistribution, attacks: &ScoreDistribution) -> Vec<ThresholdPair> {
    #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
    let is_supported = |share: f64| legit.total() as f64 * share >= 1.0;
    let Some(denied) = DENIED_SHARES.into_iter().find(|share| is_supported(*share)) else { return Vec::new() };
    let deny_at = legit.threshold_for(denied);
    let denied = legit.share_from(deny_at);
    let pair = |challenged: f64| {
        let challenge_at = legit.threshold_for(challenged + denied).min(deny_at);
        ThresholdPair {
            challenge_at,
            deny_at,
            challenges_at_most: challenged,
            challenged: legit.share_from(challenge_at) - denied,
            denied,
            met: (attacks.total() > 0).then(|| attacks.share_from(challenge_at)),
            recommended: challenged == RECOMMENDED,
        }
    };
    CHALLENGED_SHARES.into_iter().map(pair).collect()
}

impl fmt::Display for ThresholdPair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CHALLENGE_AT={}, DENY_AT={}: {}", self.challenge_at, self.deny_at, self.effect())
    }
}

impl ThresholdPair {
    /// The effect as a phrase.
    pub(crate) fn effect(&self) -> String {
        let met = self.met.map_or_else(String::new, |met| format!(", {} of the attacks met", percent(met)));
        format!("{} of legitimate sign-ins challenged, {} denied{met}", percent(self.challenged), percent(self.denied))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pairs_have_the_shares_that_they_are_for() {
        let (mut legit, mut attacks) = (ScoreDistribution::default(), ScoreDistribution::default());
        // Uniform scores from 0 to 99.9: a distribution counts tenths, and 100 has no lower share than its own tenth.
        (0..20_000_u32).for_each(|number| legit.add(f64::from(number) / 200.2));
        (0..100_u32).for_each(|number| attacks.add(f64::from(number)));
        let pairs = threshold_pairs(&legit, &attacks);
        assert_eq!(pairs.iter().map(|pair| pair.challenges_at_most).collect::<Vec<_>>(), CHALLENGED_SHARES);
        for pair in &pairs {
            assert!(pair.denied <= 0.000_1 && pair.challenge_at <= pair.deny_at, "{pair:?}");
            assert!((pair.challenged - pair.challenges_at_most).abs() < 0.005 + 1e-9, "{pair:?}");
        }
        assert_eq!(pairs.iter().filter(|pair| pair.recommended).count(), 1);
        // 5,000 sign-ins are too few for one denial in 10,000, and 500 for one in 1,000.
        let of = |count: u32| {
            let mut legit = ScoreDistribution::default();
            (0..count).for_each(|number| legit.add(f64::from(number) * 100.0 / f64::from(count)));
            threshold_pairs(&legit, &ScoreDistribution::default())
        };
        assert!(of(5_000).iter().all(|pair| pair.denied > 0.000_1 && pair.met.is_none()));
        assert!(of(500).is_empty());
    }
}
