//! Closed sets of labels: a metric's series never depend on who signs in.

/// Why an event went back undecided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandBack {
    /// Its trigger is not one of ours, or its pool is not served.
    NotOurs,
    /// It could not be read as an event: answered with a denial's words.
    Unreadable,
}

/// Why an HTTP request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not of the documented shape.
    BadRequest,
    /// No token, or a wrong one.
    Unauthorized,
    /// A Host that is not ours, or not JSON.
    WrongDoor,
    /// Too large.
    TooLarge,
    /// Too slow in sending.
    TooSlow,
    /// Too many at once.
    Overloaded,
}

/// What may be heard of a sign-in: what callers report, and what became of an attempt when its password was right (`Learned`).
pub const OUTCOMES: [&str; 8] = ["success", "failure", "fraud", "not_fraud", "learned", "ambiguous", "no_attempt", "refused"];

// === impl HandBack ===

impl HandBack {
    /// Every one.
    pub const ALL: [HandBack; 2] = [HandBack::NotOurs, HandBack::Unreadable];

    /// The label in metrics and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            HandBack::NotOurs => "not_ours",
            HandBack::Unreadable => "unreadable",
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// Every one.
    pub const ALL: [Refusal; 6] = [Refusal::BadRequest, Refusal::Unauthorized, Refusal::WrongDoor, Refusal::TooLarge, Refusal::TooSlow, Refusal::Overloaded];

    /// The label in metrics and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            Refusal::BadRequest => "bad_request",
            Refusal::Unauthorized => "unauthorized",
            Refusal::WrongDoor => "wrong_door",
            Refusal::TooLarge => "too_large",
            Refusal::TooSlow => "too_slow",
            Refusal::Overloaded => "overloaded",
        }
    }
}
