//! Stage 5 of 6: Score -> Decision.
//!
//! The precedence of lists, blocks, fallback and thresholds.

use std::sync::Arc;

use smol_str::{SmolStr, format_smolstr};

use crate::{
    score::Score,
    settings::{Fallback, Mode},
};

pub mod policy;

pub use crate::decision::policy::Policy;

/// The decision about a sign-in, and the action that the caller takes.
#[derive(Debug)]
pub struct Decision {
    /// The score with its signals and evidence.
    pub score: Score,
    /// The verdict of the winning rule.
    pub verdict: Verdict,
    /// What the caller does. In monitor mode this is always `Allow`, except for an operator's suspension.
    pub action: Verdict,
    /// The mode of this app client: enforce or monitor.
    pub mode: Mode,
    /// The risk level of the score under this app client's thresholds.
    pub level: ScoreLevel,
    /// The thresholds of this app client.
    pub thresholds: Thresholds,
    /// The rule that decided.
    pub rule: Rule,
    /// The fallback, if it decided because no configured service had a usable answer.
    pub fallback: Option<Fallback>,
    /// If the action is `Challenge`: the authentication levels that answer it, highest first.
    pub acr_values: Option<Arc<[String]>>,
}

/// The thresholds of one app client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// `REVIEW_AT`.
    pub review_at: f64,
    /// `CHALLENGE_AT`; `None` without challenges.
    pub challenge_at: Option<f64>,
    /// `DENY_AT`.
    pub deny_at: f64,
}

impl Decision {
    /// Whether history or a risk service failed, or a service answered from an outdated block list. A degraded sign-in is not learned from.
    pub fn is_degraded(&self) -> bool {
        let evidence = &self.score.signals.evidence;
        evidence.history_outcome.cause().is_some()
            || evidence.history.unread.iter().next().is_some()
            || evidence.services.iter().any(|result| result.degraded().is_some())
    }
}

/// What to do with a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let the sign-in continue.
    Allow,
    /// Let the sign-in continue, flagged for review.
    Review,
    /// Let the sign-in continue only after a stronger proof.
    Challenge,
    /// Reject the sign-in.
    Deny,
}

/// The risk level of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreLevel {
    /// Below `REVIEW_AT`.
    Low,
    /// From `REVIEW_AT`, but below `DENY_AT`.
    Medium,
    /// From `DENY_AT`.
    High,
}

/// The rules, in order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// An operator's exemption.
    Exempt,
    /// An operator's suspension.
    Suspended,
    /// `DENY_CLIENTS`.
    DenyClients,
    /// `DENY_CIDRS`, or a ban by a service.
    DenyCidrs,
    /// `ALLOW_CIDRS`.
    AllowCidrs,
    /// `DENY_ASNS`.
    DenyAsns,
    /// `ALLOW_ASNS`.
    AllowAsns,
    /// `DENY_COUNTRIES`.
    DenyCountries,
    /// `NO_IP`.
    NoIp,
    /// `FALLBACK`.
    Fallback,
    /// A review that a service requests or a reason requires, while the score is below `REVIEW_AT`.
    ReviewFloor,
    /// The thresholds.
    Thresholds,
}

impl Decision {
    /// The entry of the operator's list that matched, if a list decided: a network, an AS number, a country or an app client. For a
    /// review below the threshold, the service or the reason that requires it.
    pub fn list_entry(&self) -> Option<SmolStr> {
        let signals = &self.score.signals;
        let (lists, evidence) = (&signals.lists, &signals.evidence);
        match self.rule {
            Rule::DenyClients => Some(evidence.sign_in.client.clone()),
            // A ban by a service is the same rule, but has no entry.
            Rule::DenyCidrs => lists.network.filter(|_| lists.denied).map(|net| format_smolstr!("{net}")),
            Rule::AllowCidrs => lists.network.map(|net| format_smolstr!("{net}")),
            Rule::DenyAsns | Rule::AllowAsns => evidence.networks.asn.map(|asn| format_smolstr!("AS{asn}")),
            Rule::DenyCountries => evidence.networks.country.map(|country| country.as_str().into()),
            Rule::ReviewFloor => match evidence.services.iter().find(|result| policy::is_review(result)) {
                Some(result) => Some(result.service.as_label().into()),
                None => self.score.review_floor.map(|code| code.as_label().into()),
            },
            Rule::Exempt | Rule::Suspended | Rule::NoIp | Rule::Fallback | Rule::Thresholds => None,
        }
    }
}

labels!(Verdict, "The label in metrics and responses.", {
    Allow "allow"
    Review "review"
    Challenge "challenge"
    Deny "deny"
});

labels!(Rule, "The name in explanations and the audit line.", {
    Exempt "exempt"
    Suspended "suspended"
    DenyClients "deny_clients"
    DenyCidrs "deny_cidrs"
    AllowCidrs "allow_cidrs"
    DenyAsns "deny_asns"
    AllowAsns "allow_asns"
    DenyCountries "deny_countries"
    NoIp "no_ip"
    Fallback "fallback"
    ReviewFloor "review_floor"
    Thresholds "thresholds"
});

labels!(ScoreLevel, "The label in metrics and responses.", {
    Low "low"
    Medium "medium"
    High "high"
});
