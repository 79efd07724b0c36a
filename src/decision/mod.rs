//! Stage 5 of 6: Score -> Decision.
//!
//! Who wins among lists, blocks, fallback and thresholds. Pure.

use smol_str::{SmolStr, format_smolstr};

use crate::{
    config::decision::{Fallback, Mode},
    score::Score,
};

pub mod policy;

pub use self::policy::Policy;

/// What was judged of a sign-in, and what the caller does.
#[derive(Debug)]
pub struct Decision {
    /// What was weighed.
    pub score: Score,
    /// What was judged.
    pub verdict: Verdict,
    /// What the caller does: in monitor mode always allow, a block apart.
    pub action: Verdict,
    /// Enforce or monitor, for this client.
    pub mode: Mode,
    /// The score's level under this client's thresholds.
    pub level: Level,
    /// Which rule won.
    pub rule: Rule,
    /// The fallback that decided, when every service that was due failed.
    pub fallback: Option<Fallback>,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let in.
    Allow,
    /// Let in, flagged.
    Review,
    /// Keep out.
    Deny,
}

/// A score's level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Under `REVIEW_AT`.
    Low,
    /// Between the thresholds.
    Medium,
    /// From `DENY_AT`.
    High,
}

/// The rules in the order in which they win.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// An operator's exemption.
    Exempt,
    /// An operator's suspension.
    Suspended,
    /// `DENY_CLIENTS`.
    DenyClients,
    /// `DENY_CIDRS`, or a service's ban.
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

// === impl Decision ===

impl Decision {
    /// The entry of the operator's list by which the rule won: a network, an AS number, a country or an app client.
    pub fn list_entry(&self) -> Option<SmolStr> {
        let signals = &self.score.signals;
        let (lists, evidence) = (&signals.lists, &signals.evidence);
        match self.rule {
            Rule::DenyClients => Some(evidence.sign_in.client.clone()),
            // A service's ban is the same rule without an entry.
            Rule::DenyCidrs => lists.network.filter(|_| lists.denied).map(|net| format_smolstr!("{net}")),
            Rule::AllowCidrs => lists.network.map(|net| format_smolstr!("{net}")),
            Rule::DenyAsns | Rule::AllowAsns => evidence.networks.asn.map(|asn| format_smolstr!("AS{asn}")),
            Rule::DenyCountries => evidence.networks.country.map(|country| country.as_str().into()),
            Rule::Exempt | Rule::Suspended | Rule::NoIp | Rule::Fallback | Rule::Thresholds => None,
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 3] = [Verdict::Allow, Verdict::Review, Verdict::Deny];

    /// The label in metrics and answers.
    pub fn as_label(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Review => "review",
            Verdict::Deny => "deny",
        }
    }
}

// === impl Rule ===

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

// === impl Level ===

impl Level {
    /// Every level.
    pub const ALL: [Level; 3] = [Level::Low, Level::Medium, Level::High];

    /// The label in metrics and answers.
    pub fn as_label(self) -> &'static str {
        match self {
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
        }
    }
}
