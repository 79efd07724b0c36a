//! Recording of decisions and outcomes. Later triggers read the decision, and a successful sign-in updates the history.

use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::Instant;

use crate::enricher::Enricher;
use riskgate_calibration::SuccessCell;
use riskgate_engine::{
    decision::{Decision, ScoreLevel, Verdict},
    evidence::{FailureReason, history::NonceStatus, store_parts::StorePart},
    score::reason::{Reason, ReasonCode},
    settings::Mode,
    time::{ClockReading, EventTime},
};
use riskgate_event::cognito::PostAuthentication;
use riskgate_history::{
    attempt::{Admission, AttemptDecision, Completeness, RiskLevel, TokenRestriction},
    repository::{
        PendingAttempt,
        challenge::ChallengeResult,
        learning::{CountedSuccess, Learned, Success},
        outcome::ReportedOutcome,
    },
};
use riskgate_runtime::{catch_panic::catch_panic, deadline::Deadline, health::Health};

/// Time beyond the store timeout, for the work around the store call.
const STORE_GRACE: Duration = Duration::from_millis(50);

/// The reason of a service is stored as this number plus the number of the service.
const SERVICE_REASON_BASE: u8 = 200;

/// Records a decision under its attempt, by the deadline and within the store timeout. Best effort: if the write fails, the
/// failure is counted and logged, and this sign-in is not learned from.
pub async fn record_decision(enricher: &Enricher, pending_attempt: Option<Box<PendingAttempt>>, id: &SmolStr, decision: &Decision, deadline: Deadline) {
    let evidence = &decision.score.signals.evidence;
    let (Some(repository), Some(pending_attempt)) = (enricher.repository(), pending_attempt) else { return };
    let deadline = deadline.sooner(Instant::now(), enricher.store_timeout());
    // Not by `run_store_call`: the repository does not report this write.
    // Boxed, because every layer that takes a future by value copies it, and this one contains the futures of every store.
    let recorded = deadline.run(Box::pin(repository.record_decision(pending_attempt, id, attempt_result(decision), evidence.sign_in.received.wall)));
    let cause = match catch_panic(enricher.health(), recorded).await {
        Ok(Ok(recorded)) => recorded.err(),
        Ok(Err(_)) => Some(FailureReason::Timeout),
        Err(_) => Some(FailureReason::Panic),
    };
    enricher.health().store.report(StorePart::Decision, cause, Instant::now());
}

/// `PostAuthentication_Authentication`: learns from the attempt that it completes, if the attempt can be identified.
///
/// # Errors
///
/// The store did not answer in time. The sign-in continues anyway.
pub async fn post_authentication(enricher: &Enricher, event: &PostAuthentication) -> Result<Success, FailureReason> {
    match enricher.repository() {
        None => Ok(Success { learned: Learned::NothingPending, id: None, session: None, counted: None }),
        Some(repository) => {
            let success = with_store_timeout(enricher, event.received, repository.record_success(event)).await?;
            count_success(enricher, success.counted, event.received);
            Ok(success)
        }
    }
}

/// The deadline of a trigger after the decision: the store timeout plus a grace time, or `limit` if that is sooner.
pub fn response_deadline(enricher: &Enricher, received: ClockReading, limit: Option<Duration>) -> Deadline {
    let longest = enricher.store_timeout() + STORE_GRACE;
    Deadline::after(received.mono, limit.map_or(longest, |limit| limit.min(longest)))
}

/// `POST /v1/outcome`: records the outcome of an assessment. `None` when the id is unknown or its outcome was reported before.
///
/// # Errors
///
/// The store did not answer in time. The report may be sent again.
pub async fn record_outcome(
    enricher: &Enricher,
    id: &str,
    report: ReportedOutcome,
    at: EventTime,
    received: ClockReading,
) -> Result<Option<Learned>, FailureReason> {
    match enricher.repository() {
        None => Ok(None),
        Some(repository) => {
            let recorded = with_store_timeout(enricher, received, repository.record_outcome(id, report, at, received.wall)).await?;
            count_success(enricher, recorded.and_then(|recorded| recorded.counted), received);
            if let Some((pool, cell)) = recorded.and_then(|recorded| recorded.taken_back) {
                enricher.pools().take_back(pool, cell, received.wall);
            }
            Ok(recorded.map(|recorded| recorded.learned))
        }
    }
}

fn count_success(enricher: &Enricher, counted: Option<CountedSuccess>, received: ClockReading) {
    if let Some(counted) = counted {
        enricher.pools().count_success(&counted, received.wall);
    }
}

/// Records the result of a challenge of an assessment, for the triggers. See `HistoryRepository::record_challenge_result`.
///
/// # Errors
///
/// The store did not answer in time. The call may be repeated.
pub async fn record_challenge_result(
    enricher: &Enricher,
    (pool, user): (&str, &str),
    id: &str,
    result: ChallengeResult,
    received: ClockReading,
) -> Result<Learned, FailureReason> {
    match enricher.repository() {
        None => Ok(Learned::NothingPending),
        Some(repository) => with_store_timeout(enricher, received, repository.record_challenge_result(pool, user, id, result, received.wall)).await,
    }
}

/// Runs a call of the repository with the timeout of the triggers after the decision.
pub(crate) async fn with_store_timeout<T>(
    enricher: &Enricher,
    received: ClockReading,
    call: impl Future<Output = Result<T, FailureReason>>,
) -> Result<T, FailureReason> {
    let deadline = Deadline::after(received.mono.max(Instant::now().into_std()), enricher.store_timeout() + STORE_GRACE / 2);
    run_store_call(enricher.health(), deadline, call).await
}

/// Runs a call of the repository by a deadline. The repository reports each failure, also of a call that the deadline cuts off.
pub(crate) async fn run_store_call<T, E: From<FailureReason>>(health: &Health, deadline: Deadline, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    match catch_panic(health, deadline.run(call)).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(FailureReason::Timeout.into()),
        Err(_) => Err(FailureReason::Panic.into()),
    }
}

/// The part of a decision that is stored.
pub(crate) fn attempt_result(decision: &Decision) -> AttemptDecision {
    let is_replay = decision.score.signals.evidence.history.nonce == NonceStatus::Replayed;
    let admission = match (decision.action, decision.verdict) {
        (Verdict::Deny, _) => Admission::Deny,
        (Verdict::Challenge, _) if !is_replay => Admission::Challenge,
        // In monitor mode there is no challenge, so a success is learned from as it is without challenges.
        (Verdict::Allow | Verdict::Review, Verdict::Allow | Verdict::Review | Verdict::Challenge) if !is_replay => Admission::Allow,
        (Verdict::Allow | Verdict::Review | Verdict::Challenge, _) => Admission::AllowWithoutLearning,
    };
    let risk_level = match (decision.level, decision.verdict) {
        (ScoreLevel::High, _) => RiskLevel::High,
        (ScoreLevel::Medium, _) | (ScoreLevel::Low, Verdict::Review | Verdict::Challenge) => RiskLevel::Medium,
        (ScoreLevel::Low, Verdict::Allow | Verdict::Deny) => RiskLevel::Low,
    };
    let completeness = if decision.is_degraded() { Completeness::Degraded } else { Completeness::Complete };
    // Monitor mode only observes, so it does not restrict tokens.
    let restriction = match (decision.mode, decision.verdict) {
        (Mode::Monitor, _) => TokenRestriction::None,
        (Mode::Enforce, Verdict::Challenge) => TokenRestriction::Challenge,
        (Mode::Enforce, Verdict::Review) => TokenRestriction::Withhold,
        (Mode::Enforce, Verdict::Allow | Verdict::Deny) if completeness == Completeness::Degraded => TokenRestriction::Withhold,
        (Mode::Enforce, Verdict::Allow | Verdict::Deny) => TokenRestriction::None,
    };
    AttemptDecision {
        admission,
        risk_level,
        completeness,
        restriction,
        score: score_tenths(decision.score.value),
        reasons: reason_numbers(&decision.score.reasons),
        counted: SuccessCell::counted(decision),
    }
}

/// A score in tenths, as it is stored.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score is 0 to 100")]
fn score_tenths(score: f64) -> u16 {
    (score * 10.0).round() as u16
}

/// The numbers under which the first four reasons are stored; 0 for none.
fn reason_numbers(found: &[Reason]) -> [u8; 4] {
    let mut numbers = [0; 4];
    for (number, reason) in numbers.iter_mut().zip(found) {
        let position = ReasonCode::BUILT_IN.iter().position(|code| *code == reason.code).and_then(|index| u8::try_from(index + 1).ok());
        *number = if let ReasonCode::Service(service) = reason.code { SERVICE_REASON_BASE + service as u8 } else { position.unwrap_or_default() };
    }
    numbers
}
