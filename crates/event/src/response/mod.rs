//! Stage 6 of 6: Decision -> bytes.
//!
//! The Assessment, which is a Decision with an id and timings, in the formats of the HTTP API and of Cognito.

use std::time::Duration;

use smol_str::SmolStr;

use riskgate_engine::decision::Decision;

pub mod cognito;

pub mod http;

pub mod object;

/// A decision with an id and timings.
#[derive(Debug)]
pub struct Assessment {
    /// A ULID. A denied user can quote it to support, and the audit line contains it.
    pub id: SmolStr,
    /// The decision.
    pub decision: Decision,
    /// The time from the complete request to the verdict.
    pub elapsed: Duration,
    /// The time of stages 3 to 5.
    pub evaluation: Duration,
    /// The date of the model's tables.
    pub model: SmolStr,
}
