//! Stage 5 of 6: Score -> Decision.
//!
//! The precedence of lists, blocks, fallback and thresholds.

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
    /// The rule that decided.
    pub rule: Rule,
    /// The fallback, if it decided because no configured service had a usable answer.
    pub fallback: Option<Fallback>,
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
    /// The thresholds.
    Thresholds,
}

impl Decision {
    /// The entry of the operator's list that matched, if a list decided: a network, an AS number, a country or an app client.
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
            Rule::Exempt | Rule::Suspended | Rule::NoIp | Rule::Fallback | Rule::Thresholds => None,
        }
    }
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 3] = [Verdict::Allow, Verdict::Review, Verdict::Deny];

    /// The label in metrics and responses.
    pub fn as_label(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Review => "review",
            Verdict::Deny => "deny",
        }
    }
}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 11] = [
        Rule::Exempt,
        Rule::Suspended,
        Rule::DenyClients,
        Rule::DenyCidrs,
        Rule::AllowCidrs,
        Rule::DenyAsns,
        Rule::AllowAsns,
        Rule::DenyCountries,
        Rule::NoIp,
        Rule::Fallback,
        Rule::Thresholds,
    ];

    /// The name in explanations and the audit line.
    pub fn as_label(self) -> &'static str {
        match self {
            Rule::Exempt => "exempt",
            Rule::Suspended => "suspended",
            Rule::DenyClients => "deny_clients",
            Rule::DenyCidrs => "deny_cidrs",
            Rule::AllowCidrs => "allow_cidrs",
            Rule::DenyAsns => "deny_asns",
            Rule::AllowAsns => "allow_asns",
            Rule::DenyCountries => "deny_countries",
            Rule::NoIp => "no_ip",
            Rule::Fallback => "fallback",
            Rule::Thresholds => "thresholds",
        }
    }
}

impl ScoreLevel {
    /// Every level.
    pub const ALL: [ScoreLevel; 3] = [ScoreLevel::Low, ScoreLevel::Medium, ScoreLevel::High];

    /// The label in metrics and responses.
    pub fn as_label(self) -> &'static str {
        match self {
            ScoreLevel::Low => "low",
            ScoreLevel::Medium => "medium",
            ScoreLevel::High => "high",
        }
    }
}
