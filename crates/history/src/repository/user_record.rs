//! A parsed user record: the profile, samples that are not yet part of it, attempts, and the decisions on the last sign-ins.

use std::{collections::BTreeMap, time::Duration};

use base64::Engine as _;
use jiff::Timestamp;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::{
    attempt::{Admission, Attempt, Completeness, MAX_ATTEMPT_BYTES, MAX_ORIGINS, Origin, RiskLevel, TokenRestriction},
    block_list::BlockEntry,
};
use riskgate_engine::{
    encoding::{Reader, hash_field_name},
    profile::{DeviceStatus, Observation, Profile, SignInLocation, day_of, seconds, timestamp_of},
    velocity::{self, FAILURE_WINDOW_SECONDS, MAX_FAILURES},
};
use riskgate_store::Record;

use crate::repository::{
    challenge::{CHALLENGE, OpenChallenge},
    forgetting::{FORGOTTEN, FORGOTTEN_TTL, forgotten_at},
    outcome::{self, MAX_APPLIED, OUTCOME_TTL},
    rotation::{KeyHashes, KeyMigration, MOVED, MigratedRecord, merged_field},
    sessions::{RECHECKED, SIGHTING, UNJUDGED, UNJUDGED_TTL},
};

/// Maximum number of attempts in a record: the number of failures that are counted.
pub(super) const MAX_ATTEMPTS: usize = MAX_FAILURES;

/// The field with the time of the last success. Only a user with a history has it.
pub(super) const LAST_SUCCESS: &str = "t";

/// Flag in the device byte of a sample: the user passed a challenge.
const PROVEN: u8 = 4;

/// A parsed user record.
#[derive(Debug, Default)]
pub(super) struct UserRecord {
    pub(super) version: u64,
    profile: Option<Profile>,
    pub(super) samples: BTreeMap<SmolStr, Sample>,
    /// Successes whose session is not judged yet. They are not part of the profile.
    pub(super) unjudged: BTreeMap<SmolStr, Sample>,
    /// Where the sessions were first seen.
    pub(super) sightings: BTreeMap<SmolStr, SignInLocation>,
    /// When a session was last looked up at a refresh.
    pub(super) rechecked: Option<Timestamp>,
    /// Challenged sign-ins without a pass.
    pub(super) challenges: BTreeMap<SmolStr, OpenChallenge>,
    pub(super) attempts: SmallVec<[(SmolStr, Attempt); 2]>,
    origins: SmallVec<[(u32, Origin); 1]>,
    pub(super) last_success: Option<Timestamp>,
    pub(super) restriction: Option<Timestamp>,
    sign_ins: SmallVec<[(u32, LastDecision); 1]>,
    pub(super) block: Option<BlockEntry>,
    /// When the user was last forgotten.
    pub(super) forgotten: Option<Timestamp>,
    /// HashesByKey of outcomes whose samples are in the profile, and when they were applied.
    applied: SmallVec<[(SmolStr, Timestamp); 1]>,
    /// Fields of older records that were merged into the profile, and the version of each.
    merged: SmallVec<[(SmolStr, u64); 1]>,
    /// The fields among them whose records are now empty.
    emptied: Vec<SmolStr>,
    /// Data under older keys, to be migrated to the newest.
    pub(super) migration: Option<Box<KeyMigration>>,
}

/// A training sample: a success that is not yet part of the profile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) attempt: Attempt,
    pub(super) origin: Origin,
    pub(super) device: DeviceStatus,
    /// Whether the user passed a challenge.
    pub(super) proven: bool,
}

/// A record with all samples merged into the profile, as the base for an update.
#[derive(Debug, Clone)]
pub(super) struct MergedRecord {
    pub(super) version: u64,
    pub(super) profile: Profile,
    /// The fields of the samples that were merged.
    pub(super) merged_samples: Vec<SmolStr>,
    /// The marks of the merged samples that are from outcomes.
    pub(super) applied: Vec<SmolStr>,
    /// Fields of marks that have expired or are too many.
    pub(super) expired: Vec<SmolStr>,
    /// When the user was last forgotten.
    pub(super) forgotten: Option<Timestamp>,
    pub(super) restriction: Option<Timestamp>,
    /// When a sign-in last succeeded, before the present success.
    pub(super) last_success: Option<Timestamp>,
    /// The minimum TTL of the record, because of its block.
    pub(super) min_ttl: Duration,
}

/// The decision on the last sign-in through a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastDecision {
    pub(super) at: Timestamp,
    pub(super) risk_level: RiskLevel,
    pub(super) completeness: Completeness,
    pub(super) score: u16,
}

/// The name of a field: a letter for its kind, followed by its number.
pub(super) fn field(kind: char, number: &[u8; 6]) -> SmolStr {
    let mut name = [u8::try_from(kind).unwrap_or(b'?'); 9];
    // Six bytes are eight letters.
    let _ = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(number, &mut name[1..]);
    std::str::from_utf8(&name).unwrap_or_default().into()
}

impl UserRecord {
    /// Parses a record. Ignores unreadable fields.
    pub(super) fn parse(record: &Record) -> Self {
        let mut user_record = UserRecord { version: record.version, forgotten: forgotten_at(record), ..UserRecord::default() };
        for (name, bytes) in &record.fields {
            let (kind, rest) = name.split_at_checked(1).unwrap_or((name, ""));
            let mark = || u32::from_str_radix(rest, 16).ok();
            match kind {
                "p" => user_record.profile = Profile::from_bytes(bytes),
                "a" => user_record.attempts.extend(Attempt::from_field(bytes).map(|attempt| (name.clone(), attempt))),
                "c" => user_record.origins.extend(mark().zip(Origin::from_bytes(bytes))),
                outcome::APPLIED => user_record.applied.extend(Reader(bytes).u32().map(|at| (name.clone(), timestamp_of(at)))),
                "k" => user_record.merged.extend(Reader(bytes).array().map(|version| (name.clone(), u64::from_be_bytes(version)))),
                "l" | outcome::SAMPLE => user_record.samples.extend(Sample::from_bytes(bytes).map(|sample| (name.clone(), sample))),
                UNJUDGED => user_record.unjudged.extend(Sample::from_bytes(bytes).map(|sample| (name.clone(), sample))),
                SIGHTING => user_record.sightings.extend(SignInLocation::read(&mut Reader(bytes)).map(|seen| (name.clone(), seen))),
                RECHECKED => user_record.rechecked = Reader(bytes).u32().map(timestamp_of),
                CHALLENGE => user_record.challenges.extend(OpenChallenge::from_bytes(bytes).map(|challenge| (name.clone(), challenge))),
                "s" => user_record.sign_ins.extend(mark().zip(LastDecision::from_bytes(bytes))),
                LAST_SUCCESS => user_record.last_success = Reader(bytes).u32().map(timestamp_of),
                "h" => user_record.restriction = Reader(bytes).u32().map(timestamp_of),
                "b" => user_record.block = BlockEntry::from_bytes(bytes),
                _ => {}
            }
        }
        user_record
    }

    /// Finds an origin by its short hash.
    pub(super) fn origin(&self, hash: u32) -> Option<&Origin> {
        self.origins.iter().find(|(known, _)| *known == hash).map(|(_, origin)| origin)
    }

    /// The decision on the last sign-in through a client.
    pub(super) fn sign_in(&self, client: u32) -> Option<LastDecision> {
        self.sign_ins.iter().find(|(known, _)| *known == client).map(|(_, decision)| *decision)
    }

    /// Whether the record has the sample of an outcome, in the profile or separately.
    pub(super) fn has_sample(&self, sample: &SmolStr) -> bool {
        self.samples.contains_key(sample) || self.is_applied(sample)
    }

    fn is_applied(&self, sample: &SmolStr) -> bool {
        outcome::applied_field(sample).is_some_and(|mark| self.applied.iter().any(|(known, _)| *known == mark))
    }

    /// The TTL of the record: at least `minimum`, and until its block expires.
    pub(super) fn min_ttl(&self, now: Timestamp, minimum: Duration) -> Duration {
        self.block.as_ref().map_or(minimum, |entry| entry.remaining(now).max(minimum))
    }

    /// Merges the record of an older key, and converts its hashes to those of the newest key. Profiles are summed, and of two times the later
    /// applies. Of two blocks, that of the newer key takes effect.
    pub(super) fn merge_older(&mut self, key: &SmolStr, record: &Record, hashes: Option<(&KeyHashes, &KeyHashes)>) {
        self.forgotten = self.forgotten.max(forgotten_at(record));
        let fields: Vec<SmolStr> = record.fields.keys().filter(|name| *name != MOVED && *name != FORGOTTEN).cloned().collect();
        let merged = merged_field(key);
        if fields.is_empty() {
            self.emptied.extend(self.merged.iter().filter(|(known, _)| *known == merged).map(|(known, _)| known.clone()));
            return;
        }
        let older = UserRecord::parse(record);
        let mut set = Vec::new();
        let has_history =
            older.profile.is_some() || !older.samples.is_empty() || !older.unjudged.is_empty() || older.restriction.is_some() || !older.challenges.is_empty();
        // If only the second step of a migration failed, the profile was already merged.
        let is_new = !self.merged.contains(&(merged.clone(), record.version));
        if let Some(stored) = older.profile.filter(|_| is_new) {
            set.push((merged, record.version.to_be_bytes().to_vec()));
            let profile = self.profile.get_or_insert_default();
            profile.merge(stored);
            set.push(("p".into(), profile.to_bytes()));
        }
        for (mark, at) in older.applied {
            if self.applied.iter().all(|(known, _)| *known != mark) {
                set.push((mark.clone(), seconds(at).to_be_bytes().to_vec()));
                self.applied.push((mark, at));
            }
        }
        for (field, sample) in older.samples {
            set.push((field.clone(), sample.to_bytes()));
            self.samples.insert(field, sample);
        }
        for (field, sample) in older.unjudged {
            set.push((field.clone(), sample.to_bytes()));
            self.unjudged.insert(field, sample);
        }
        let origins: Vec<(u32, u32)> = older.origins.into_iter().map(|(mark, origin)| (mark, self.merge_origin(mark, origin, &mut set))).collect();
        let convert = |mark: u32, of: fn(&KeyHashes) -> Option<u32>| match hashes {
            Some((from, to)) if of(from) == Some(mark) => of(to).unwrap_or(mark),
            Some(_) | None => mark,
        };
        for (field, attempt) in older.attempts {
            let attempt = Attempt {
                origin: origins.iter().find(|(from, _)| *from == attempt.origin).map_or(attempt.origin, |(_, to)| *to),
                client: convert(attempt.client, |hashes| Some(hashes.client)),
                nonce: attempt.nonce.map(|nonce| convert(nonce, |hashes| hashes.nonce)),
                event: convert(attempt.event, |hashes| hashes.event),
                ..attempt
            };
            set.push((field.clone(), attempt.to_field()));
            self.attempts.push((field, attempt));
        }
        for (field, mut challenge) in older.challenges {
            challenge.sample.attempt.client = convert(challenge.sample.attempt.client, |hashes| Some(hashes.client));
            set.push((field.clone(), challenge.to_bytes()));
            self.challenges.insert(field, challenge);
        }
        for (client, decision) in older.sign_ins {
            let client = convert(client, |hashes| Some(hashes.client));
            if self.sign_in(client).is_none_or(|known| known.at < decision.at) {
                set.push((hash_field_name('s', client), decision.to_bytes()));
                self.sign_ins.retain(|(known, _)| *known != client);
                self.sign_ins.push((client, decision));
            }
        }
        if older.last_success > self.last_success {
            self.last_success = older.last_success;
            set.extend(older.last_success.map(|at| (LAST_SUCCESS.into(), seconds(at).to_be_bytes().to_vec())));
        }
        if older.restriction > self.restriction {
            self.restriction = older.restriction;
            set.extend(older.restriction.map(|at| ("h".into(), seconds(at).to_be_bytes().to_vec())));
        }
        let migration = self.migration.get_or_insert_default();
        let is_listed = older.block.is_some();
        if self.block.is_none() && is_listed {
            self.block = older.block;
            migration.has_moved_block = true;
            set.extend(record.fields.get("b").map(|bytes| ("b".into(), bytes.clone())));
        }
        migration.block.clone_from(&self.block);
        // Fields that this record sets replace those of the older records merged before, because they contain the sum.
        migration.set.retain(|(name, _)| set.iter().all(|(set, _)| set != name));
        migration.set.extend(set);
        migration.has_history |= has_history;
        migration.from.push(MigratedRecord { key: key.clone(), version: record.version, fields, is_listed });
    }

    /// Merges an origin. An origin of the newer record is the same if it has the features of both keys.
    fn merge_origin(&mut self, mark: u32, origin: Origin, set: &mut Vec<(SmolStr, Vec<u8>)>) -> u32 {
        let is_same = |known: &Origin| known.sighting == origin.sighting && origin.features.first().is_some_and(|features| known.features.contains(features));
        if let Some((known, _)) = self.origins.iter().find(|(_, known)| is_same(known)) {
            return *known;
        }
        set.push((Origin::field(mark), origin.to_bytes()));
        self.origins.push((mark, origin));
        mark
    }

    /// Merges all samples into the profile, for an update by a success from `origin`.
    pub(super) fn into_merged(mut self, origin: &Origin, now: Timestamp, at: Timestamp, ttl: Duration) -> MergedRecord {
        self.release_unjudged(now);
        let (version, restriction, min_ttl, forgotten) = (self.version, self.restriction, self.min_ttl(now, Duration::ZERO), self.forgotten);
        let last_success = self.last_success;
        let merged_samples: Vec<SmolStr> = self.samples.keys().cloned().collect();
        let applied = merged_samples.iter().filter(|sample| !self.is_applied(sample)).filter_map(outcome::applied_field).collect();
        let expired = self.expired(now);
        MergedRecord { version, profile: self.into_profile(origin, at, ttl), merged_samples, applied, expired, forgotten, restriction, last_success, min_ttl }
    }

    /// Adds the successes that were not judged in time to the samples, so the profile learns from them.
    pub(super) fn release_unjudged(&mut self, now: Timestamp) {
        let is_late = |sample: &Sample| now.as_second() - sample.attempt.at.as_second() >= UNJUDGED_TTL;
        if self.unjudged.values().any(is_late) {
            let (late, waiting) = std::mem::take(&mut self.unjudged).into_iter().partition(|(_, sample)| is_late(sample));
            self.unjudged = waiting;
            self.samples.append(&mut { late });
        }
    }

    /// The fields of marks that have expired or are too many: marks of applied outcomes, of erasure and of emptied older records.
    fn expired(&self, now: Timestamp) -> Vec<SmolStr> {
        let has_expired = |at: Timestamp, ttl: Duration| u64::try_from(now.as_second() - at.as_second()).is_ok_and(|age| age >= ttl.as_secs());
        let mut newest_first = self.applied.clone();
        newest_first.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        let ended = self.challenge_fields(|challenge| challenge.until <= now);
        let expired = newest_first.into_iter().enumerate().filter(|(rank, (_, at))| *rank >= MAX_APPLIED || has_expired(*at, OUTCOME_TTL));
        let forgotten = self.forgotten.filter(|at| has_expired(*at, FORGOTTEN_TTL)).map(|_| FORGOTTEN.into());
        expired.map(|(_, (mark, _))| mark).chain(forgotten).chain(self.emptied.iter().cloned()).chain(ended).collect()
    }

    /// The profile with all samples. Hashes become those of the newest key if `origin` contains both.
    pub(super) fn into_profile(self, origin: &Origin, at: Timestamp, ttl: Duration) -> Profile {
        let ttl_days = days(ttl);
        let mut profile = self.profile.unwrap_or_default();
        let applied = self.applied;
        let is_new = |sample: &SmolStr| outcome::applied_field(sample).is_none_or(|mark| applied.iter().all(|(known, _)| *known != mark));
        let mut samples: Vec<Sample> = self.samples.into_iter().filter(|(sample, _)| is_new(sample)).map(|(_, sample)| sample).collect();
        samples.sort_by_key(|sample| sample.attempt.at);
        for sample in samples {
            sample.add_to(&mut profile, ttl_days);
        }
        if let Some((newest, older)) = origin.features.split_first() {
            older.iter().for_each(|older| profile.rehash(older, newest));
        }
        profile.forget(day_of(at), ttl_days);
        profile
    }

    /// Counts the attempts that no success followed, and successes whose challenge is not passed. An attempt and its retries count once.
    pub(super) fn count_failures(&self, now: Timestamp) -> u32 {
        let has_retry = |field: &SmolStr, attempt: &Attempt| {
            self.attempts
                .iter()
                .any(|(other, later)| other != field && later.at >= attempt.at && (later.at, other) > (attempt.at, field) && attempt.is_retried_by(later))
        };
        let attempts = self.attempts.iter().filter(|(field, attempt)| !has_retry(field, attempt)).map(|(_, attempt)| attempt.at);
        let challenged = self.challenges.values().map(|challenge| challenge.sample.attempt.at);
        velocity::failures(attempts.chain(challenged), self.last_success, now)
    }

    /// Concurrent sign-ins from other origins: attempts that were allowed, and the last success.
    pub(super) fn concurrent_sightings(&self, current: &Attempt, now: Timestamp, window: Duration) -> Vec<SignInLocation> {
        let others =
            self.attempts.iter().map(|(_, attempt)| attempt).filter(|other| other.origin != current.origin && other.decision.is_some() && !other.was_denied());
        let pending = others.filter_map(|other| Some(SignInLocation { at: other.at, ..self.origin(other.origin)?.sighting? }));
        let last = self.profile.as_ref().and_then(|profile| profile.last);
        velocity::concurrent(pending.chain(last), now, window)
    }

    /// The fields of attempts and origins that have expired or are too many, except those of the current attempt.
    pub(super) fn stale_fields(&self, current: &SmolStr, now: Timestamp, pending: Duration) -> Vec<SmolStr> {
        let longest = pending.max(Duration::from_secs(FAILURE_WINDOW_SECONDS.unsigned_abs()));
        let expired = |attempt: &Attempt| u64::try_from(now.as_second() - attempt.at.as_second()).is_ok_and(|age| age >= longest.as_secs());
        let mut retained: SmallVec<[&(SmolStr, Attempt); MAX_ATTEMPTS]> =
            self.attempts.iter().filter(|(field, attempt)| field == current || !expired(attempt)).collect();
        if let Some(own) = retained.iter().position(|(field, _)| field == current) {
            retained[..=own].rotate_right(1);
            retained[1..].sort_by_key(|(_, attempt)| std::cmp::Reverse(attempt.at));
        } else {
            retained.sort_by_key(|(_, attempt)| std::cmp::Reverse(attempt.at));
        }
        retained.truncate(MAX_ATTEMPTS);
        let mut used: SmallVec<[(u32, u32); MAX_ORIGINS]> = SmallVec::new();
        for (_, attempt) in &retained {
            let pair = (attempt.client, attempt.origin);
            if !used.contains(&pair) && used.iter().filter(|(client, _)| *client == attempt.client).count() < MAX_ORIGINS {
                used.push(pair);
            }
        }
        let dropped = self.attempts.iter().filter(|attempt| !retained.iter().any(|retained| std::ptr::eq(*retained, *attempt))).map(|(field, _)| field.clone());
        let unused = self.origins.iter().filter(|(mark, _)| used.iter().all(|(_, origin)| origin != mark)).map(|(mark, _)| Origin::field(*mark));
        dropped.chain(unused).collect()
    }
}

impl Sample {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + MAX_ATTEMPT_BYTES + self.origin.max_bytes());
        let device = match self.device {
            DeviceStatus::NotReported => 0,
            DeviceStatus::Known => 1,
            DeviceStatus::New => 2,
        };
        out.push(device | (u8::from(self.proven) * PROVEN));
        self.attempt.write(&mut out);
        self.origin.write(&mut out);
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let flags = reader.u8()?;
        let device = match flags & !PROVEN {
            0 => DeviceStatus::NotReported,
            1 => DeviceStatus::Known,
            _ => DeviceStatus::New,
        };
        Some(Sample { device, proven: flags & PROVEN != 0, attempt: Attempt::read(&mut reader)?, origin: Origin::read(&mut reader)? })
    }

    pub(super) fn add_to(&self, profile: &mut Profile, ttl_days: u16) {
        let Some((newest, older)) = self.origin.features.split_first() else { return };
        older.iter().for_each(|older| profile.rehash(older, newest));
        let seen = self.origin.sighting.unwrap_or(SignInLocation { at: self.attempt.at, location: None, anonymous: false });
        let location = SignInLocation { at: self.attempt.at, ..seen };
        // Trusted addresses are marked from the first verified one on. Pools without sessions have no marks.
        let verified = self.origin.claim.is_verified || (self.origin.claim.is_trusted && profile.has_verified());
        let observation = Observation { features: newest, hour: self.attempt.hour, location, device: self.device, proven: self.proven, verified };
        profile.learn(&observation, ttl_days);
    }
}

impl LastDecision {
    /// The decision on an attempt; `None` if it was denied or is not recorded.
    pub(super) fn of(attempt: &Attempt) -> Option<Self> {
        let answer = attempt.decision.filter(|decision| decision.admission != Admission::Deny)?;
        Some(LastDecision { at: attempt.at, risk_level: answer.risk_level, completeness: answer.completeness, score: answer.score })
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let ([a, b, c, d], [e, f]) = (seconds(self.at).to_be_bytes(), self.score.to_be_bytes());
        vec![a, b, c, d, self.risk_level.bits() | self.completeness.bit() << 2, e, f]
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (at, flags, score) = (timestamp_of(reader.u32()?), reader.u8()?, reader.u16()?);
        Some(LastDecision { at, risk_level: RiskLevel::from_bits(flags), completeness: Completeness::from_bit(flags >> 2), score })
    }
}

/// The token restriction after a success that may complete any of the attempts: withheld only if every decision requires it. Attempts
/// without a decision are ignored, because they cannot have reached the password check.
pub(super) fn common_restriction<'a>(attempts: impl IntoIterator<Item = &'a Attempt>) -> TokenRestriction {
    attempts.into_iter().filter_map(|attempt| attempt.decision).map(|decision| decision.restriction).min().unwrap_or(TokenRestriction::None)
}

/// Complete days, at least one.
pub(super) fn days(ttl: Duration) -> u16 {
    u16::try_from(ttl.as_secs() / 86_400).unwrap_or(u16::MAX).max(1)
}
