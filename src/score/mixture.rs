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
}

impl Mixture {
    /// The named profile's weights, made to sum to 1.
    pub(super) fn new(profile: MixtureProfile, w: &Weights) -> Self {
        let weights = match profile {
            MixtureProfile::Balanced => [w.mixture_naive, w.mixture_vpn, w.mixture_targeted, w.mixture_rare],
            MixtureProfile::Targeted => [w.targeted_naive, w.targeted_vpn, w.targeted_targeted, w.targeted_rare],
        };
        let total: f64 = weights.iter().sum();
        Mixture { ln: weights.map(|weight| (weight / total).ln()) }
    }

    /// Mixes the terms.
    pub(super) fn mix(&self, t: &Terms) -> Mixed {
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
