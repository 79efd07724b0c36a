//! Closed sets of labels. The series of a metric never depend on request data.

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
