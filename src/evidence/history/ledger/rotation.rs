//! Key rotation: records under older keys are read with the newest, and moved to it (invariant 14: key rotation loses nothing).
//!
//! What is found is in force at once. A sign-in moves it with its verdict, a later trigger before it writes. An older record is left with
//! the key of the one that has taken its place, by which an outcome that names the older key still finds the person.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::{Dossier, Ledger, SLACK};
use crate::evidence::{
    Cause,
    history::{
        blocks::{Entry, Subject},
        pseudonym::PersonKeys,
        store::{Change, Changed, Keep, List, Record},
        unread::Part,
    },
};

/// The field of a record that was moved: the key under which it is now.
pub(super) const MOVED: &str = "m";

/// That field is kept as long as an assessment may wait for its outcome, and a day.
const MOVED_TTL: Duration = Duration::from_secs(8 * 86_400);

/// The field that says which version of an older key's record was added to the profile: a record that was not emptied is not added again.
pub(super) fn merged_field(key: &str) -> SmolStr {
    ["k", key.get(..8).unwrap_or(key)].concat().into()
}

/// An event's marks under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyMarks {
    pub(super) client: u32,
    pub(super) nonce: Option<u32>,
    pub(super) event: Option<u32>,
}

/// The marks under every configured key, newest first.
pub(super) type Marks = SmallVec<[KeyMarks; 1]>;

/// What was found under older keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Moving {
    /// The fields that the newest record gets.
    pub(super) set: Vec<(SmolStr, Vec<u8>)>,
    /// Whether there is more than attempts.
    pub(super) has_history: bool,
    /// The block that is in force, for as long as which the record is kept.
    pub(super) block: Option<Entry>,
    /// Whether it was under an older key.
    pub(super) moves_block: bool,
    /// The records that lose these fields.
    pub(super) from: Vec<MovedRecord>,
}

/// A record under an older key, as it was read.
#[derive(Debug, Clone)]
pub(super) struct MovedRecord {
    pub(super) key: SmolStr,
    pub(super) version: u64,
    pub(super) fields: Vec<SmolStr>,
    /// Whether it holds a block, which the list of persons names too.
    pub(super) is_listed: bool,
}

/// A block of a device or a tenant that was found under an older key.
#[derive(Debug, Clone)]
pub(super) struct MovedBlock {
    pub(super) from: Subject,
    pub(super) to: Subject,
}

impl Ledger {
    /// An event's marks under every key.
    pub(super) fn marks_of(&self, pool: &str, client: &str, nonce: Option<&str>, event: Option<&[u8]>) -> Marks {
        let clients = self.pseudonyms.marks("client", &[pool.as_bytes(), client.as_bytes()]);
        let nonces = nonce.map(|nonce| self.pseudonyms.marks("nonce", &[nonce.as_bytes()]));
        let events = event.map(|event| self.pseudonyms.marks("event", &[event]));
        let of = |marks: &Option<SmallVec<[u32; 1]>>, at: usize| marks.as_ref().and_then(|marks| marks.get(at)).copied();
        clients.iter().enumerate().map(|(at, client)| KeyMarks { client: *client, nonce: of(&nonces, at), event: of(&events, at) }).collect()
    }

    /// A person's records under the older keys, all at once.
    pub(super) async fn read_older(&self, keys: &PersonKeys, now: Timestamp) -> Result<Vec<Arc<Record>>, Cause> {
        if keys.len() < 2 {
            return Ok(Vec::new());
        }
        futures_util::future::try_join_all(keys.iter().skip(1).map(|key| self.store.read(key, now))).await
    }

    /// Reads a person's records as one; marks of older keys are read as those of the newest where the event tells them.
    pub(super) fn dossier(keys: &PersonKeys, marks: &[KeyMarks], record: Arc<Record>, older: &[Arc<Record>]) -> Dossier {
        let mut dossier = Dossier::read(&record);
        // Let go at once: a store in memory changes a record in place while nobody else holds it.
        drop(record);
        for (at, record) in older.iter().enumerate() {
            dossier.adopt(&keys[at + 1], record, marks.get(at + 1).zip(marks.first()));
        }
        dossier
    }

    /// Reads a person's records as one, and moves at once what is under an older key.
    pub(super) async fn moved_dossier(&self, keys: &PersonKeys, marks: &[KeyMarks], now: Timestamp) -> Result<Dossier, Cause> {
        let (record, older) = tokio::try_join!(self.store.read(&keys[0], now), self.read_older(keys, now))?;
        let mut dossier = Self::dossier(keys, marks, record, &older);
        if let Some(moving) = dossier.moving.take()
            && self.carry_over(keys, dossier.version, &moving, now).await
        {
            dossier.version += 1;
        }
        Ok(dossier)
    }

    /// Moves what was found under older keys to the newest; tells whether it did. Best effort: what could not be moved is found again.
    pub(super) async fn carry_over(&self, keys: &PersonKeys, version: u64, moving: &Moving, now: Timestamp) -> bool {
        let least = if moving.has_history { self.terms.history.max(self.terms.hold) } else { self.terms.pending };
        let lasts = moving.block.as_ref().map_or(least, |entry| entry.lasts(now).max(least)) + SLACK;
        let keep = if moving.has_history || moving.block.is_some() { Keep::Renew(lasts) } else { Keep::Least(lasts) };
        if let Some(entry) = moving.block.as_ref().filter(|_| moving.moves_block)
            && self.reported(Part::KeyRotation, self.store.enlist(List::Persons, &keys[0], &self.listed(entry, 0), entry.until)).await.is_err()
        {
            return false;
        }
        let change = Change { set: moving.set.clone(), remove: Vec::new(), keep };
        if !matches!(self.reported(Part::KeyRotation, self.store.change_if(&keys[0], version, change, now)).await, Ok(Changed::Done)) {
            return false;
        }
        for MovedRecord { key, version, fields, is_listed } in &moving.from {
            let change = Change { set: vec![(MOVED.into(), keys[0].as_bytes().to_vec())], remove: fields.clone(), keep: Keep::Renew(MOVED_TTL) };
            // Where it was written to since it was read, what is there is moved the next time.
            if matches!(self.reported(Part::KeyRotation, self.store.change_if(key, *version, change, now)).await, Ok(Changed::Done)) && *is_listed {
                self.end_listed(List::Persons, key).await;
            }
        }
        true
    }

    /// Ends an entry of a list. A function's role may not delete: then the entry is left, expired.
    pub(super) async fn end_listed(&self, list: List, name: &str) {
        if self.store.delist(list, name).await.is_err() {
            self.report_write(Part::KeyRotation, self.store.enlist(list, name, &[], Some(Timestamp::UNIX_EPOCH))).await;
        }
    }

    /// The keys of a person whose assessment was recorded under some keys, with the one to which the record has been moved since.
    pub(super) async fn moved_keys(&self, mut keys: PersonKeys, now: Timestamp) -> Result<PersonKeys, Cause> {
        for key in keys.clone() {
            let record = self.store.read(&key, now).await?;
            let moved = record.fields.get(MOVED).and_then(|bytes| std::str::from_utf8(bytes).ok());
            if let Some(moved) = moved.filter(|moved| keys.iter().all(|key| key != moved)) {
                keys.insert(0, moved.into());
            }
        }
        Ok(keys)
    }

    /// Moves blocks of devices and tenants to the newest key. The list is read again first: an operator may have ended them since.
    pub(super) async fn carry_over_blocks(&self, blocks: &[MovedBlock], now: Timestamp) {
        if blocks.is_empty() {
            return;
        }
        let Ok(list) = self.reported(Part::KeyRotation, self.store.list(List::Shared, now)).await else { return };
        for MovedBlock { from, to } in blocks {
            let (from, to) = (from.entry_name(), to.entry_name());
            let Some(entry) = list.get(&from).and_then(|bytes| Entry::from_bytes(bytes)) else { continue };
            let listed = self.listed(&entry, 0);
            if list.contains_key(&to) || self.reported(Part::KeyRotation, self.store.enlist(List::Shared, &to, &listed, entry.until)).await.is_ok() {
                self.end_listed(List::Shared, &from).await;
            }
        }
    }
}
