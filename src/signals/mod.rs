//! Stage 3 of 6: Evidence -> Signals.
//!
//! Plain named facts, nothing weighed yet. Pure: no clock, no wait, no failure.

use crate::evidence::Evidence;

pub mod lists;

pub use self::lists::{ListHits, Lists};

/// The facts of a sign-in.
#[derive(Debug)]
pub struct Signals {
    /// What they were read from.
    pub evidence: Evidence,
    /// Which of the operator's lists it is on.
    pub lists: ListHits,
}

impl Signals {
    /// Reads the facts from the evidence.
    pub fn read(evidence: Evidence, lists: &Lists) -> Self {
        let lists = lists.hits(&evidence.sign_in);
        Signals { evidence, lists }
    }

    /// Only the lists, when reading the rest panicked.
    pub fn bare(evidence: Evidence, lists: &Lists) -> Self {
        let lists = lists.hits(&evidence.sign_in);
        Signals { evidence, lists }
    }
}
