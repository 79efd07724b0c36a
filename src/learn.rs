//! Learning after the fact: the verdict is recorded for the triggers that follow, and a success teaches.

use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::Instant;

use crate::{
    config::decision::Mode,
    decision::{Decision, Level, Verdict},
    event::{
        cognito::PostAuthentication,
        now::{EventTime, Now},
    },
    evidence::{
        Cause, Sources,
        history::{
            Nonce, Ticket,
            attempt::{Admission, Answered, Completeness, Hold, Standing},
            ledger::{Learned, Report, Success},
            unread::Part,
        },
        resilience::{deadline::Deadline, rescue::rescue},
    },
    response::http::is_degraded,
    score::{Reason, ReasonCode},
};

/// Beyond the store's own time, for what is done around it (invariant 1).
const GRACE: Duration = Duration::from_millis(50);

/// A service's reason is kept as this number plus the service's.
const SERVICE_REASONS: u8 = 200;

/// Records a verdict under its attempt, by the deadline and within the store's own time. If the write fails, this sign-in is not learned from; it is counted and logged.
pub async fn conclude(sources: &Sources, ticket: Option<&Ticket>, id: &SmolStr, decision: &Decision, deadline: Deadline) {
    let evidence = &decision.score.signals.evidence;
    let (Some(ledger), Some(ticket)) = (sources.ledger(), ticket) else { return };
    let deadline = deadline.sooner(Instant::now(), sources.store_timeout());
    // On the heap, since a future by value is copied whole at each layer that takes it, and this one holds those of every store.
    let recorded = deadline.run(Box::pin(ledger.conclude(ticket, id, answered(decision), evidence.sign_in.received.wall)));
    let cause = match rescue(sources.health(), recorded).await {
        Ok(Ok(recorded)) => recorded.err(),
        Ok(Err(_)) => Some(Cause::Timeout),
        Err(_) => Some(Cause::Panic),
    };
    sources.health().store.report(Part::Decision, cause, Instant::now());
}

/// `PostAuthentication_Authentication`: learns from the attempt that it completes, if that can be told.
///
/// # Errors
///
/// The store could not be reached in time; the sign-in goes on all the same.
pub async fn post_authentication(sources: &Sources, event: &PostAuthentication) -> Result<Success, Cause> {
    match sources.ledger() {
        None => Ok(Success { learned: Learned::NothingPending, id: None }),
        Some(ledger) => within(sources, event.received, ledger.succeeded(event)).await,
    }
}

/// By when a later trigger has answered (invariant 1), or by `limit` if that is sooner.
pub fn deadline(sources: &Sources, received: Now, limit: Option<Duration>) -> Deadline {
    let longest = sources.store_timeout() + GRACE;
    Deadline::after(received.mono, limit.map_or(longest, |limit| limit.min(longest)))
}

/// `POST /v1/outcome`: what became of an assessment. `None` for an id that is not known, or was reported before.
///
/// # Errors
///
/// The store could not be reached in time; the report may be sent again.
pub async fn outcome(sources: &Sources, id: &str, report: Report, at: EventTime, received: Now) -> Result<Option<Learned>, Cause> {
    match sources.ledger() {
        None => Ok(None),
        Some(ledger) => within(sources, received, ledger.report(id, report, at, received.wall)).await,
    }
}

/// Waits for the store as long as a later trigger may (invariant 1).
pub(crate) async fn within<T>(sources: &Sources, received: Now, asked: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
    let deadline = Deadline::after(received.mono.max(Instant::now()), sources.store_timeout() + GRACE / 2);
    match rescue(sources.health(), deadline.run(asked)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Cause::Timeout),
        Err(_) => Err(Cause::Panic),
    }
}

/// What is kept of a decision.
fn answered(decision: &Decision) -> Answered {
    let is_copy = decision.score.signals.evidence.history.nonce == Nonce::Replayed;
    let admission = match (decision.action, decision.verdict) {
        (Verdict::Deny, _) => Admission::Denied,
        (Verdict::Allow | Verdict::Review, Verdict::Allow | Verdict::Review) if !is_copy => Admission::LetIn,
        (Verdict::Allow | Verdict::Review, _) => Admission::Untaught,
    };
    let standing = match (decision.level, decision.verdict) {
        (Level::High, _) => Standing::High,
        (Level::Medium, _) | (Level::Low, Verdict::Review) => Standing::Medium,
        (Level::Low, Verdict::Allow | Verdict::Deny) => Standing::Low,
    };
    let completeness = if is_degraded(decision) { Completeness::Degraded } else { Completeness::Complete };
    // Monitor mode only watches: it holds nothing back either.
    let is_flagged = decision.verdict == Verdict::Review || completeness == Completeness::Degraded;
    let hold = if is_flagged && decision.mode == Mode::Enforce { Hold::Withhold } else { Hold::None };
    Answered { admission, standing, completeness, hold, score: tenths(decision.score.value), reasons: reasons(&decision.score.reasons) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score is 0 to 100")]
fn tenths(score: f64) -> u16 {
    (score * 10.0).round() as u16
}

fn reasons(found: &[Reason]) -> [u8; 4] {
    let mut numbers = [0; 4];
    for (number, reason) in numbers.iter_mut().zip(found) {
        let own = ReasonCode::OWN.iter().position(|own| *own == reason.code).and_then(|at| u8::try_from(at + 1).ok());
        *number = if let ReasonCode::Service(service) = reason.code { SERVICE_REASONS + service as u8 } else { own.unwrap_or_default() };
    }
    numbers
}
