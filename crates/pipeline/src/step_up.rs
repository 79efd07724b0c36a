//! Step-up in the sidecar: a token of a stronger authentication ends the restriction of the challenged assessment's user.

use riskgate_engine::{
    evidence::FailureReason,
    time::{ClockReading, EventTime},
};
use riskgate_history::repository::{
    HistoryRepository,
    learning::Learned,
    outcome::ReportedOutcome,
    step_up::{StepUpAssessment, TokenUser},
};
use riskgate_runtime::deadline::Deadline;
use riskgate_telemetry::labels::StepUpResult;
use riskgate_tokens::{Requirement, TokenError, TokenUse, TokenVerifier, VerifiedToken};
use tokio::time::Instant;

use crate::{instance::Instance, learn::run_store_call};

/// The part of the time that verification leaves for the store, as a divisor.
const STORE_SHARE: u32 = 3;

/// A passed step-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepUp {
    /// What was learned from the challenged sign-in; `None` when it was passed before.
    pub learned: Option<Learned>,
    /// Why the pool's signing keys could not be refreshed; `None` when they are fresh.
    pub stale_keys: Option<FailureReason>,
}

/// Why a step-up was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepUpError {
    /// `STEP_UP_POOLS` is not set.
    NotConfigured,
    /// The token is wrong or not sufficient.
    Token(TokenError),
    /// The assessment is unknown, too old, or its outcome was reported in another way.
    UnknownAssessment,
    /// The store could not be reached.
    Store(FailureReason),
}

/// Verifies a token and ends the restriction of the user of assessment `id`. Repeating the call has no further effect.
///
/// # Errors
///
/// The first check that fails. The restriction then stays.
pub async fn step_up(instance: &Instance, id: &str, token: &str, received: ClockReading) -> Result<StepUp, StepUpError> {
    let verifier = instance.step_up.as_ref().ok_or(StepUpError::NotConfigured)?;
    let deadline = instance.engine.deadline(received.mono, None);
    let result = pass(instance, verifier, id, token, (received, deadline)).await;
    let label = match &result {
        Ok(_) => Some(StepUpResult::Passed),
        Err(StepUpError::Token(error)) => Some(StepUpResult::Refused(*error)),
        Err(StepUpError::UnknownAssessment) => Some(StepUpResult::UnknownAssessment),
        Err(StepUpError::Store(_)) => Some(StepUpResult::StoreFailed),
        Err(StepUpError::NotConfigured) => None,
    };
    if let Some(label) = label {
        instance.telemetry.record_step_up(label, received.wall, deadline).await;
    }
    result
}

async fn pass(
    instance: &Instance,
    verifier: &TokenVerifier,
    id: &str,
    token: &str,
    (received, deadline): (ClockReading, Deadline),
) -> Result<StepUp, StepUpError> {
    let verification = deadline.reserving(deadline.left(Instant::now()) / STORE_SHARE);
    let token = verifier.verify(token, &[TokenUse::Access, TokenUse::Id], received, verification).await.map_err(StepUpError::Token)?;
    let repository = instance.engine.enricher().repository().ok_or(StepUpError::Store(FailureReason::NoStore))?;
    let recorded = record(&repository, verifier, id, &token, received);
    let learned = run_store_call(instance.engine.health(), deadline, recorded).await?;
    Ok(StepUp { learned, stale_keys: token.stale_keys })
}

impl From<FailureReason> for StepUpError {
    fn from(cause: FailureReason) -> Self {
        StepUpError::Store(cause)
    }
}

/// Checks that the token answers the challenge of the assessment, and records the pass.
async fn record(
    repository: &HistoryRepository,
    verifier: &TokenVerifier,
    id: &str,
    token: &VerifiedToken,
    received: ClockReading,
) -> Result<Option<Learned>, StepUpError> {
    let user = TokenUser { pool: &token.pool, sub: token.sub.expose(), username: token.username.as_ref().map(|name| name.expose().as_str()) };
    let now = received.wall;
    let at = match repository.find_step_up(id, user, now).await? {
        StepUpAssessment::Open { at } => at,
        StepUpAssessment::Passed => return Ok(None),
        StepUpAssessment::OtherUser => return Err(StepUpError::Token(TokenError::User)),
        StepUpAssessment::Unknown => return Err(StepUpError::UnknownAssessment),
    };
    let requirement = Requirement { acr_values: verifier.config().acr_values.clone(), after: at.as_second() };
    token.check_authentication(&requirement).map_err(StepUpError::Token)?;
    // Before the outcome, which consumes the id: if the process ends between the two, the request can be repeated.
    repository.record_step_up(id, user, now).await?;
    let learned = repository.record_outcome(id, ReportedOutcome::ChallengePassed, EventTime::new(now), now).await?;
    learned.map(|recorded| Some(recorded.learned)).ok_or(StepUpError::UnknownAssessment)
}
