//! Step-up in the sidecar: which user an assessment belongs to, and whether its challenge was passed before.

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::repository::{
    HistoryRepository,
    outcome::{OUTCOME_TTL, PendingOutcome, outcome_key},
};
use riskgate_engine::evidence::{FailureReason, store_parts::StorePart};

/// The user of a token, by the names under which the app may have assessed the sign-in.
#[derive(Debug, Clone, Copy)]
pub struct TokenUser<'a> {
    /// The user pool's id.
    pub pool: &'a str,
    /// The `sub`.
    pub sub: &'a str,
    /// The user name.
    pub username: Option<&'a str>,
}

/// An assessment as step-up finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepUpAssessment {
    /// Its outcome is open.
    Open {
        /// When the sign-in was assessed. The user must authenticate later.
        at: Timestamp,
    },
    /// The same user passed its challenge before.
    Passed,
    /// It belongs to another user.
    OtherUser,
    /// It is unknown, too old, or its outcome was reported in another way.
    Unknown,
}

fn passed_key(id: &str) -> String {
    format!("s#{id}")
}

impl HistoryRepository {
    /// Finds the assessment that a user's step-up answers.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn find_step_up(&self, id: &str, user: TokenUser<'_>, now: Timestamp) -> Result<StepUpAssessment, FailureReason> {
        let stored = self.run_reported(StorePart::Success, self.store.get(&outcome_key(id), now)).await?;
        if let Some(pending) = stored.as_deref().and_then(PendingOutcome::from_bytes).filter(PendingOutcome::may_be_challenged) {
            let is_user = self.user_keys(user).any(|key| pending.is_user(&key));
            return Ok(if is_user { StepUpAssessment::Open { at: pending.at() } } else { StepUpAssessment::OtherUser });
        }
        let passed = self.run_reported(StorePart::Success, self.store.get(&passed_key(id), now)).await?;
        Ok(match passed {
            Some(by) if self.step_up_hashes(id, user).any(|hash| hash.as_bytes() == by) => StepUpAssessment::Passed,
            Some(_) => StepUpAssessment::OtherUser,
            None => StepUpAssessment::Unknown,
        })
    }

    /// Records who passed the challenge of an assessment, so a repeated request gets the same answer.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn record_step_up(&self, id: &str, user: TokenUser<'_>, now: Timestamp) -> Result<(), FailureReason> {
        let Some(hash) = self.step_up_hashes(id, user).next() else { return Ok(()) };
        self.run_reported(StorePart::Success, self.store.put(&passed_key(id), hash.as_bytes(), OUTCOME_TTL, now)).await
    }

    /// The store keys of a user's record, for each of the names, with and without the pool: an assess request need not name it.
    fn user_keys(&self, user: TokenUser<'_>) -> impl Iterator<Item = SmolStr> {
        let names = std::iter::once(user.sub).chain(user.username);
        names.flat_map(move |name| [user.pool, ""].into_iter().flat_map(move |pool| self.record_keys(pool, name)))
    }

    /// The keyed hashes of a user for one assessment, under each key, newest first.
    fn step_up_hashes(&self, id: &str, user: TokenUser<'_>) -> impl Iterator<Item = SmolStr> {
        self.pseudonyms.records("step_up", &[id.as_bytes(), user.pool.as_bytes(), user.sub.as_bytes()]).into_iter()
    }
}
