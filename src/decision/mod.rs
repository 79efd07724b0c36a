//! Stage 5 of 6: Score -> Decision.
//!
//! Who wins among lists, blocks, fallback and thresholds. Pure.

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
    /// `NO_IP`.
    NoIp,
    /// `FALLBACK`.
    Fallback,
    /// The thresholds.
    Thresholds,
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
    /// The name in explanations and the audit line.
    pub fn as_label(self) -> &'static str {
        match self {
            Rule::Exempt => "exempt",
            Rule::Suspended => "suspended",
            Rule::DenyClients => "deny_clients",
            Rule::DenyCidrs => "deny_cidrs",
            Rule::AllowCidrs => "allow_cidrs",
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
