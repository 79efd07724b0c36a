//! Outcomes that the sidecar's caller reports: applied once, however often they are sent.
//!
//! A pending outcome is read, not taken. The sample that it brings is named after its attempt; what is added to the profile leaves a mark
//! in the same write, by which a repetition adds nothing. The id is used up last: until then the report may be sent again.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use smol_str::SmolStr;

use super::{
    Ledger, SLACK, Ticket,
    dossier::{Taught, Verdict, restriction_of_all},
    forgetting::Recorded,
    learning::{Learned, Promotion},
};
use crate::{
    event::{EventTime, Trigger},
    evidence::{
        Cause,
        history::{
            attempt::{Attempt, Origin},
            blocks::Deed,
            profile::{DeviceNews, seconds},
            pseudonym::PersonKeys,
            store::{Change, Keep},
            unread::Part,
        },
    },
};

/// An assessment of the sidecar's waits so long for its outcome.
pub(super) const OUTCOME_TTL: Duration = Duration::from_secs(7 * 86_400);

/// At most so many marks of applied outcomes are stored for a person.
pub(super) const MOST_APPLIED: usize = 16;

/// What the field of an outcome's sample starts with, while it is not in the profile.
pub(super) const SAMPLE: &str = "o";

/// What the field of an applied outcome's mark starts with.
pub(super) const APPLIED: &str = "d";

/// What is stored under an id that is used up. It is no pending outcome, for earlier versions neither.
const USED_UP: &[u8] = b"-";

/// At most so many reports are remembered whose caller may not know that they were applied.
const MOST_UNCONFIRMED: usize = 256;

/// What a caller of the sidecar reports of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The password was right.
    Success,
    /// It was wrong.
    Failure,
    /// It was not the person.
    Fraud,
    /// It was the person after all.
    NotFraud,
}

/// An assessment that awaits its outcome.
struct PendingOutcome {
    keys: PersonKeys,
    field: SmolStr,
    /// When the person had last been forgotten, as the assessment found it.
    forgotten: Option<Timestamp>,
    attempt: Attempt,
    origin: Origin,
}

/// Reports that were applied, until the write that uses up their id is answered: where that answer is lost the caller sends the report
/// again, and is to find it applied.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed(Mutex<VecDeque<(SmolStr, Report, Learned)>>);

/// The mark of an outcome whose sample has this field; none for a sample that no outcome brought.
pub(super) fn applied_field(sample: &SmolStr) -> Option<SmolStr> {
    sample.strip_prefix(SAMPLE).map(|letters| [APPLIED, letters].concat().into())
}

fn outcome_key(id: &str) -> String {
    format!("o#{id}")
}

// === impl Ledger ===

impl Ledger {
    /// Stores an assessment of the sidecar under its id, for the outcome that its caller may report.
    pub(super) async fn await_outcome(&self, ticket: &Ticket, id: &str, attempt: Attempt, now: Timestamp) -> Result<(), Cause> {
        if ticket.door != Trigger::Http {
            return Ok(());
        }
        let (keys, field, origin) = (ticket.keys.clone(), ticket.field.clone(), ticket.origin.clone());
        let value = PendingOutcome { keys, field, forgotten: ticket.forgotten, attempt, origin }.to_bytes();
        self.store.keep(&outcome_key(id), &value, OUTCOME_TTL, now).await
    }

    /// What the sidecar's caller reports of one of its assessments; `None` for an id that is not known, that was reported before, or
    /// whose person was forgotten since.
    ///
    /// # Errors
    ///
    /// The store could not be reached; the report can be sent again.
    pub async fn report(&self, id: &str, report: Report, at: EventTime, now: Timestamp) -> Result<Option<Learned>, Cause> {
        let key = outcome_key(id);
        let (stored, ()) = tokio::join!(self.reported(Part::Success, self.store.fetch(&key, now)), self.refresh_and_report(now));
        let stored = stored?;
        let Some(pending) = stored.as_deref().and_then(PendingOutcome::from_bytes) else {
            return Ok(stored.and_then(|_| self.unconfirmed.remove(id, report)));
        };
        let is_teachable = pending.attempt.may_teach() && matches!(report, Report::Success | Report::NotFraud);
        let recorded = self.apply(pending, report, is_teachable, at.recorded(now), now).await?;
        let learned = match recorded {
            Recorded::Done if is_teachable => Some(Learned::Promoted),
            Recorded::Done => Some(Learned::NotTeachable),
            Recorded::Forgotten => None,
        };
        if let Some(learned) = learned {
            self.unconfirmed.add(id, report, learned);
        }
        self.use_up(id, now).await?;
        self.unconfirmed.remove(id, report);
        Ok(learned)
    }

    /// Marks an id as reported: its outcome is accepted no more.
    pub(super) async fn use_up(&self, id: &str, now: Timestamp) -> Result<(), Cause> {
        self.reported(Part::Success, self.store.keep(&outcome_key(id), USED_UP, OUTCOME_TTL, now)).await
    }

    /// Does to the person's record what an outcome brings; doing it twice does no more than doing it once.
    async fn apply(&self, pending: PendingOutcome, report: Report, is_teachable: bool, at: Timestamp, now: Timestamp) -> Result<Recorded, Cause> {
        let PendingOutcome { keys, field, forgotten, attempt, origin } = pending;
        let (keys, dossier) = self
            .reported(Part::Record, async {
                let keys = self.moved_keys(keys, now).await?;
                let dossier = self.moved_dossier(&keys, &[], now).await?;
                Ok((keys, dossier))
            })
            .await?;
        if dossier.forgotten > forgotten {
            return Ok(Recorded::Forgotten);
        }
        match report {
            Report::Success | Report::NotFraud => {
                let sample: SmolStr = [SAMPLE, field.get(1..).unwrap_or_default()].concat().into();
                if dossier.has_sample(&sample) {
                    return Ok(Recorded::Done);
                }
                let taught = is_teachable.then_some(Taught { attempt, origin, device: DeviceNews::Unsaid });
                let verdict = Verdict::of(&attempt).map(|verdict| (attempt.client, verdict));
                let (ground, hold) = (self.ground(dossier, taught.as_ref(), now, at), restriction_of_all([&attempt]));
                let promotion = Promotion { keys: &keys, ground, taught, sample: Some(sample), verdict, hold, remove: vec![field], at, now };
                let promoted = self.reported(Part::Success, self.promote(promotion));
                tokio::join!(promoted, self.witness(attempt.client, Deed::Reports, now)).0
            }
            // It stays among the attempts that no success followed.
            Report::Failure => {
                self.witness(attempt.client, Deed::Reports, now).await;
                Ok(Recorded::Done)
            }
            Report::Fraud => {
                let until = now.checked_add(self.terms.hold).unwrap_or(now);
                let set = vec![("h".into(), seconds(until).to_be_bytes().to_vec())];
                let keep = Keep::Renew(dossier.kept(now, self.terms.history.max(self.terms.hold) + SLACK));
                let change = Change { set, remove: vec![field], keep };
                self.reported(Part::Success, self.change_unless_forgotten(&keys[0], change, forgotten, now)).await
            }
        }
    }
}

// === impl Report ===

impl Report {
    /// Every one.
    pub const ALL: [Report; 4] = [Report::Success, Report::Failure, Report::Fraud, Report::NotFraud];

    /// The word in requests, metrics and the audit log.
    pub fn as_label(self) -> &'static str {
        match self {
            Report::Success => "success",
            Report::Failure => "failure",
            Report::Fraud => "fraud",
            Report::NotFraud => "not_fraud",
        }
    }
}

// === impl Unconfirmed ===

impl Unconfirmed {
    fn add(&self, id: &str, report: Report, learned: Learned) {
        let mut reports = self.reports();
        reports.retain(|(known, ..)| known != id);
        reports.truncate(MOST_UNCONFIRMED - 1);
        reports.push_front((id.into(), report, learned));
    }

    fn remove(&self, id: &str, report: Report) -> Option<Learned> {
        let mut reports = self.reports();
        let at = reports.iter().position(|(known, reported, _)| known == id && *reported == report)?;
        reports.remove(at).map(|(_, _, learned)| learned)
    }

    fn reports(&self) -> MutexGuard<'_, VecDeque<(SmolStr, Report, Learned)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl PendingOutcome ===

impl PendingOutcome {
    /// A line of text with the names and, where there is one, the moment of forgetting in milliseconds; then the attempt's bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let forgotten = self.forgotten.map(|at| format!(" {}", at.as_millisecond())).unwrap_or_default();
        let mut out = format!("{} {}{forgotten}\n", self.keys.join(","), self.field).into_bytes();
        out.extend(Taught { attempt: self.attempt, origin: self.origin.clone(), device: DeviceNews::Unsaid }.to_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let mut words = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
        let (keys, field) = (words.next()?, words.next()?);
        let forgotten = words.next().and_then(|at| Timestamp::from_millisecond(at.parse().ok()?).ok());
        let Taught { attempt, origin, .. } = Taught::from_bytes(&bytes[end + 1..])?;
        Some(PendingOutcome { keys: keys.split(',').map(SmolStr::from).collect(), field: field.into(), forgotten, attempt, origin })
    }
}
