//! One person's record, read: the profile with what was learned since, the attempts, and what became of them.

use std::{collections::BTreeMap, time::Duration};

use base64::Engine as _;
use jiff::Timestamp;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::evidence::history::{
    Profile,
    attempt::{Admission, Attempt, Completeness, Hold, LARGEST_ATTEMPT, MOST_ORIGINS, Origin, Standing},
    blocks::Entry,
    encoding::{Reader, marked},
    profile::{DeviceNews, Lesson, Sighting, day_of, moment, seconds},
    store::Record,
    velocity::{self, FAILURE_WINDOW, MOST_FAILURES},
};

use super::{
    forgetting::{FORGOTTEN, FORGOTTEN_TTL, forgotten_at},
    outcome::{self, MOST_APPLIED, OUTCOME_TTL},
    rotation::{KeyMarks, MOVED, MovedRecord, Moving, merged_field},
};

/// At most so many attempts are kept of a person: as many as failures are counted.
const MOST_ATTEMPTS: usize = MOST_FAILURES;

/// A person's record, read.
#[derive(Debug, Default)]
pub(super) struct Dossier {
    pub(super) version: u64,
    stored: Option<Profile>,
    pub(super) lessons: BTreeMap<SmolStr, Taught>,
    pub(super) attempts: SmallVec<[(SmolStr, Attempt); 2]>,
    origins: SmallVec<[(u32, Origin); 1]>,
    pub(super) last_success: Option<Timestamp>,
    pub(super) hold: Option<Timestamp>,
    sign_ins: SmallVec<[(u32, Verdict); 1]>,
    pub(super) block: Option<Entry>,
    /// When the person was last forgotten.
    pub(super) forgotten: Option<Timestamp>,
    /// Outcomes whose samples the profile holds already, and since when.
    applied: SmallVec<[(SmolStr, Timestamp); 1]>,
    /// Profiles of older records that this one's holds already, and under which version.
    merged: SmallVec<[(SmolStr, u64); 1]>,
    /// Those among them whose records are empty.
    emptied: Vec<SmolStr>,
    /// What was found under older keys, to be moved to the newest.
    pub(super) moving: Option<Box<Moving>>,
}

/// A success that is not yet part of the profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taught {
    pub(super) attempt: Attempt,
    pub(super) origin: Origin,
    pub(super) device: DeviceNews,
}

/// A record as a success finds it: the profile with everything learned, and what else its change rests on.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    pub(super) version: u64,
    pub(super) profile: Profile,
    /// The fields of the lessons that are in the profile.
    pub(super) folded_in: Vec<SmolStr>,
    /// The marks of those among them that outcomes brought.
    pub(super) applied: Vec<SmolStr>,
    /// Marks that have had their time or are too many.
    pub(super) expired: Vec<SmolStr>,
    /// When the person was last forgotten.
    pub(super) forgotten: Option<Timestamp>,
    pub(super) hold: Option<Timestamp>,
    /// How long the record is kept at least: for its block.
    pub(super) kept: Duration,
}

/// What the last sign-in through a client was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) at: Timestamp,
    pub(super) standing: Standing,
    pub(super) completeness: Completeness,
    pub(super) score: u16,
}

/// The name of a field: a letter for its kind, then its number.
pub(super) fn field(kind: char, number: &[u8; 6]) -> SmolStr {
    let mut letters = [0; 8];
    // Six bytes are eight letters.
    let _ = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(number, &mut letters);
    std::iter::once(kind).chain(letters.map(char::from)).collect()
}

// === impl Dossier ===

impl Dossier {
    /// Reads a record; a field that cannot be read is left out.
    pub(super) fn read(record: &Record) -> Self {
        let mut dossier = Dossier { version: record.version, forgotten: forgotten_at(record), ..Dossier::default() };
        for (name, bytes) in &record.fields {
            let (kind, rest) = name.split_at_checked(1).unwrap_or((name, ""));
            let mark = || u32::from_str_radix(rest, 16).ok();
            match kind {
                "p" => dossier.stored = Profile::from_bytes(bytes),
                "a" => dossier.attempts.extend(Attempt::from_field(bytes).map(|attempt| (name.clone(), attempt))),
                "c" => dossier.origins.extend(mark().zip(Origin::from_bytes(bytes))),
                outcome::APPLIED => dossier.applied.extend(Reader(bytes).u32().map(|at| (name.clone(), moment(at)))),
                "k" => dossier.merged.extend(Reader(bytes).array().map(|version| (name.clone(), u64::from_be_bytes(version)))),
                "l" | outcome::SAMPLE => dossier.lessons.extend(Taught::from_bytes(bytes).map(|taught| (name.clone(), taught))),
                "s" => dossier.sign_ins.extend(mark().zip(Verdict::from_bytes(bytes))),
                "t" => dossier.last_success = Reader(bytes).u32().map(moment),
                "h" => dossier.hold = Reader(bytes).u32().map(moment),
                "b" => dossier.block = Entry::from_bytes(bytes),
                _ => {}
            }
        }
        dossier
    }

    /// An origin by its mark.
    pub(super) fn origin(&self, mark: u32) -> Option<&Origin> {
        self.origins.iter().find(|(known, _)| *known == mark).map(|(_, origin)| origin)
    }

    /// What the last sign-in through a client was found to be.
    pub(super) fn sign_in(&self, client: u32) -> Option<Verdict> {
        self.sign_ins.iter().find(|(known, _)| *known == client).map(|(_, verdict)| *verdict)
    }

    /// Whether an outcome's sample is in the profile, or waits beside it.
    pub(super) fn has_sample(&self, sample: &SmolStr) -> bool {
        self.lessons.contains_key(sample) || self.is_applied(sample)
    }

    fn is_applied(&self, sample: &SmolStr) -> bool {
        outcome::applied_field(sample).is_some_and(|mark| self.applied.iter().any(|(known, _)| *known == mark))
    }

    /// How long the record is to be kept: at least as long as its block holds.
    pub(super) fn kept(&self, now: Timestamp, least: Duration) -> Duration {
        self.block.as_ref().map_or(least, |entry| entry.lasts(now).max(least))
    }

    /// Takes over the record of an older key, in the marks of the newest. What both have is added up, or the later of the two; of two blocks
    /// the newer key's is in force.
    pub(super) fn adopt(&mut self, key: &SmolStr, record: &Record, marks: Option<(&KeyMarks, &KeyMarks)>) {
        self.forgotten = self.forgotten.max(forgotten_at(record));
        let fields: Vec<SmolStr> = record.fields.keys().filter(|name| *name != MOVED && *name != FORGOTTEN).cloned().collect();
        let merged = merged_field(key);
        if fields.is_empty() {
            self.emptied.extend(self.merged.iter().filter(|(known, _)| *known == merged).map(|(known, _)| known.clone()));
            return;
        }
        let older = Dossier::read(record);
        let mut set = Vec::new();
        let has_history = older.stored.is_some() || !older.lessons.is_empty() || older.hold.is_some();
        // Where only the second half of a move failed, the profile has been added already.
        let is_new = !self.merged.contains(&(merged.clone(), record.version));
        if let Some(stored) = older.stored.filter(|_| is_new) {
            set.push((merged, record.version.to_be_bytes().to_vec()));
            let profile = self.stored.get_or_insert_default();
            profile.merge(stored);
            set.push(("p".into(), profile.to_bytes()));
        }
        for (mark, at) in older.applied {
            if self.applied.iter().all(|(known, _)| *known != mark) {
                set.push((mark.clone(), seconds(at).to_be_bytes().to_vec()));
                self.applied.push((mark, at));
            }
        }
        for (field, taught) in older.lessons {
            set.push((field.clone(), taught.to_bytes()));
            self.lessons.insert(field, taught);
        }
        let origins: Vec<(u32, u32)> = older.origins.into_iter().map(|(mark, origin)| (mark, self.adopt_origin(mark, origin, &mut set))).collect();
        let renamed = |mark: u32, of: fn(&KeyMarks) -> Option<u32>| match marks {
            Some((from, to)) if of(from) == Some(mark) => of(to).unwrap_or(mark),
            Some(_) | None => mark,
        };
        for (field, attempt) in older.attempts {
            let attempt = Attempt {
                origin: origins.iter().find(|(from, _)| *from == attempt.origin).map_or(attempt.origin, |(_, to)| *to),
                client: renamed(attempt.client, |marks| Some(marks.client)),
                nonce: attempt.nonce.map(|nonce| renamed(nonce, |marks| marks.nonce)),
                event: renamed(attempt.event, |marks| marks.event),
                ..attempt
            };
            set.push((field.clone(), attempt.to_field()));
            self.attempts.push((field, attempt));
        }
        for (client, verdict) in older.sign_ins {
            let client = renamed(client, |marks| Some(marks.client));
            if self.sign_in(client).is_none_or(|known| known.at < verdict.at) {
                set.push((marked('s', client), verdict.to_bytes()));
                self.sign_ins.retain(|(known, _)| *known != client);
                self.sign_ins.push((client, verdict));
            }
        }
        if older.last_success > self.last_success {
            self.last_success = older.last_success;
            set.extend(older.last_success.map(|at| ("t".into(), seconds(at).to_be_bytes().to_vec())));
        }
        if older.hold > self.hold {
            self.hold = older.hold;
            set.extend(older.hold.map(|at| ("h".into(), seconds(at).to_be_bytes().to_vec())));
        }
        let moving = self.moving.get_or_insert_default();
        let is_listed = older.block.is_some();
        if self.block.is_none() && is_listed {
            self.block = older.block;
            moving.moves_block = true;
            set.extend(record.fields.get("b").map(|bytes| ("b".into(), bytes.clone())));
        }
        moving.block.clone_from(&self.block);
        // Of two older records the one that is read later has the sum.
        moving.set.retain(|(name, _)| set.iter().all(|(set, _)| set != name));
        moving.set.extend(set);
        moving.has_history |= has_history;
        moving.from.push(MovedRecord { key: key.clone(), version: record.version, fields, is_listed });
    }

    /// Takes over an origin; one that a newer record has under the features of both keys is the same.
    fn adopt_origin(&mut self, mark: u32, origin: Origin, set: &mut Vec<(SmolStr, Vec<u8>)>) -> u32 {
        let same = |known: &Origin| known.sighting == origin.sighting && origin.features.first().is_some_and(|features| known.features.contains(features));
        if let Some((known, _)) = self.origins.iter().find(|(_, known)| same(known)) {
            return *known;
        }
        set.push((Origin::field(mark), origin.to_bytes()));
        self.origins.push((mark, origin));
        mark
    }

    /// What a success of some origin finds.
    pub(super) fn into_ground(self, origin: &Origin, now: Timestamp, at: Timestamp, ttl: Duration) -> Ground {
        let (version, hold, kept, forgotten) = (self.version, self.hold, self.kept(now, Duration::ZERO), self.forgotten);
        let folded_in: Vec<SmolStr> = self.lessons.keys().cloned().collect();
        let applied = folded_in.iter().filter(|sample| !self.is_applied(sample)).filter_map(outcome::applied_field).collect();
        let expired = self.expired(now);
        Ground { version, profile: self.into_profile(origin, at, ttl), folded_in, applied, expired, forgotten, hold, kept }
    }

    /// The fields of marks that have had their time or are too many: of outcomes that were applied, and that the person was forgotten.
    fn expired(&self, now: Timestamp) -> Vec<SmolStr> {
        let has_ended = |at: Timestamp, ttl: Duration| u64::try_from(now.as_second() - at.as_second()).is_ok_and(|age| age >= ttl.as_secs());
        let mut newest_first = self.applied.clone();
        newest_first.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        let ended = newest_first.into_iter().enumerate().filter(|(rank, (_, at))| *rank >= MOST_APPLIED || has_ended(*at, OUTCOME_TTL));
        let forgotten = self.forgotten.filter(|at| has_ended(*at, FORGOTTEN_TTL)).map(|_| FORGOTTEN.into());
        ended.map(|(_, (mark, _))| mark).chain(forgotten).chain(self.emptied.iter().cloned()).collect()
    }

    /// The profile with everything learned, in the hashes of the newest key as far as an origin tells them.
    pub(super) fn into_profile(self, origin: &Origin, at: Timestamp, ttl: Duration) -> Profile {
        let ttl_days = days(ttl);
        let mut profile = self.stored.unwrap_or_default();
        let applied = self.applied;
        let is_new = |sample: &SmolStr| outcome::applied_field(sample).is_none_or(|mark| applied.iter().all(|(known, _)| *known != mark));
        let mut lessons: Vec<Taught> = self.lessons.into_iter().filter(|(sample, _)| is_new(sample)).map(|(_, taught)| taught).collect();
        lessons.sort_by_key(|taught| taught.attempt.at);
        for taught in lessons {
            taught.add_to(&mut profile, ttl_days);
        }
        if let Some((newest, older)) = origin.features.split_first() {
            older.iter().for_each(|older| profile.rename(older, newest));
        }
        profile.forget(day_of(at), ttl_days);
        profile
    }

    /// Attempts that no success followed; Cognito's repetitions count once.
    pub(super) fn failures(&self, now: Timestamp) -> u32 {
        let repeated = |field: &SmolStr, attempt: &Attempt| {
            self.attempts
                .iter()
                .any(|(other, later)| other != field && later.at >= attempt.at && (later.at, other) > (attempt.at, field) && attempt.is_repeated_by(later))
        };
        let attempts = self.attempts.iter().filter(|(field, attempt)| !repeated(field, attempt)).map(|(_, attempt)| attempt.at);
        velocity::failures(attempts, self.last_success, now)
    }

    /// Where else the account is signing in: attempts of other origins that were let on, and a success of the same minutes.
    pub(super) fn elsewhere(&self, own: &Attempt, now: Timestamp, window: Duration) -> Vec<Sighting> {
        let others =
            self.attempts.iter().map(|(_, attempt)| attempt).filter(|other| other.origin != own.origin && other.answer.is_some() && !other.was_denied());
        let pending = others.filter_map(|other| Some(Sighting { at: other.at, ..self.origin(other.origin)?.sighting? }));
        let last = self.stored.as_ref().and_then(|profile| profile.last);
        velocity::concurrent(pending.chain(last), now, window)
    }

    /// The fields that have had their time or are too many, the present attempt's not among them.
    pub(super) fn stale(&self, own: &SmolStr, now: Timestamp, pending: Duration) -> Vec<SmolStr> {
        let longest = pending.max(Duration::from_secs(FAILURE_WINDOW.unsigned_abs()));
        let expired = |attempt: &Attempt| u64::try_from(now.as_second() - attempt.at.as_second()).is_ok_and(|age| age >= longest.as_secs());
        let mut kept: SmallVec<[&(SmolStr, Attempt); MOST_ATTEMPTS]> =
            self.attempts.iter().filter(|(field, attempt)| field == own || !expired(attempt)).collect();
        kept.sort_by_key(|(field, attempt)| (field != own, std::cmp::Reverse(attempt.at)));
        kept.truncate(MOST_ATTEMPTS);
        let mut used: SmallVec<[(u32, u32); MOST_ORIGINS]> = SmallVec::new();
        for (_, attempt) in &kept {
            let own = (attempt.client, attempt.origin);
            if !used.contains(&own) && used.iter().filter(|(client, _)| *client == attempt.client).count() < MOST_ORIGINS {
                used.push(own);
            }
        }
        let gone = self.attempts.iter().filter(|(field, _)| kept.iter().all(|(kept, _)| kept != field)).map(|(field, _)| field.clone());
        let unused = self.origins.iter().filter(|(mark, _)| used.iter().all(|(_, origin)| origin != mark)).map(|(mark, _)| Origin::field(*mark));
        gone.chain(unused).collect()
    }
}

// === impl Taught ===

impl Taught {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + LARGEST_ATTEMPT + self.origin.largest());
        out.push(match self.device {
            DeviceNews::Unsaid => 0,
            DeviceNews::Known => 1,
            DeviceNews::New => 2,
        });
        self.attempt.write(&mut out);
        self.origin.write(&mut out);
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let device = match reader.u8()? {
            0 => DeviceNews::Unsaid,
            1 => DeviceNews::Known,
            _ => DeviceNews::New,
        };
        Some(Taught { device, attempt: Attempt::read(&mut reader)?, origin: Origin::read(&mut reader)? })
    }

    pub(super) fn add_to(&self, profile: &mut Profile, ttl_days: u16) {
        let Some((newest, older)) = self.origin.features.split_first() else { return };
        older.iter().for_each(|older| profile.rename(older, newest));
        let place = self.origin.sighting.unwrap_or(Sighting { at: self.attempt.at, place: None, anonymous: false });
        let sighting = Sighting { at: self.attempt.at, ..place };
        profile.learn(&Lesson { features: newest, hour: self.attempt.hour, sighting, device: self.device }, ttl_days);
    }
}

// === impl Verdict ===

impl Verdict {
    /// What was answered to an attempt, if it was let on.
    pub(super) fn of(attempt: &Attempt) -> Option<Self> {
        let answer = attempt.answer.filter(|answer| answer.admission != Admission::Denied)?;
        Some(Verdict { at: attempt.at, standing: answer.standing, completeness: answer.completeness, score: answer.score })
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let ([a, b, c, d], [e, f]) = (seconds(self.at).to_be_bytes(), self.score.to_be_bytes());
        vec![a, b, c, d, self.standing.bits() | self.completeness.bit() << 2, e, f]
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (at, flags, score) = (moment(reader.u32()?), reader.u8()?, reader.u16()?);
        Some(Verdict { at, standing: Standing::from_bits(flags), completeness: Completeness::from_bit(flags >> 2), score })
    }
}

/// Whether tokens are restricted after a success that may complete any of some attempts: only if every answer says so. An attempt
/// without an answer cannot have come to its password, so a second one in flight lifts nothing.
pub(super) fn restriction_of_all<'a>(attempts: impl IntoIterator<Item = &'a Attempt>) -> Hold {
    attempts.into_iter().filter_map(|attempt| attempt.answer).map(|answer| answer.hold).min().unwrap_or(Hold::None)
}

/// Whole days, at least one.
pub(super) fn days(ttl: Duration) -> u16 {
    u16::try_from(ttl.as_secs() / 86_400).unwrap_or(u16::MAX).max(1)
}
