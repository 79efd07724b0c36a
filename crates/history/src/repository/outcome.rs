//! Outcomes that callers of the sidecar report. Each is applied once, even if it is sent repeatedly.
//!
//! Reading a pending outcome does not delete it. The field of its sample is named after the attempt, and the write that adds the sample to the
//! profile also stores a mark, which prevents adding it again. The id is consumed last: until then the report may be sent again.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::repository::{
    HistoryRepository, PendingAttempt, SLACK,
    forgetting::Recorded,
    learning::{Learned, ProfileUpdate},
    user_record::{LastDecision, Sample, common_restriction},
};
use crate::{
    attempt::{Attempt, Origin},
    block_list::ClientCapability,
};
use riskgate_config::pseudonym::PersonKeys;
use riskgate_engine::{
    evidence::{FailureReason, unread::StorePart},
    profile::{DeviceStatus, seconds},
    sign_in::Trigger,
    time::EventTime,
};
use riskgate_store::{Change, Ttl};

/// How long the outcome of a sidecar assessment may be reported.
pub(super) const OUTCOME_TTL: Duration = Duration::from_secs(7 * 86_400);

/// Maximum number of marks of applied outcomes in a user record.
pub(super) const MAX_APPLIED: usize = 16;

/// Prefix of the field of an outcome's sample that is not yet in the profile.
pub(super) const SAMPLE: &str = "o";

/// Prefix of the field of an applied outcome's mark.
pub(super) const APPLIED: &str = "d";

/// The value of a consumed id. Neither this version nor earlier ones parse it as a pending outcome.
const CONSUMED: &[u8] = b"-";

/// Maximum number of applied reports that are cached until their confirmation.
const MAX_UNCONFIRMED: usize = 256;

/// The outcome of a sign-in, as a caller of the sidecar reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedOutcome {
    /// The password was correct.
    Success,
    /// The password was wrong.
    Failure,
    /// The sign-in was not by the user.
    Fraud,
    /// The sign-in was by the user.
    NotFraud,
}

/// An assessment whose outcome was not reported yet.
struct PendingOutcome {
    keys: PersonKeys,
    field: SmolStr,
    /// When the user was last forgotten, as the assessment read it.
    forgotten: Option<Timestamp>,
    attempt: Attempt,
    origin: Origin,
}

/// Applied reports whose id was not confirmed as consumed. If the answer of that write is lost, the caller sends the report again and gets the
/// same result.
#[derive(Debug, Default)]
pub(super) struct UnconfirmedOutcomes(Mutex<VecDeque<(SmolStr, ReportedOutcome, Learned)>>);

/// The field of the mark for an outcome's sample; `None` if the sample is not from an outcome.
pub(super) fn applied_field(sample: &SmolStr) -> Option<SmolStr> {
    sample.strip_prefix(SAMPLE).map(|letters| [APPLIED, letters].concat().into())
}

fn outcome_key(id: &str) -> String {
    format!("o#{id}")
}

impl HistoryRepository {
    /// Stores an assessment of the sidecar under its id, for the outcome that the caller may report.
    pub(super) async fn store_pending_outcome(
        &self,
        pending_attempt: &PendingAttempt,
        id: &str,
        attempt: Attempt,
        now: Timestamp,
    ) -> Result<(), FailureReason> {
        if pending_attempt.trigger != Trigger::Http {
            return Ok(());
        }
        let (keys, field, origin) = (pending_attempt.keys.clone(), pending_attempt.field.clone(), pending_attempt.origin.clone());
        let value = PendingOutcome { keys, field, forgotten: pending_attempt.forgotten, attempt, origin }.to_bytes();
        self.store.put(&outcome_key(id), &value, OUTCOME_TTL, now).await
    }

    /// Records the outcome of an assessment. Returns `None` if the id is unknown, its outcome was already reported, or the user was forgotten.
    ///
    /// # Errors
    ///
    /// The store could not be reached. The report may be sent again.
    pub async fn record_outcome(&self, id: &str, report: ReportedOutcome, at: EventTime, now: Timestamp) -> Result<Option<Learned>, FailureReason> {
        let key = outcome_key(id);
        let (stored, ()) = tokio::join!(self.run_reported(StorePart::Success, self.store.get(&key, now)), self.refresh_lists_and_report(now));
        let stored = stored?;
        let Some(pending) = stored.as_deref().and_then(PendingOutcome::from_bytes) else {
            return Ok(stored.and_then(|_| self.unconfirmed.remove(id, report)));
        };
        let is_learnable = pending.attempt.is_learnable() && matches!(report, ReportedOutcome::Success | ReportedOutcome::NotFraud);
        let recorded = self.apply_outcome(pending, report, is_learnable, at.recorded(now), now).await?;
        let learned = match recorded {
            Recorded::Done if is_learnable => Some(Learned::ProfileUpdated),
            Recorded::Done => Some(Learned::NotLearnable),
            Recorded::Forgotten => None,
        };
        if let Some(learned) = learned {
            self.unconfirmed.add(id, report, learned);
        }
        self.consume_id(id, now).await?;
        self.unconfirmed.remove(id, report);
        Ok(learned)
    }

    /// Consumes an id: no outcome is accepted for it any more.
    pub(super) async fn consume_id(&self, id: &str, now: Timestamp) -> Result<(), FailureReason> {
        self.run_reported(StorePart::Success, self.store.put(&outcome_key(id), CONSUMED, OUTCOME_TTL, now)).await
    }

    /// Applies an outcome to the user record. The operation is idempotent.
    async fn apply_outcome(
        &self,
        pending: PendingOutcome,
        report: ReportedOutcome,
        is_learnable: bool,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Recorded, FailureReason> {
        let PendingOutcome { keys, field, forgotten, attempt, origin } = pending;
        let (keys, user_record) = self
            .run_reported(StorePart::Record, async {
                let keys = self.add_migrated_keys(keys, now).await?;
                let user_record = self.read_and_migrate(&keys, &[], now).await?;
                Ok((keys, user_record))
            })
            .await?;
        if user_record.forgotten > forgotten {
            return Ok(Recorded::Forgotten);
        }
        match report {
            ReportedOutcome::Success | ReportedOutcome::NotFraud => {
                let sample_field: SmolStr = [SAMPLE, field.get(1..).unwrap_or_default()].concat().into();
                if user_record.has_sample(&sample_field) {
                    return Ok(Recorded::Done);
                }
                let sample = is_learnable.then_some(Sample { attempt, origin, device: DeviceStatus::NotReported });
                let decision = LastDecision::of(&attempt).map(|decision| (attempt.client, decision));
                let (merged, restriction) = (self.merge_record(user_record, sample.as_ref(), now, at), common_restriction([&attempt]));
                let profile_update =
                    ProfileUpdate { keys: &keys, merged, sample, sample_field: Some(sample_field), decision, restriction, remove: vec![field], at, now };
                let update = self.run_reported(StorePart::Success, self.apply_profile_update(profile_update));
                tokio::join!(update, self.record_client_capability(attempt.client, ClientCapability::ReportsOutcomes, now)).0
            }
            // The attempt stays in the record and counts as a failure.
            ReportedOutcome::Failure => {
                self.record_client_capability(attempt.client, ClientCapability::ReportsOutcomes, now).await;
                Ok(Recorded::Done)
            }
            ReportedOutcome::Fraud => {
                let until = now.checked_add(self.retention.restriction).unwrap_or(now);
                let set = vec![("h".into(), seconds(until).to_be_bytes().to_vec())];
                let ttl = Ttl::Set(user_record.min_ttl(now, self.retention.history.max(self.retention.restriction) + SLACK));
                let change = Change { set, remove: vec![field], ttl };
                self.run_reported(StorePart::Success, self.update_unless_forgotten(&keys[0], change, forgotten, now)).await
            }
        }
    }
}

impl ReportedOutcome {
    /// Every outcome.
    pub const ALL: [ReportedOutcome; 4] = [ReportedOutcome::Success, ReportedOutcome::Failure, ReportedOutcome::Fraud, ReportedOutcome::NotFraud];

    /// The label in requests, metrics and the audit log.
    pub fn as_label(self) -> &'static str {
        match self {
            ReportedOutcome::Success => "success",
            ReportedOutcome::Failure => "failure",
            ReportedOutcome::Fraud => "fraud",
            ReportedOutcome::NotFraud => "not_fraud",
        }
    }
}

impl UnconfirmedOutcomes {
    fn add(&self, id: &str, report: ReportedOutcome, learned: Learned) {
        let mut reports = self.reports();
        reports.retain(|(known, ..)| known != id);
        reports.truncate(MAX_UNCONFIRMED - 1);
        reports.push_front((id.into(), report, learned));
    }

    fn remove(&self, id: &str, report: ReportedOutcome) -> Option<Learned> {
        let mut reports = self.reports();
        let at = reports.iter().position(|(known, reported, _)| known == id && *reported == report)?;
        reports.remove(at).map(|(_, _, learned)| learned)
    }

    fn reports(&self) -> MutexGuard<'_, VecDeque<(SmolStr, ReportedOutcome, Learned)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingOutcome {
    /// A line of text with the keys, the field and, if present, the time of erasure in milliseconds, followed by the bytes of the attempt.
    fn to_bytes(&self) -> Vec<u8> {
        let forgotten = self.forgotten.map(|at| format!(" {}", at.as_millisecond())).unwrap_or_default();
        let mut out = format!("{} {}{forgotten}\n", self.keys.join(","), self.field).into_bytes();
        out.extend(Sample { attempt: self.attempt, origin: self.origin.clone(), device: DeviceStatus::NotReported }.to_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let mut words = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
        let (keys, field) = (words.next()?, words.next()?);
        let forgotten = words.next().and_then(|at| Timestamp::from_millisecond(at.parse().ok()?).ok());
        let Sample { attempt, origin, .. } = Sample::from_bytes(&bytes[end + 1..])?;
        Some(PendingOutcome { keys: keys.split(',').map(SmolStr::from).collect(), field: field.into(), forgotten, attempt, origin })
    }
}
