//! Stage 6 of 6: Decision -> bytes.
//!
//! The Assessment (a Decision with an id and the time it took) as HTTP callers read it, and as Cognito does.

use std::time::Duration;

use smol_str::SmolStr;

use crate::decision::Decision;

pub mod cognito;

pub mod http;

pub mod object;

/// A decision with an id and the time it took.
#[derive(Debug)]
pub struct Assessment {
    /// A ULID: what a denied person quotes, and by which the audit line is found.
    pub id: SmolStr,
    /// What was decided.
    pub decision: Decision,
    /// From the whole request read to the verdict.
    pub elapsed: Duration,
    /// What stages 3 to 5 took together.
    pub judging: Duration,
    /// The date of the model's tables.
    pub model: SmolStr,
}
