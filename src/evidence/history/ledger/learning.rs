//! After the verdict, and after the password: what is recorded, and what is learned from it (invariant 5).

use std::time::Duration;

use jiff::Timestamp;
use smol_str::{SmolStr, ToSmolStr};
use ulid::Ulid;

use super::{
    Dossier, Ledger, SLACK, Ticket,
    dossier::{self, Ground, Taught, Verdict, days, restriction_of_all},
    forgetting::Recorded,
    outcome,
    rotation::KeyMarks,
};
use crate::{
    config::history::Learn,
    event::{Person, cognito::PostAuthentication},
    evidence::{
        Cause,
        features::Level,
        history::{
            attempt::{Admission, Answered, Attempt, Hold, Origin, RETRY_WINDOW},
            blocks::Deed,
            encoding::marked,
            profile::{DeviceNews, seconds},
            pseudonym::PersonKeys,
            store::{Change, Changed, Keep, List, Row},
            unread::Part,
        },
    },
};

/// A client that has not done something for so long is taken not to do it any more.
const DEED_TTL: Duration = Duration::from_secs(90 * 86_400);

/// What became of a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// It was learned.
    Promoted,
    /// Attempts of several origins were pending: whose password was right cannot be told.
    Ambiguous,
    /// No attempt was pending.
    NothingPending,
    /// The attempt was degraded, or would have been denied.
    NotTeachable,
}

/// A right password, and which sign-in it was given in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// What became of it.
    pub learned: Learned,
    /// The id of its assessment, where exactly one can be meant.
    pub id: Option<SmolStr>,
}

/// What a success does to a person's record.
pub(super) struct Promotion<'a> {
    pub(super) keys: &'a PersonKeys,
    pub(super) ground: Ground,
    pub(super) taught: Option<Taught>,
    /// The field of its sample where an outcome brought it: one that is reported again adds nothing.
    pub(super) sample: Option<SmolStr>,
    pub(super) verdict: Option<(u32, Verdict)>,
    pub(super) hold: Hold,
    pub(super) remove: Vec<SmolStr>,
    /// When the success happened.
    pub(super) at: Timestamp,
    /// System time.
    pub(super) now: Timestamp,
}

impl Ledger {
    /// Records what was answered to an attempt, for the triggers that follow: one write.
    ///
    /// # Errors
    ///
    /// The store could not be reached; then nothing is learned of this sign-in.
    pub async fn conclude(&self, ticket: &Ticket, id: &str, answered: Answered, now: Timestamp) -> Result<(), Cause> {
        let attempt = Attempt { answer: Some(answered), id: Ulid::from_string(id).ok(), ..ticket.attempt };
        if self.terms.learn == Learn::Allow && attempt.may_teach() {
            // Its outcome may still be reported, but a success must not teach a second time.
            let taught = Attempt { answer: Some(Answered { admission: Admission::Untaught, ..answered }), ..attempt };
            let (learned, indexed, ()) = tokio::join!(self.learn_at_once(ticket, attempt, now), self.await_outcome(ticket, id, taught, now), async {
                self.carry_over_blocks(&ticket.moved_blocks, now).await;
                self.record_key_use(ticket.has_pool, now).await;
            },);
            return learned.map(|_| ()).and(indexed);
        }
        let change =
            Change { set: vec![(ticket.field.clone(), attempt.to_field())], remove: ticket.stale.clone(), keep: Keep::Least(self.terms.pending + SLACK) };
        let index = self.await_outcome(ticket, id, attempt, now);
        let moved = async {
            if let Some(moving) = &ticket.moving {
                self.carry_over(&ticket.keys, ticket.version, moving, now).await;
            }
            self.carry_over_blocks(&ticket.moved_blocks, now).await;
            self.record_key_use(ticket.has_pool, now).await;
        };
        let recorded = self.change_unless_forgotten(&ticket.keys[0], change, ticket.forgotten, now);
        let (recorded, indexed, (), ()) = tokio::join!(recorded, index, self.lend(ticket.shape.as_ref(), now), moved);
        if recorded? == Recorded::Forgotten {
            self.withdraw_templates(&ticket.keys[0]).await;
        }
        indexed
    }

    /// A post-authentication: promotes the attempt that it completes, if that can be told. One read and two writes.
    ///
    /// # Errors
    ///
    /// The store could not be reached; then nothing was learned.
    pub async fn succeeded(&self, event: &PostAuthentication) -> Result<Success, Cause> {
        let now = event.received.wall;
        let keys = self.pseudonyms.person(&event.pool, event.person.key());
        let marks = self.marks_of(&event.pool, &event.client, event.nonce.as_deref(), None);
        let KeyMarks { client, nonce, .. } = marks[0];
        let (dossier, ()) = tokio::join!(self.reported(Part::Record, self.moved_dossier(&keys, &marks, now)), self.refresh_and_report(now));
        let dossier = dossier?;
        let device = match event.new_device_used {
            None => DeviceNews::Unsaid,
            Some(false) => DeviceNews::Known,
            Some(true) => DeviceNews::New,
        };
        let pending = pending(&dossier, client, nonce, now, self.terms.pending);
        let (learned, chosen) = choose(&pending);
        // Of several pending attempts some may be a stranger's: the owner's tokens carry no more than all of them would bring.
        let verdict = pending.iter().filter_map(|(_, attempt)| Verdict::of(attempt)).min_by_key(|verdict| {
            let newest = std::cmp::Reverse(verdict.at);
            (verdict.standing, verdict.completeness, newest)
        });
        let hold = restriction_of_all(pending.iter().map(|(_, attempt)| attempt));
        let row = chosen.as_ref().or(pending.first()).map(|(_, attempt)| self.row(event, attempt, &dossier, learned));
        let taught = match (&chosen, learned) {
            (Some((_, attempt)), Learned::Promoted) => dossier.origin(attempt.origin).cloned().map(|origin| Taught { attempt: *attempt, origin, device }),
            (_, Learned::Promoted | Learned::Ambiguous | Learned::NothingPending | Learned::NotTeachable) => None,
        };
        if pending.is_empty() && dossier.forgotten.is_some() {
            // Its attempt was forgotten: nothing of the person is recorded again.
            self.witness(client, Deed::Reports, now).await;
            return Ok(Success { learned, id: None });
        }
        let remove = chosen.as_ref().map(|(field, attempt)| resolved(field, attempt, &pending, now)).unwrap_or_default();
        let ground = self.ground(dossier, taught.as_ref(), now, now);
        let verdict = verdict.map(|verdict| (client, verdict));
        let promotion = Promotion { keys: &keys, ground, taught, sample: None, verdict, hold, remove, at: now, now };
        let noted = async {
            match &row {
                Some(row) => self.store.note(row, self.terms.history).await,
                None => Ok(()),
            }
        };
        let written = async {
            let (promoted, noted) = tokio::join!(self.promote(promotion), noted);
            noted.and(promoted)
        };
        let (written, ()) = tokio::join!(self.reported(Part::Success, written), self.witness(client, Deed::Reports, now));
        let id = chosen.and_then(|(_, attempt)| attempt.id).map(|id| id.to_smolstr());
        written.map(|promoted| match promoted {
            Recorded::Done => Success { learned, id },
            Recorded::Forgotten => Success { learned: Learned::NothingPending, id: None },
        })
    }

    /// `LEARN=allow`: the verdict itself teaches. A lesson written since the record was read is a conflict like any other.
    async fn learn_at_once(&self, ticket: &Ticket, attempt: Attempt, now: Timestamp) -> Result<Recorded, Cause> {
        let taught = Taught { attempt, origin: ticket.origin.clone(), device: DeviceNews::Unsaid };
        let mut ground = match &ticket.ground {
            Some(ground) => ground.clone(),
            None => self.ground(self.moved_dossier(&ticket.keys, &[], now).await?, Some(&taught), now, attempt.at),
        };
        if ground.forgotten > ticket.forgotten {
            return Ok(Recorded::Forgotten);
        }
        if let (Some(_), Some(moving)) = (&ticket.ground, &ticket.moving)
            && self.carry_over(&ticket.keys, ticket.version, moving, now).await
        {
            ground.version += 1;
        }
        let remove = ticket.stale.iter().cloned().chain([ticket.field.clone()]).collect();
        let verdict = Verdict::of(&attempt).map(|verdict| (attempt.client, verdict));
        let hold = restriction_of_all([&attempt]);
        let promotion = Promotion { keys: &ticket.keys, ground, taught: Some(taught), sample: None, verdict, hold, remove, at: attempt.at, now };
        self.promote(promotion).await
    }

    pub(super) fn ground(&self, dossier: Dossier, taught: Option<&Taught>, now: Timestamp, at: Timestamp) -> Ground {
        let nowhere = Origin::default();
        dossier.into_ground(taught.map_or(&nowhere, |taught| &taught.origin), now, at, self.terms.history)
    }

    /// Writes a success. When somebody else was faster, the lesson is laid beside the profile for the next writer to add:
    /// two successes at once lose nothing, and nobody waits for a lock.
    pub(super) async fn promote(&self, promotion: Promotion<'_>) -> Result<Recorded, Cause> {
        let Promotion { keys, ground, taught, sample, verdict, hold, mut remove, at, now } = promotion;
        let Ground { version, mut profile, folded_in, applied, expired, forgotten, hold: held, kept } = ground;
        let mut set: Vec<(SmolStr, Vec<u8>)> = Vec::with_capacity(4);
        set.push(("t".into(), seconds(at).to_be_bytes().to_vec()));
        set.extend(verdict.map(|(client, verdict)| (marked('s', client), verdict.to_bytes())));
        if hold == Hold::Withhold {
            let until = now.checked_add(self.terms.hold).unwrap_or(now).max(held.unwrap_or(now));
            set.push(("h".into(), seconds(until).to_be_bytes().to_vec()));
        }
        let keep = Keep::Renew(kept.max(self.terms.history.max(self.terms.hold) + SLACK));
        remove.extend(expired);
        let Some(taught) = taught else {
            return self.change_unless_forgotten(&keys[0], Change { set, remove, keep }, forgotten, now).await;
        };
        taught.add_to(&mut profile, days(self.terms.history));
        let (sets, removes) = (set.len(), remove.len());
        set.push(("p".into(), profile.to_bytes()));
        let own = sample.as_ref().and_then(outcome::applied_field);
        set.extend(applied.into_iter().chain(own).map(|mark| (mark, seconds(now).to_be_bytes().to_vec())));
        remove.extend(folded_in);
        let folded = Change { set, remove, keep };
        let shape = self.shape(keys, &profile, now);
        let (changed, ()) = tokio::join!(self.store.change_if(&keys[0], version, folded, now), self.lend(shape.as_ref(), now));
        match changed? {
            Changed::Done => Ok(Recorded::Done),
            Changed::Conflict(Change { mut set, mut remove, keep }) => {
                set.truncate(sets);
                remove.truncate(removes);
                set.push((sample.unwrap_or_else(|| dossier::field('l', &rand::random())), taught.to_bytes()));
                let recorded = self.change_unless_forgotten(&keys[0], Change { set, remove, keep }, forgotten, now).await?;
                if recorded == Recorded::Forgotten {
                    self.withdraw_templates(&keys[0]).await;
                }
                Ok(recorded)
            }
        }
    }

    /// Records that a client reports successes, or makes tokens, if that is not in the list or is there under an old moment.
    pub(super) async fn witness(&self, client: u32, deed: Deed, now: Timestamp) {
        if self.shared.load(now).is_due(client, deed, now) {
            let (name, value) = (deed.entry_name(client), Deed::entry_value(now));
            self.report_write(Part::ClientUse, self.store.enlist(List::Shared, &name, &value, now.checked_add(DEED_TTL).ok())).await;
        }
    }

    fn row(&self, event: &PostAuthentication, attempt: &Attempt, dossier: &Dossier, learned: Learned) -> Row {
        let origin: Option<&Origin> = dossier.origin(attempt.origin);
        let hash = |level: Level| origin.and_then(|origin| origin.features.first()?.at(level)).map(|hash| format!("{hash:08x}"));
        let answer = attempt.answer;
        let what = serde_json::json!({
            "pool": event.pool, "client": event.client,
            "score": answer.map(|answer| f64::from(answer.score) / 10.0),
            "level": answer.map(|answer| answer.standing.as_label()),
            "reasons": answer.map(|answer| answer.reasons.into_iter().filter(|reason| *reason > 0).collect::<Vec<u8>>()),
            "network": hash(Level::Network), "asn": hash(Level::Asn), "device": hash(Level::Device), "agent": hash(Level::UserAgent),
            "new_device": event.new_device_used, "learned": learned.as_label(),
        });
        let id = attempt.at.as_second().to_string();
        Row { user: self.user(&event.pool, &event.person), at: event.received.wall, id: id.into(), what: what.to_string() }
    }

    pub(super) fn user(&self, pool: &str, person: &Person) -> SmolStr {
        self.pseudonyms.user(pool, person.key())
    }
}

/// The attempts that a success may complete: of this client, not denied, within their time; of its own nonce where it carries one.
fn pending(dossier: &Dossier, client: u32, nonce: Option<u32>, now: Timestamp, window: Duration) -> Vec<(SmolStr, Attempt)> {
    let recent = |at: Timestamp| u64::try_from(now.as_second() - at.as_second()).is_ok_and(|age| age < window.as_secs());
    let all = || dossier.attempts.iter().filter(|(_, attempt)| attempt.client == client && !attempt.was_denied() && recent(attempt.at));
    let bound: Vec<_> = all().filter(|(_, attempt)| nonce.is_some() && attempt.nonce == nonce).cloned().collect();
    if bound.is_empty() { all().cloned().collect() } else { bound }
}

/// Which of the pending attempts is learned from, or done with.
fn choose(pending: &[(SmolStr, Attempt)]) -> (Learned, Option<(SmolStr, Attempt)>) {
    let Some((_, first)) = pending.first() else { return (Learned::NothingPending, None) };
    if pending.iter().any(|(_, attempt)| attempt.origin != first.origin) {
        return (Learned::Ambiguous, None);
    }
    let answered: Vec<&(SmolStr, Attempt)> = pending.iter().filter(|(_, attempt)| attempt.answer.is_some()).collect();
    // One that another of its origin followed long after was mistyped. Of the others any may be meant, and taking any of them
    // keeps two successes at once from taking the same.
    let newest = answered.iter().map(|(_, attempt)| attempt.at.as_second()).max().unwrap_or_default();
    let latest: Vec<&(SmolStr, Attempt)> = answered.iter().copied().filter(|(_, attempt)| newest - attempt.at.as_second() < RETRY_WINDOW).collect();
    let chosen = (!latest.is_empty()).then(|| latest[rand::random_range(0..latest.len())].clone());
    match &chosen {
        Some(_) if answered.iter().all(|(_, attempt)| attempt.may_teach()) => (Learned::Promoted, chosen),
        Some(_) | None => (Learned::NotTeachable, chosen),
    }
}

/// What a success settles: its own attempt, and the mistyped ones of the same origin before it.
fn resolved(field: &SmolStr, chosen: &Attempt, pending: &[(SmolStr, Attempt)], now: Timestamp) -> Vec<SmolStr> {
    let mistyped = pending.iter().filter(|(_, attempt)| attempt.origin == chosen.origin && now.as_second() - attempt.at.as_second() >= RETRY_WINDOW);
    let mut fields: Vec<SmolStr> = mistyped.map(|(field, _)| field.clone()).chain([field.clone()]).collect();
    fields.dedup();
    fields
}

// === impl Learned ===

impl Learned {
    /// The label in metrics and the activity table.
    pub fn as_label(self) -> &'static str {
        match self {
            Learned::Promoted => "learned",
            Learned::Ambiguous => "ambiguous",
            Learned::NothingPending => "no_attempt",
            Learned::NotTeachable => "refused",
        }
    }
}
