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
use smol_str::{SmolStr, format_smolstr};

use crate::repository::{
    HistoryRepository, PendingAttempt,
    forgetting::Recorded,
    learning::{CountedSuccess, Learned, ProfileUpdate},
    retention::SLACK,
    user_record::{LastDecision, Sample, common_restriction},
};
use crate::{
    attempt::{Attempt, Origin, TokenRestriction},
    block_list::ClientCapability,
};
use riskgate_calibration::SuccessCell;
use riskgate_config::pseudonym::UserKeys;
use riskgate_engine::{
    evidence::{FailureReason, store_parts::StorePart},
    profile::{DeviceStatus, seconds},
    sign_in::Trigger,
    time::EventTime,
};
use riskgate_store::{Change, Store, Ttl};

/// How long the outcome of a sidecar assessment may be reported.
pub(super) const OUTCOME_TTL: Duration = Duration::from_secs(7 * 86_400);

/// How long a consumed id is stored, for a caller that sends the report again because it did not receive the answer.
const CONSUMED_TTL: Duration = Duration::from_secs(3600);

/// Maximum number of marks of applied outcomes in a user record.
pub(super) const MAX_APPLIED: usize = 16;

/// Prefix of the field of an outcome's sample that is not yet in the profile.
pub(super) const SAMPLE: &str = "o";

/// Prefix of the field of an applied outcome's mark.
pub(super) const APPLIED: &str = "d";

/// The value of a consumed id. Neither this version nor earlier ones parse it as a pending outcome.
const CONSUMED: &[u8] = b"-";

/// The initial size of a stored assessment in bytes. Most are shorter.
const INITIAL_CAPACITY: usize = 192;

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
    /// The user passed a challenge.
    ChallengePassed,
    /// The user did not pass a challenge.
    ChallengeFailed,
}

/// An assessment whose outcome was not reported yet.
#[derive(Clone)]
pub(super) struct PendingOutcome {
    keys: UserKeys,
    field: SmolStr,
    /// When the user was last forgotten, as the assessment read it.
    forgotten: Option<Timestamp>,
    attempt: Attempt,
    origin: Origin,
    /// Whether the password was reported as correct. A label may follow, or the result of the challenge. The attempt then has the cell in which the
    /// success was counted, or none if it was not.
    has_succeeded: bool,
    /// The keyed hash of the pool's id; `None` if an earlier version stored it.
    pool: Option<u32>,
}

/// What a report changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedOutcome {
    /// How it was used for learning.
    pub learned: Learned,
    /// What is counted for the pool: the first report that the password was correct.
    pub counted: Option<CountedSuccess>,
    /// The hash of the pool, and where a success was counted for the calibration that is labelled fraud.
    pub taken_back: Option<(u32, SuccessCell)>,
}

/// Applied reports whose id was not confirmed as consumed. If the answer of that write is lost, the caller sends the report again and gets the
/// same result.
#[derive(Debug, Default)]
pub(super) struct UnconfirmedOutcomes(Mutex<VecDeque<(SmolStr, ReportedOutcome, Learned)>>);

/// The field of the mark for an outcome's sample; `None` if the sample is not from an outcome.
pub(super) fn applied_field(sample: &SmolStr) -> Option<SmolStr> {
    sample.strip_prefix(SAMPLE).map(|letters| [APPLIED, letters].concat().into())
}

pub(super) fn outcome_key(id: &str) -> String {
    format!("o#{id}")
}

impl HistoryRepository {
    /// Stores an assessment of the sidecar under its id, for the outcome that the caller may report.
    pub(super) async fn store_pending_outcome(
        &self,
        pending_attempt: &PendingAttempt,
        id: &str,
        attempt: Attempt,
        is_long_lived: bool,
        now: Timestamp,
    ) -> Result<(), FailureReason> {
        if pending_attempt.trigger != Trigger::Http {
            return Ok(());
        }
        let (keys, field, origin) = (pending_attempt.keys.clone(), pending_attempt.field.clone(), pending_attempt.origin.clone());
        let (forgotten, pool) = (pending_attempt.forgotten, Some(pending_attempt.pool));
        let value = PendingOutcome { keys, field, forgotten, attempt, origin, has_succeeded: false, pool }.to_bytes();
        self.put_outcome(pending_attempt, &outcome_key(id), &value, is_long_lived, now).await
    }

    /// Records the outcome of an assessment. Returns `None` if the id is unknown, its outcome was already reported, or the user was forgotten.
    ///
    /// # Errors
    ///
    /// The store could not be reached. The report may be sent again.
    pub async fn record_outcome(&self, id: &str, report: ReportedOutcome, at: EventTime, now: Timestamp) -> Result<Option<RecordedOutcome>, FailureReason> {
        let key = outcome_key(id);
        let uncounted = |learned| RecordedOutcome { learned, counted: None, taken_back: None };
        let (stored, ()) = tokio::join!(self.run_reported(StorePart::Success, self.get_outcome(&key, now)), self.refresh_lists_and_report(now));
        let Some((value, store)) = stored? else { return Ok(None) };
        let Some(pending) = PendingOutcome::from_bytes(&value) else { return Ok(self.unconfirmed.remove(id, report).map(uncounted)) };
        if pending.has_succeeded && matches!(report, ReportedOutcome::Success | ReportedOutcome::Failure) {
            return Ok(self.unconfirmed.remove(id, report).map(uncounted));
        }
        // After a success, only a label may follow, or the result of its challenge.
        if !pending.may_be_challenged() && matches!(report, ReportedOutcome::ChallengePassed | ReportedOutcome::ChallengeFailed) {
            return Ok(None);
        }
        let is_fraud = report == ReportedOutcome::Fraud && pending.has_succeeded;
        let taken_back = pending.pool.zip(pending.attempt.counted_cell()).filter(|_| is_fraud);
        let is_learnable = match report {
            ReportedOutcome::Success => pending.attempt.is_learnable(),
            ReportedOutcome::NotFraud | ReportedOutcome::ChallengePassed => pending.attempt.is_learnable_if_proven(),
            ReportedOutcome::Failure | ReportedOutcome::Fraud | ReportedOutcome::ChallengeFailed => false,
        };
        // The result of the challenge is still open, and a label may follow.
        let next = (report == ReportedOutcome::Success).then(|| PendingOutcome { has_succeeded: true, ..pending.clone() });
        let (recorded, counted) = self.apply_outcome(pending, report, is_learnable, at.recorded(now), now).await?;
        let learned = match recorded {
            Recorded::Done if is_learnable => Some(Learned::ProfileUpdated),
            Recorded::Done => Some(Learned::NotLearnable),
            Recorded::Forgotten => None,
        };
        if let Some(learned) = learned {
            self.unconfirmed.add(id, report, learned);
        }
        match next.filter(|_| recorded == Recorded::Done) {
            Some(next) => {
                // What was not counted is not taken back.
                let cell = counted.filter(|counted| counted.is_first_of_day).and_then(|counted| counted.decision.counted);
                let next = PendingOutcome { attempt: next.attempt.with_counted_cell(cell), ..next };
                self.run_reported(StorePart::Success, store.put(&key, &next.to_bytes(), OUTCOME_TTL, now)).await?;
            }
            None => self.consume_id(store, id, now).await?,
        }
        self.unconfirmed.remove(id, report);
        Ok(learned.map(|learned| RecordedOutcome { learned, counted, taken_back: taken_back.filter(|_| recorded == Recorded::Done) }))
    }

    /// Consumes an id: no outcome is accepted for it any more.
    pub(super) async fn consume_id(&self, store: &dyn Store, id: &str, now: Timestamp) -> Result<(), FailureReason> {
        self.run_reported(StorePart::Success, store.put(&outcome_key(id), CONSUMED, CONSUMED_TTL, now)).await
    }

    /// Applies an outcome to the user record. The operation is idempotent.
    async fn apply_outcome(
        &self,
        pending: PendingOutcome,
        report: ReportedOutcome,
        is_learnable: bool,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(Recorded, Option<CountedSuccess>), FailureReason> {
        let PendingOutcome { keys, field, forgotten, attempt, origin, has_succeeded, pool } = pending;
        let mut counted = None;
        let (keys, user_record) = self
            .run_reported(StorePart::Record, async {
                let keys = self.add_migrated_keys(keys, now).await?;
                let user_record = self.read_and_migrate(&keys, &[], now).await?;
                Ok((keys, user_record))
            })
            .await?;
        if user_record.forgotten > forgotten {
            return Ok((Recorded::Forgotten, None));
        }
        let recorded = match report {
            ReportedOutcome::Success | ReportedOutcome::NotFraud | ReportedOutcome::ChallengePassed => {
                let sample_field: SmolStr = [SAMPLE, field.get(1..).unwrap_or_default()].concat().into();
                let is_proof = report != ReportedOutcome::Success && attempt.is_challenged();
                if user_record.has_sample(&sample_field) && !is_proof {
                    return Ok((Recorded::Done, None));
                }
                let restriction = if is_proof { TokenRestriction::None } else { common_restriction([&attempt]) };
                let (mut set, mut remove) = (Vec::new(), vec![field.clone()]);
                if restriction == TokenRestriction::Challenge {
                    set.push(self.open_challenge(&field, &attempt, Some(&origin), true, now));
                    remove.extend(user_record.surplus_challenges(now));
                } else if is_proof {
                    remove.extend(user_record.challenge_fields(|challenge| challenge.sample.attempt.at <= attempt.at));
                }
                let proven = report == ReportedOutcome::ChallengePassed;
                let sample = Some(Sample { attempt, origin, device: DeviceStatus::NotReported, proven });
                let sample = sample.filter(|_| is_learnable && !user_record.has_sample(&sample_field));
                let decision = LastDecision::of(&attempt).map(|decision| (attempt.client, decision));
                let merged = self.merge_record(user_record, sample.as_ref(), now, at);
                // A pass of a challenge belongs to a success that was counted. A label is not a sign-in.
                if report == ReportedOutcome::Success && !has_succeeded {
                    counted = pool.and_then(|pool| self.counted_success(pool, &attempt, &merged));
                }
                let profile_update = ProfileUpdate {
                    keys: &keys,
                    merged,
                    sample,
                    sample_field: Some(sample_field),
                    awaiting: None,
                    decision,
                    restriction,
                    set,
                    remove,
                    at,
                    now,
                };
                let update = self.run_reported(StorePart::Success, self.apply_profile_update(profile_update));
                tokio::join!(update, self.record_client_capability(attempt.client, ClientCapability::ReportsOutcomes, now)).0
            }
            // The attempt stays in the record and counts as a failure.
            ReportedOutcome::Failure => {
                self.record_client_capability(attempt.client, ClientCapability::ReportsOutcomes, now).await;
                Ok(Recorded::Done)
            }
            ReportedOutcome::ChallengeFailed => {
                let set = self.failed_fields(&user_record, &field, attempt);
                let change = Change { set, remove: Vec::new(), ttl: Ttl::AtLeast(self.retention.attempt()) };
                let update = self.run_reported(StorePart::Success, self.update_unless_forgotten(&keys[0], change, forgotten, now));
                tokio::join!(update, self.record_client_capability(attempt.client, ClientCapability::ReportsOutcomes, now)).0
            }
            ReportedOutcome::Fraud => {
                let until = now.checked_add(self.retention.restriction).unwrap_or(now);
                let set = vec![("h".into(), seconds(until).to_be_bytes().to_vec())];
                let ttl = Ttl::Set(user_record.min_ttl(now, self.retention.record() + SLACK));
                let change = Change { set, remove: vec![field], ttl };
                self.run_reported(StorePart::Success, self.update_unless_forgotten(&keys[0], change, forgotten, now)).await
            }
        };
        Ok((recorded?, counted))
    }
}

impl ReportedOutcome {
    /// Every outcome.
    pub const ALL: [ReportedOutcome; 6] = [
        ReportedOutcome::Success,
        ReportedOutcome::Failure,
        ReportedOutcome::Fraud,
        ReportedOutcome::NotFraud,
        ReportedOutcome::ChallengePassed,
        ReportedOutcome::ChallengeFailed,
    ];

    /// The label in requests, metrics and the audit log.
    pub fn as_label(self) -> &'static str {
        match self {
            ReportedOutcome::Success => "success",
            ReportedOutcome::Failure => "failure",
            ReportedOutcome::Fraud => "fraud",
            ReportedOutcome::NotFraud => "not_fraud",
            ReportedOutcome::ChallengePassed => "challenge_passed",
            ReportedOutcome::ChallengeFailed => "challenge_failed",
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
    /// Whether the result of a challenge may follow. After a success without a challenge only a label may.
    pub(super) fn may_be_challenged(&self) -> bool {
        !self.has_succeeded || self.attempt.is_challenged()
    }

    /// Whether it belongs to the user with this record.
    pub(super) fn is_user(&self, key: &SmolStr) -> bool {
        self.keys.contains(key)
    }

    /// When the sign-in was assessed.
    pub(super) fn at(&self) -> Timestamp {
        self.attempt.at
    }

    /// A line of text with the keys, the field, the time of erasure in milliseconds (`-` for none), `s` after a success (`-` before), the hash of the
    /// pool and the cell in which a success is counted, followed by the bytes of the attempt. Earlier versions do not know the last two.
    fn to_bytes(&self) -> Vec<u8> {
        // Written piece by piece, because every sign-in over HTTP stores one.
        let mut out = Vec::with_capacity(INITIAL_CAPACITY);
        for (place, key) in self.keys.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key.as_bytes());
        }
        out.push(b' ');
        out.extend_from_slice(self.field.as_bytes());
        let forgotten = self.forgotten.map(|at| format_smolstr!(" {}", at.as_millisecond()));
        out.extend_from_slice(forgotten.as_ref().map_or(&b" -"[..], |text| text.as_bytes()));
        out.extend_from_slice(if self.has_succeeded { b" s" } else { b" -" });
        if let Some(pool) = self.pool {
            out.extend_from_slice(format_smolstr!(" {pool:08x}").as_bytes());
            if let Some(cell) = self.attempt.counted_cell() {
                out.push(b' ');
                out.extend_from_slice(cell.to_counter().as_bytes());
            }
        }
        out.push(b'\n');
        out.extend(Sample { attempt: self.attempt, origin: self.origin.clone(), device: DeviceStatus::NotReported, proven: false }.to_bytes());
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let mut words = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
        let (keys, field) = (words.next()?, words.next()?);
        let forgotten = words.next().and_then(|at| Timestamp::from_millisecond(at.parse().ok()?).ok());
        let has_succeeded = words.next() == Some("s");
        let pool = words.next().and_then(|hash| u32::from_str_radix(hash, 16).ok());
        let cell = words.next().and_then(SuccessCell::from_counter);
        let Sample { attempt, origin, .. } = Sample::from_bytes(&bytes[end + 1..])?;
        let attempt = attempt.with_counted_cell(cell);
        Some(PendingOutcome { keys: keys.split(',').map(SmolStr::from).collect(), field: field.into(), forgotten, attempt, origin, has_succeeded, pool })
    }
}
