//! Decisions and outcomes, as audit lines spell them.

use serde::{Deserialize, Serialize};

/// A decision or an action, in order of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The sign-in is let in.
    Allow,
    /// The sign-in is let in and flagged.
    Review,
    /// The sign-in is let in only after a stronger proof.
    Challenge,
    /// The sign-in is refused.
    Deny,
}

/// How a sign-in ended, as an audit line spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The password was right.
    Success,
    /// The password was wrong.
    Failure,
    /// The sign-in was not by the user.
    Fraud,
    /// The sign-in was by the user.
    NotFraud,
    /// The user passed a challenge.
    ChallengePassed,
    /// The user did not pass a challenge.
    ChallengeFailed,
}

impl Decision {
    /// Every decision, mildest first.
    pub const ALL: [Decision; 4] = [Decision::Allow, Decision::Review, Decision::Challenge, Decision::Deny];

    /// The text in JSON.
    pub fn as_label(self) -> &'static str {
        match self {
            Decision::Allow => "allow",
            Decision::Review => "review",
            Decision::Challenge => "challenge",
            Decision::Deny => "deny",
        }
    }
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 6] = [Outcome::Success, Outcome::Failure, Outcome::Fraud, Outcome::NotFraud, Outcome::ChallengePassed, Outcome::ChallengeFailed];

    /// The text in JSON.
    pub fn as_label(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Fraud => "fraud",
            Outcome::NotFraud => "not_fraud",
            Outcome::ChallengePassed => "challenge_passed",
            Outcome::ChallengeFailed => "challenge_failed",
        }
    }

    /// The outcome of a text in JSON.
    pub fn from_label(label: &str) -> Option<Self> {
        Outcome::ALL.into_iter().find(|outcome| outcome.as_label() == label)
    }

    /// Whether the outcome speaks against the user.
    pub fn is_against_user(self) -> bool {
        matches!(self, Outcome::Fraud | Outcome::ChallengeFailed)
    }

    /// Whether this outcome replaces another that was reported before: a judgement outlasts the result of a password.
    pub(crate) fn outranks(self, earlier: Outcome) -> bool {
        let rank = |outcome| match outcome {
            Outcome::Success | Outcome::Failure => 0,
            Outcome::ChallengePassed | Outcome::ChallengeFailed => 1,
            Outcome::Fraud | Outcome::NotFraud => 2,
        };
        rank(self) >= rank(earlier)
    }
}
