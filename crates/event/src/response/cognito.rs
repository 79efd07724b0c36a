//! Responses to Cognito: the unchanged event, or an error whose message the user may see.

use smol_str::SmolStr;

use crate::response::Assessment;
use riskgate_engine::decision::Verdict;

/// A denial. The user sees its message, so it is the same sentence for every reason and for unknown users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The configured sentence and the assessment's id. Cognito appends a full stop.
    pub message: String,
}

/// The `errorType` of every denial.
pub const ERROR_TYPE: &str = "SignInDenied";

/// The denial of an assessment; `None` unless its action is `Deny`.
pub fn denial(assessment: &Assessment, sentence: &str) -> Option<Denial> {
    match assessment.decision.action {
        // A challenged sign-in goes on, and its tokens are restricted until the challenge is passed.
        Verdict::Allow | Verdict::Review | Verdict::Challenge => None,
        Verdict::Deny => Some(Denial::new(sentence, &assessment.id)),
    }
}

impl Denial {
    /// A denial with the sentence and the id that the user can quote to support.
    pub fn new(sentence: &str, id: &SmolStr) -> Self {
        Denial { message: format!("{sentence} {id}") }
    }
}
