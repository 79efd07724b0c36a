//! The mixture over attackers, and what each term adds under it.
//!
//! Four hypotheses of who is signing in instead of the person: somebody from anywhere, somebody with
//! an address in the person's country, somebody who copies provider and browser, and somebody from a
//! network that customers hardly use. S is the log of their weighted mean likelihood ratio, so a
//! familiar browser cannot buy back a new address: the third attacker would have copied it.

use super::weights::Weights;
use crate::config::history::MixtureProfile;

/// Terms of one sign-in: log-likelihood ratios, 0 where nothing is known.
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

/// The terms of one sign-in under three rules for what was seen on one day only.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Told {
    /// It says nothing for the person: what the reasons show.
    pub(super) strict: Terms,
    /// It speaks for the person like anything familiar.
    pub(super) full: Terms,
    /// Of the strict terms, those that speak for the person.
    pub(super) calm: Terms,
}

/// S, and each term times the posterior weight of the hypotheses that hold it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mixed {
    pub(super) s: f64,
    pub(super) terms: Terms,
}

/// The hypotheses' logarithmic weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mixture {
    ln: [f64; 4],
    reserve: f64,
}

impl Terms {
    /// Each term.
    pub(super) fn each(&mut self) -> [&mut f64; 11] {
        let Terms { country, asn, network, ip, device_type, os, browser, user_agent, device, hour, rarity } = self;
        [country, asn, network, ip, device_type, os, browser, user_agent, device, hour, rarity]
    }
}

impl Mixture {
    /// The named profile's weights, made to sum to 1.
    pub(super) fn new(profile: MixtureProfile, w: &Weights) -> Self {
        let weights = match profile {
            MixtureProfile::Balanced => [w.mixture_naive, w.mixture_vpn, w.mixture_targeted, w.mixture_rare],
            MixtureProfile::Targeted => [w.targeted_naive, w.targeted_vpn, w.targeted_targeted, w.targeted_rare],
        };
        let total: f64 = weights.iter().sum();
        Mixture { ln: weights.map(|weight| (weight / total).ln()), reserve: w.reserve }
    }

    /// S under the rule that a value speaks for the person only once it was seen on two days.
    ///
    /// Let A be S of the terms against the person alone. What is familiar takes the same factor off the likelihood
    /// ratio's excess over one, `e^A - 1`, as off the full ratio: `ln(1 + (e^A - 1) e^(full - A))`. This is A where nothing
    /// is familiar, falls with each term in the person's favour, and ends at 0. Below 0 go only values of two days, and
    /// only with what is left of their credit after a reserve: otherwise a person who has just begun would be mistaken
    /// for somebody else beside one who has been here for years. Weights of the terms are scaled to add up to S.
    pub(super) fn weigh(&self, told: &Told) -> Mixed {
        let strict = self.mix(&told.strict);
        let mut terms = strict.terms;
        if told.full.clone().each().into_iter().all(|term| *term >= 0.0) {
            return strict;
        }
        let mut without = told.full;
        without.each().into_iter().for_each(|term| *term = term.max(0.0));
        let (against, full, calm) = (self.sum(&without), self.sum(&told.full), self.sum(&told.calm));
        let excess = if full > 0.0 { full + ((-full).exp() - (-against).exp()).ln_1p() } else { (full.exp() * -(-against).exp_m1()).ln_1p() };
        let s = excess.max(0.0) + (full.max(calm) + self.reserve).min(0.0);
        let missing = s - strict.s;
        let (against, familiar) = terms.each().into_iter().fold((0.0, 0.0), |sum, term| (sum.0 + term.max(0.0), sum.1 + term.min(0.0)));
        let scale = |sum: f64| if sum == 0.0 { 1.0 } else { ((sum + missing) / sum).clamp(0.0, 1.0) };
        let (of_new, of_known) = if missing < 0.0 { (scale(against), 1.0) } else { (1.0, scale(familiar)) };
        for term in terms.each() {
            *term *= if *term > 0.0 { of_new } else { of_known };
        }
        Mixed { s, terms }
    }

    /// The logarithmic weight of each hypothesis with its terms, and the largest of them.
    fn hypotheses(&self, t: &Terms) -> ([f64; 4], f64) {
        let targeted = t.network + t.ip + t.device;
        let vpn = t.asn + t.device_type + t.os + t.browser + t.user_agent + t.hour + targeted;
        let naive = t.country + vpn;
        let rare = naive + t.rarity;
        let each = [naive + self.ln[0], vpn + self.ln[1], targeted + self.ln[2], rare + self.ln[3]];
        (each, each[0].max(each[1]).max(each[2]).max(each[3]))
    }

    /// S of the terms.
    fn sum(&self, t: &Terms) -> f64 {
        let (each, high) = self.hypotheses(t);
        high + each.iter().map(|x| (x - high).exp()).sum::<f64>().ln()
    }

    /// Mixes the terms.
    fn mix(&self, t: &Terms) -> Mixed {
        let (each, high) = self.hypotheses(t);
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
        Mixed { s: high + total.ln(), terms }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::score::model::Tables;

    /// Terms of a sign-in; those in the person's favour are established where `established` is set.
    fn told(values: [f64; 11], established: [bool; 11]) -> Told {
        let mut told = Told::default();
        for (at, (value, is_established)) in values.into_iter().zip(established).enumerate() {
            *told.full.each()[at] = value;
            *told.strict.each()[at] = if is_established { value } else { value.max(0.0) };
            *told.calm.each()[at] = if is_established { value.min(0.0) } else { 0.0 };
        }
        told
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![Just(0.0), -6.0..6.0, -0.1..0.1]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

        #[test]
        fn a_term_in_the_persons_favour_never_raises_s(
            values in proptest::array::uniform11(value()), established in proptest::array::uniform11(any::<bool>()), at in 0_usize..11, favour in 0.0..6.0_f64, targeted: bool
        ) {
            let weights = Weights::parse(&Tables::bundled().weights).expect("the bundled weights are read");
            let mixture = Mixture::new(if targeted { MixtureProfile::Targeted } else { MixtureProfile::Balanced }, &weights);
            let (mut without, mut with) = (values, values);
            (without[at], with[at]) = (0.0, -favour);
            let (without, with) = (mixture.weigh(&told(without, established)), mixture.weigh(&told(with, established)));
            prop_assert!(with.s <= without.s + 1e-9, "{} without, {} with", without.s, with.s);
        }

        #[test]
        fn terms_against_the_person_never_lower_s(
            values in proptest::array::uniform11(value()), established in proptest::array::uniform11(any::<bool>()), at in 0_usize..11, against in 0.0..6.0_f64
        ) {
            let weights = Weights::parse(&Tables::bundled().weights).expect("the bundled weights are read");
            let mixture = Mixture::new(MixtureProfile::Balanced, &weights);
            let (mut without, mut with) = (values, values);
            (without[at], with[at]) = (0.0, against);
            let (without, with) = (mixture.weigh(&told(without, established)), mixture.weigh(&told(with, established)));
            prop_assert!(with.s >= without.s - 1e-9, "{} without, {} with", without.s, with.s);
        }
    }
}
