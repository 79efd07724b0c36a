//! What Cognito gets: the event back as it came, or an error whose text the person may read.

use smol_str::SmolStr;

use super::Assessment;
use crate::decision::Verdict;

/// A denial. Its text reaches the person who is signing in, so it is one sentence for every reason and for unknown users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The fixed sentence and the id, without a final dot: Cognito adds one.
    pub message: String,
}

/// The `errorType` of every denial.
pub const ERROR_TYPE: &str = "SignInDenied";

/// The denial of an assessment, when its action is to deny.
pub fn denial(assessment: &Assessment, sentence: &str) -> Option<Denial> {
    match assessment.decision.action {
        Verdict::Allow | Verdict::Review => None,
        Verdict::Deny => Some(Denial::new(sentence, &assessment.id)),
    }
}

impl Denial {
    /// The sentence with an id to quote.
    pub fn new(sentence: &str, id: &SmolStr) -> Self {
        Denial { message: format!("{sentence} {id}") }
    }
}
