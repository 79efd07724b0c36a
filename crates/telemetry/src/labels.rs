//! Closed sets of labels. The series of a metric never depend on request data.

use riskgate_tokens::TokenError;

/// Why a Lambda event was returned without a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassThrough {
    /// The trigger is not supported, or the pool is not served.
    NotOurs,
    /// The event could not be parsed. The answer is a denial.
    Unreadable,
}

/// Why an HTTP request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request does not have the documented format.
    BadRequest,
    /// The token is missing or wrong.
    Unauthorized,
    /// The Host header is not accepted, or the body is not JSON.
    WrongHostOrMediaType,
    /// The request is too large.
    TooLarge,
    /// The client sends too slowly.
    TooSlow,
    /// Too many requests are in progress.
    Overloaded,
}

/// The result of checking a token for step-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepUpResult {
    /// The authentication was sufficient, and the restriction ended.
    Passed,
    /// The token says that no challenge is open. Only the authorizer sees such tokens.
    NotRequired,
    /// The token was refused.
    Refused(TokenError),
    /// The sidecar does not know the assessment.
    UnknownAssessment,
    /// The store could not be reached.
    StoreFailed,
}

/// The labels of outcomes: the reports of callers, and the results of learning from a right password (`Learned`).
pub const OUTCOMES: [&str; 8] = ["success", "failure", "fraud", "not_fraud", "learned", "ambiguous", "no_attempt", "refused"];

impl PassThrough {
    /// All variants.
    pub const ALL: [PassThrough; 2] = [PassThrough::NotOurs, PassThrough::Unreadable];

    /// The label in metrics and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            PassThrough::NotOurs => "not_ours",
            PassThrough::Unreadable => "unreadable",
        }
    }
}

impl StepUpResult {
    /// One value of each label.
    pub fn all() -> impl Iterator<Item = StepUpResult> {
        let others = [StepUpResult::Passed, StepUpResult::NotRequired, StepUpResult::UnknownAssessment, StepUpResult::StoreFailed];
        others.into_iter().chain(TokenError::ALL.map(StepUpResult::Refused))
    }

    /// The label in responses, metrics and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            StepUpResult::Passed => "passed",
            StepUpResult::NotRequired => "not_required",
            StepUpResult::Refused(error) => error.as_label(),
            StepUpResult::UnknownAssessment => "unknown_assessment",
            StepUpResult::StoreFailed => "store",
        }
    }
}

impl Refusal {
    /// All variants.
    pub const ALL: [Refusal; 6] =
        [Refusal::BadRequest, Refusal::Unauthorized, Refusal::WrongHostOrMediaType, Refusal::TooLarge, Refusal::TooSlow, Refusal::Overloaded];

    /// The label in metrics and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            Refusal::BadRequest => "bad_request",
            Refusal::Unauthorized => "unauthorized",
            Refusal::WrongHostOrMediaType => "wrong_door",
            Refusal::TooLarge => "too_large",
            Refusal::TooSlow => "too_slow",
            Refusal::Overloaded => "overloaded",
        }
    }
}
