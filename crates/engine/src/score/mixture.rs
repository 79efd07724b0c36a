//! The mixture over types of attackers, and what each term contributes to it.
//!
//! There are four types: an attacker from anywhere (naive), one with an address in the user's country (VPN) and one who imitates the
//! user's provider and browser (targeted), after Wiefling et al. (TOPS 2022), and one from a network that customers rarely use (rare).
//! S is the logarithm of their weighted mean likelihood ratio. A familiar browser therefore does not offset a new address: a
//! targeted attacker would imitate the browser.

use crate::score::weights::Weights;
use crate::settings::MixtureProfile;

/// The terms of one sign-in: log-likelihood ratios, 0 if unknown. Positive terms count against the user.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Terms {
    pub(super) country: f64,
    pub(super) asn: f64,
    pub(super) network: f64,
    pub(super) ip: f64,
    pub(super) device_type: f64,
    pub(super) os: f64,
    pub(super) browser: f64,
    pub(super) user_agent: f64,
    pub(super) device: f64,
    pub(super) hour: f64,
    pub(super) rarity: f64,
}

/// The terms of one sign-in under three rules for values that were seen on one day only.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct TermSets {
    /// They do not count in the user's favour. The reasons show these terms.
    pub(super) strict: Terms,
    /// They count like established values.
    pub(super) full: Terms,
    /// The strict terms that count in the user's favour.
    pub(super) favourable: Terms,
}

/// S, and each term times the posterior weight of the attacker types to which it applies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MixedTerms {
    pub(super) s: f64,
    pub(super) terms: Terms,
}

/// The logarithmic weights of the attacker types.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mixture {
    ln: [f64; 4],
    reserve: f64,
}

impl Terms {
    /// Every term.
    pub(super) fn iter_mut(&mut self) -> [&mut f64; 11] {
        let Terms { country, asn, network, ip, device_type, os, browser, user_agent, device, hour, rarity } = self;
        [country, asn, network, ip, device_type, os, browser, user_agent, device, hour, rarity]
    }
}

impl MixedTerms {
    /// Scales the terms until they add up to S: first those whose weakening helps, then the others. No term changes its sign.
    fn balanced(mut self) -> Self {
        let (against, familiar) = self.terms.iter_mut().into_iter().fold((0.0, 0.0), |sum, term| (sum.0 + term.max(0.0), sum.1 + term.min(0.0)));
        let (new_against, new_familiar) = if self.s > against + familiar {
            let new_familiar = (self.s - against).clamp(familiar, 0.0);
            (self.s - new_familiar, new_familiar)
        } else {
            let new_against = (self.s - familiar).clamp(0.0, against);
            (new_against, self.s - new_against)
        };
        let scale = |new: f64, old: f64| if old == 0.0 { 1.0 } else { new / old };
        let (of_new, of_known) = (scale(new_against, against), scale(new_familiar, familiar));
        self.terms.iter_mut().into_iter().for_each(|term| *term *= if *term > 0.0 { of_new } else { of_known });
        self
    }
}

impl Mixture {
    /// The weights of a profile, normalised to the sum 1.
    pub(super) fn new(profile: MixtureProfile, w: &Weights) -> Self {
        let weights = match profile {
            MixtureProfile::Balanced => [w.mixture_naive, w.mixture_vpn, w.mixture_targeted, w.mixture_rare],
            MixtureProfile::Targeted => [w.targeted_naive, w.targeted_vpn, w.targeted_targeted, w.targeted_rare],
        };
        let total: f64 = weights.iter().sum();
        Mixture { ln: weights.map(|weight| (weight / total).ln()), reserve: w.reserve }
    }

    /// S, and the contribution of each term, which add up to S. Only values that were seen on two days can make S negative.
    ///
    /// Let A be the S of the positive terms alone. Familiar values reduce the likelihood ratio's excess over one, `e^A - 1`, by the
    /// same factor as the full ratio: `ln(1 + (e^A - 1) e^(full - A))`. This is A if nothing is familiar, falls with every negative
    /// term, and approaches 0. Only established values lower S below 0, by what exceeds `reserve`. Without the reserve,
    /// legitimate sign-ins of users with one day of history would score like attacks on long-established users.
    pub(super) fn weigh(&self, sets: &TermSets) -> MixedTerms {
        let strict = self.mix(&sets.strict);
        if sets.full.clone().iter_mut().into_iter().all(|term| *term >= 0.0) {
            return strict.balanced();
        }
        let mut without = sets.full;
        without.iter_mut().into_iter().for_each(|term| *term = term.max(0.0));
        let (against, full, favourable) = (self.sum(&without), self.sum(&sets.full), self.sum(&sets.favourable));
        let excess = if full > 0.0 { full + ((-full).exp() - (-against).exp()).ln_1p() } else { (full.exp() * -(-against).exp_m1()).ln_1p() };
        let s = excess.max(0.0) + (full.max(favourable) + self.reserve).min(0.0);
        MixedTerms { s, terms: strict.terms }.balanced()
    }

    /// The logarithm of each attacker type's weight times its likelihood ratio, and the largest of them.
    fn log_weights(&self, t: &Terms) -> ([f64; 4], f64) {
        let targeted = t.network + t.ip + t.device;
        let vpn = t.asn + t.device_type + t.os + t.browser + t.user_agent + t.hour + targeted;
        let naive = t.country + vpn;
        let rare = naive + t.rarity;
        let each = [naive + self.ln[0], vpn + self.ln[1], targeted + self.ln[2], rare + self.ln[3]];
        (each, each[0].max(each[1]).max(each[2]).max(each[3]))
    }

    /// The logarithm of the weighted mean likelihood ratio, without contributions.
    fn sum(&self, t: &Terms) -> f64 {
        let (each, high) = self.log_weights(t);
        high + each.iter().map(|x| (x - high).exp()).sum::<f64>().ln()
    }

    /// The logarithm of the weighted mean likelihood ratio, with the contribution of each term.
    fn mix(&self, t: &Terms) -> MixedTerms {
        let (each, high) = self.log_weights(t);
        let odds = each.map(|x| (x - high).exp());
        let total: f64 = odds.iter().sum();
        let [naive, vpn, _, rare] = odds.map(|x| x / total);
        let (with_country, but_targeted) = (naive + rare, naive + vpn + rare);
        let terms = Terms {
            country: t.country * with_country,
            asn: t.asn * but_targeted,
            network: t.network,
            ip: t.ip,
            device_type: t.device_type * but_targeted,
            os: t.os * but_targeted,
            browser: t.browser * but_targeted,
            user_agent: t.user_agent * but_targeted,
            device: t.device,
            hour: t.hour * but_targeted,
            rarity: t.rarity * rare,
        };
        MixedTerms { s: high + total.ln(), terms }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::score::model::Tables;

    static WEIGHTS: LazyLock<Weights> = LazyLock::new(|| Weights::parse(&Tables::bundled().weights).expect("valid bundled weights"));

    /// The term sets of a sign-in. `established` is used for negative values only.
    fn term_sets(values: [f64; 11], established: [bool; 11]) -> TermSets {
        let mut sets = TermSets::default();
        for (at, (value, is_established)) in values.into_iter().zip(established).enumerate() {
            *sets.full.iter_mut()[at] = value;
            *sets.strict.iter_mut()[at] = if is_established { value } else { value.max(0.0) };
            *sets.favourable.iter_mut()[at] = if is_established { value.min(0.0) } else { 0.0 };
        }
        sets
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![Just(0.0), -6.0..6.0, -0.1..0.1]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

        #[test]
        fn a_negative_term_never_raises_s(
            values in proptest::array::uniform11(value()), established in proptest::array::uniform11(any::<bool>()), at in 0_usize..11, favour in 0.0..6.0_f64, targeted: bool
        ) {
            let mixture = Mixture::new(if targeted { MixtureProfile::Targeted } else { MixtureProfile::Balanced }, &WEIGHTS);
            let (mut without, mut with) = (values, values);
            (without[at], with[at]) = (0.0, -favour);
            let (without, with) = (mixture.weigh(&term_sets(without, established)), mixture.weigh(&term_sets(with, established)));
            prop_assert!(with.s <= without.s + 1e-9, "{} without, {} with", without.s, with.s);
        }

        #[test]
        fn a_positive_term_never_lowers_s(
            values in proptest::array::uniform11(value()), established in proptest::array::uniform11(any::<bool>()), at in 0_usize..11, against in 0.0..6.0_f64
        ) {
            let mixture = Mixture::new(MixtureProfile::Balanced, &WEIGHTS);
            let (mut without, mut with) = (values, values);
            (without[at], with[at]) = (0.0, against);
            let (without, with) = (mixture.weigh(&term_sets(without, established)), mixture.weigh(&term_sets(with, established)));
            prop_assert!(with.s >= without.s - 1e-9, "{} without, {} with", without.s, with.s);
        }
    }
}
