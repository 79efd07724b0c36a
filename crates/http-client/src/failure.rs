//! Failures of calls to other services.

use std::time::Duration;

use riskgate_engine::evidence::FailureReason;

/// Why a call failed, and what that means for the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The reason in responses and metrics.
    pub cause: FailureReason,
    /// The wait that the service requests before the next call.
    pub retry_after: Option<Duration>,
    /// How far the request got.
    pub phase: RequestPhase,
}

/// How far a failed request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestPhase {
    /// It may have reached the service, so a repetition may be billed twice.
    MaybeSent,
    /// The connection failed before anything was sent, so a repetition on a new connection is safe.
    NotSent,
}

impl From<FailureReason> for Failure {
    fn from(cause: FailureReason) -> Self {
        Failure { cause, retry_after: None, phase: RequestPhase::MaybeSent }
    }
}
