//! What a pass does besides counting: each option is off unless it is set.

use std::io::Write;

use crate::pass::Pass;
use crate::promises::PromiseCheck;
use crate::selection::UserSelection;
use crate::tables::TableBuilder;

impl Pass {
    /// Counts and learns from the sign-ins of these users only.
    #[must_use]
    pub fn with_users(self, users: UserSelection) -> Self {
        Pass { users, ..self }
    }

    /// Writes a JSON line to `scores` for each scored record.
    #[must_use]
    pub fn with_scores_output(self, scores: Box<dyn Write + Send>) -> Self {
        Pass { scores: Some(scores), ..self }
    }

    /// Calibrates the score on the log, and checks its promises.
    #[must_use]
    pub fn with_promise_check(self, check: PromiseCheck) -> Self {
        Pass { promise_check: Some(check), ..self }
    }

    /// Raises the scores of sign-ins with values of an attack on their pool (`attack_wave`), as in live operation. Not for learning.
    #[must_use]
    pub fn with_attack_wave(self) -> Self {
        Pass { weighs_attacks: true, ..self }
    }

    /// Starts counting at this record. Earlier rows are only learned from.
    #[must_use]
    pub fn with_count_from(self, row: u64) -> Self {
        Pass { count_from: row, ..self }
    }

    /// Collects the statistics for the model's tables.
    #[must_use]
    pub fn with_table_builder(self, table_builder: TableBuilder) -> Self {
        Pass { table_builder: Some(table_builder), ..self }
    }

    /// Stores the verdicts, at two bytes per record.
    #[must_use]
    pub fn with_verdicts(self) -> Self {
        Pass { verdicts: Some(Vec::new()), ..self }
    }
}
