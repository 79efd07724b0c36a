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
    /// What is familiar first makes what is new beside it weigh less, smoothly down to nothing (`ln(1 + e^S)` keeps the
    /// order of the full likelihood ratios). Below nothing go only values of two days, and only with what is left of
    /// their credit after a reserve: so a person who has just begun is not mistaken for somebody else beside one who
    /// has been here for years. Weights of the terms are scaled to add up to that.
    pub(super) fn weigh(&self, told: &Told) -> Mixed {
        let strict = self.mix(&told.strict);
        let mut terms = strict.terms;
        if told.full.clone().each().into_iter().all(|term| *term >= 0.0) {
            return strict;
        }
        let (full, calm) = (self.mix(&told.full).s, self.mix(&told.calm).s);
        let s = full.max(0.0) + (-full.abs()).exp().ln_1p() + (full.max(calm) + self.reserve).min(0.0);
        let missing = s - strict.s;
        let (against, familiar) = terms.each().into_iter().fold((0.0, 0.0), |sum, term| (sum.0 + term.max(0.0), sum.1 + term.min(0.0)));
        let scale = |sum: f64| if sum == 0.0 { 1.0 } else { ((sum + missing) / sum).clamp(0.0, 1.0) };
        let (of_new, of_known) = if missing < 0.0 { (scale(against), 1.0) } else { (1.0, scale(familiar)) };
        for term in terms.each() {
            *term *= if *term > 0.0 { of_new } else { of_known };
        }
        Mixed { s, terms }
    }

    /// Mixes the terms.
    fn mix(&self, t: &Terms) -> Mixed {
        let targeted = t.network + t.ip + t.device;
        let vpn = t.asn + t.device_type + t.os + t.browser + t.user_agent + t.hour + targeted;
        let naive = t.country + vpn;
        let rare = naive + t.rarity;
        let [naive, vpn, targeted, rare] = [naive + self.ln[0], vpn + self.ln[1], targeted + self.ln[2], rare + self.ln[3]];
        let high = naive.max(vpn).max(targeted).max(rare);
        let odds = [naive, vpn, targeted, rare].map(|x| (x - high).exp());
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
