//! Challenges: a sign-in that may go on only after a stronger proof.
//!
//! If such a sign-in succeeds before its challenge is passed, the user's tokens are restricted until a pass is recorded, whichever flow the
//! client uses next. The record then has a field with the sign-in, which a pass removes and learns from.

use jiff::Timestamp;
use smol_str::SmolStr;
use ulid::Ulid;

use crate::attempt::{Admission, Attempt, AttemptDecision, Origin, TokenRestriction};
use crate::repository::{
    HistoryRepository,
    forgetting::Recorded,
    learning::{Learned, ProfileUpdate},
    outcome::SAMPLE,
    user_record::{LastDecision, Sample, UserRecord},
};
use riskgate_engine::{
    encoding::Reader,
    evidence::{FailureReason, store_parts::StorePart},
    profile::{DeviceStatus, seconds, timestamp_of},
};
use riskgate_store::{Change, Ttl};

/// Prefix of the field of an open challenge.
pub(super) const CHALLENGE: &str = "q";

/// Maximum number of open challenges in a user record. The oldest are removed; the restriction of the newest ends last.
const MAX_CHALLENGES: usize = 4;

/// The final result of a challenge. An abandoned challenge is one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeResult {
    /// The user gave the stronger proof.
    Passed,
    /// The user did not give it.
    Failed,
}

/// A challenged sign-in that succeeded before its challenge was passed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OpenChallenge {
    /// When the sign-in succeeded.
    pub(super) since: Timestamp,
    /// When the restriction ends without a pass.
    pub(super) until: Timestamp,
    /// The assessment's id, if known.
    pub(super) id: Option<Ulid>,
    /// The sign-in, which a pass learns from.
    pub(super) sample: Sample,
}

/// A challenged sign-in of a user record.
struct Challenged {
    /// The letters of its fields.
    letters: SmolStr,
    sample: Sample,
    /// Whether its success is not reported yet, so its attempt is still in the record.
    is_pending: bool,
}

impl OpenChallenge {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&seconds(self.since).to_be_bytes());
        out.extend_from_slice(&seconds(self.until).to_be_bytes());
        out.extend_from_slice(&self.id.unwrap_or_default().to_bytes());
        out.extend(self.sample.to_bytes());
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (since, until) = (timestamp_of(reader.u32()?), timestamp_of(reader.u32()?));
        let id = reader.array().map(Ulid::from_bytes)?;
        Some(OpenChallenge { since, until, id: Some(id).filter(|id| !id.is_nil()), sample: Sample::from_bytes(reader.0)? })
    }
}

/// The field of a challenge, by the field of its attempt or another field with the same letters.
pub(super) fn challenge_field(attempt: &str) -> SmolStr {
    [CHALLENGE, letters_of(attempt)].concat().into()
}

fn letters_of(field: &str) -> &str {
    field.get(1..).unwrap_or_default()
}

impl UserRecord {
    /// When the newest challenged sign-in without a pass was assessed, if its restriction is in force.
    ///
    /// Not when it succeeded: a sign-in that steps up may be challenged too, and its authentication ends before its success is recorded.
    pub(super) fn challenged_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.challenges.values().filter(|challenge| challenge.until > now).map(|challenge| challenge.sample.attempt.at).max()
    }

    /// The fields of the challenges that a proof ends: those for which `is_ended` holds.
    pub(super) fn challenge_fields(&self, is_ended: impl Fn(&OpenChallenge) -> bool) -> Vec<SmolStr> {
        self.challenges.iter().filter(|(_, challenge)| is_ended(challenge)).map(|(field, _)| field.clone()).collect()
    }

    /// The fields of challenges that are over or too many when another one is added.
    pub(super) fn surplus_challenges(&self, now: Timestamp) -> Vec<SmolStr> {
        let mut newest_first: Vec<_> = self.challenges.iter().collect();
        newest_first.sort_by_key(|(_, challenge)| std::cmp::Reverse(challenge.since));
        let surplus = newest_first.into_iter().enumerate().filter(|(rank, (_, challenge))| *rank + 1 >= MAX_CHALLENGES || challenge.until <= now);
        surplus.map(|(_, (field, _))| field.clone()).collect()
    }

    /// The sign-in of an assessment, as a pending attempt or an open challenge.
    fn find_challenged(&self, id: Ulid) -> Option<Challenged> {
        let open = self.challenges.iter().find(|(_, challenge)| challenge.id == Some(id));
        if let Some((field, challenge)) = open {
            return Some(Challenged { letters: letters_of(field).into(), sample: challenge.sample.clone(), is_pending: false });
        }
        let (field, attempt) = self.attempts.iter().find(|(_, attempt)| attempt.id == Some(id))?;
        let origin = self.origin(attempt.origin)?.clone();
        let sample = Sample { attempt: *attempt, origin, device: DeviceStatus::NotReported, proven: false };
        Some(Challenged { letters: letters_of(field).into(), sample, is_pending: true })
    }
}

impl HistoryRepository {
    /// Records the final result of the challenge of an assessment. Repeating the call has no further effect.
    ///
    /// A pass is learned from at once, and ends the restrictions of this sign-in and of earlier ones. After a failure the sign-in is never
    /// learned from, and counts as a failed attempt of the account. [`Learned::NothingPending`] means that the user's record has no such
    /// sign-in: it is too old, or its result was recorded before.
    ///
    /// # Errors
    ///
    /// The store could not be reached. The call may be repeated.
    pub async fn record_challenge_result(&self, pool: &str, user: &str, id: &str, result: ChallengeResult, now: Timestamp) -> Result<Learned, FailureReason> {
        let Ok(id) = Ulid::from_string(id) else { return Ok(Learned::NothingPending) };
        let keys = self.record_keys(pool, user);
        let user_record = self.run_reported(StorePart::Record, self.read_and_migrate(&keys, &[], now)).await?;
        let Some(Challenged { letters, mut sample, is_pending }) = user_record.find_challenged(id) else { return Ok(Learned::NothingPending) };
        let attempt = sample.attempt;
        // A result was recorded before. A pending attempt that was passed is allowed without a restriction.
        if attempt.was_denied() {
            return Ok(Learned::NotLearnable);
        }
        let attempt_field: SmolStr = ["a", &letters].concat().into();
        if result == ChallengeResult::Failed {
            let change =
                Change { set: self.failed_fields(&user_record, &attempt_field, attempt), remove: Vec::new(), ttl: Ttl::AtLeast(self.retention.attempt()) };
            let update = self.update_unless_forgotten(&keys[0], change, user_record.forgotten, now);
            return self.run_reported(StorePart::Success, update).await.map(|_| Learned::NotLearnable);
        }
        sample.proven = true;
        let sample_field: SmolStr = [SAMPLE, &letters].concat().into();
        let sample = Some(sample).filter(|_| attempt.is_learnable_if_proven() && !user_record.has_sample(&sample_field));
        let learned = if sample.is_some() { Learned::ProfileUpdated } else { Learned::NotLearnable };
        // The attempt stays until its post-authentication. Without it, the success would be taken for that of another pending attempt.
        let resolved = is_pending.then(|| (attempt_field, attempt.resolved(Admission::AllowWithoutLearning).to_field()));
        let remove = user_record.challenge_fields(|challenge| challenge.sample.attempt.at <= attempt.at);
        let profile_update = ProfileUpdate {
            keys: &keys,
            merged: self.merge_record(user_record, sample.as_ref(), now, now),
            sample,
            sample_field: Some(sample_field),
            awaiting: None,
            decision: LastDecision::of(&attempt).map(|decision| (attempt.client, decision)),
            restriction: TokenRestriction::None,
            set: resolved.into_iter().collect(),
            remove,
            at: now,
            now,
        };
        let recorded = self.run_reported(StorePart::Success, self.apply_profile_update(profile_update)).await?;
        Ok(if recorded == Recorded::Forgotten { Learned::NothingPending } else { learned })
    }

    /// Ends the restrictions of the user's challenged sign-ins that were assessed before `proof`, the time of a stronger proof. Nothing is learned,
    /// because such a proof says nothing about where those sign-ins came from. Returns how many restrictions ended.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn end_challenges(&self, pool: &str, user: &str, proof: Timestamp, now: Timestamp) -> Result<usize, FailureReason> {
        let keys = self.record_keys(pool, user);
        let user_record = self.run_reported(StorePart::Record, self.read_and_migrate(&keys, &[], now)).await?;
        let remove = user_record.challenge_fields(|challenge| challenge.sample.attempt.at < proof);
        let ended = remove.len();
        if ended > 0 {
            let change = Change { set: Vec::new(), remove, ttl: Ttl::AtLeast(self.retention.attempt()) };
            self.run_reported(StorePart::Success, self.store.update(&keys[0], change, now)).await?;
        }
        Ok(ended)
    }

    /// The field of a challenged sign-in that succeeded. If the attempt with the correct password is not known, a pass does not learn from it.
    pub(super) fn open_challenge(&self, field: &str, attempt: &Attempt, origin: Option<&Origin>, is_known: bool, now: Timestamp) -> (SmolStr, Vec<u8>) {
        let unknown = |decision: AttemptDecision| AttemptDecision { admission: Admission::AllowWithoutLearning, ..decision };
        let decision = if is_known { attempt.decision } else { attempt.decision.map(unknown) };
        let sample =
            Sample { attempt: Attempt { decision, ..*attempt }, origin: origin.cloned().unwrap_or_default(), device: DeviceStatus::NotReported, proven: false };
        let until = now.checked_add(self.retention.challenge).unwrap_or(now);
        (challenge_field(field), OpenChallenge { since: now, until, id: attempt.id, sample }.to_bytes())
    }

    /// The fields that record a failed challenge: its attempt and its open challenge become denied, so a later pass has no effect.
    pub(super) fn failed_fields(&self, user_record: &UserRecord, attempt_field: &SmolStr, attempt: Attempt) -> Vec<(SmolStr, Vec<u8>)> {
        let denied = attempt.resolved(Admission::Deny);
        let field = challenge_field(attempt_field);
        let open = user_record.challenges.get(&field).map(|open| OpenChallenge { sample: Sample { attempt: denied, ..open.sample.clone() }, ..open.clone() });
        let pending = user_record.attempts.iter().find(|(pending, _)| pending == attempt_field);
        let pending = pending.map(|(field, attempt)| (field.clone(), attempt.resolved(Admission::Deny).to_field()));
        open.map(|open| (field, open.to_bytes())).into_iter().chain(pending).collect()
    }
}

impl ChallengeResult {
    /// Every result.
    pub const ALL: [ChallengeResult; 2] = [ChallengeResult::Passed, ChallengeResult::Failed];

    /// The label in metrics and reports.
    pub fn as_label(self) -> &'static str {
        match self {
            ChallengeResult::Passed => "passed",
            ChallengeResult::Failed => "failed",
        }
    }
}
