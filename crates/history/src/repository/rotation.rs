//! Key rotation. Records under older pseudonym keys are read together with the newest, and migrated to it. No data is lost.
//!
//! Data under older keys takes effect at once. A sign-in migrates it when the decision is recorded, a later trigger before it writes. The older
//! record then contains the newer key. An outcome that names the older key still finds the user.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::block_list::{BlockEntry, BlockSubject};
use crate::repository::{HistoryRepository, retention::SLACK, user_record::UserRecord};
use riskgate_config::pseudonym::UserKeys;
use riskgate_engine::evidence::{FailureReason, store_parts::StorePart};
use riskgate_store::{Change, Changed, List, Record, Ttl};

/// The field of a migrated record: its new key.
pub(super) const MOVED: &str = "m";

/// The TTL of that field: the time for which an outcome may be pending, and a day.
const MOVED_TTL: Duration = Duration::from_secs(8 * 86_400);

/// The field with the version of an older record that was merged into the profile. It prevents merging the record again if emptying it failed.
pub(super) fn merged_field(key: &str) -> SmolStr {
    ["k", key.get(..8).unwrap_or(key)].concat().into()
}

/// The hashes of an event under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyHashes {
    pub(super) client: u32,
    pub(super) nonce: Option<u32>,
    pub(super) event: Option<u32>,
}

/// The hashes of an event under every configured key, newest first.
pub(super) type HashesByKey = SmallVec<[KeyHashes; 1]>;

/// The data found under older keys, which is migrated to the newest.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyMigration {
    /// The fields to set in the newest record.
    pub(super) set: Vec<(SmolStr, Vec<u8>)>,
    /// Whether there is more than attempts.
    pub(super) has_history: bool,
    /// The block that takes effect. The record is stored at least until it expires.
    pub(super) block: Option<BlockEntry>,
    /// Whether that block was under an older key.
    pub(super) has_moved_block: bool,
    /// The older records.
    pub(super) from: Vec<MigratedRecord>,
}

/// A record under an older key, as it was read.
#[derive(Debug, Clone)]
pub(super) struct MigratedRecord {
    pub(super) key: SmolStr,
    pub(super) version: u64,
    pub(super) fields: Vec<SmolStr>,
    /// Whether the record has a block, and so the list of blocked users has an entry.
    pub(super) is_listed: bool,
}

/// A block of a device or a tenant under an older key, to be migrated.
#[derive(Debug, Clone)]
pub(super) struct MigratedBlock {
    pub(super) from: BlockSubject,
    pub(super) to: BlockSubject,
}

impl HistoryRepository {
    /// The hashes of an event under every key.
    pub(super) fn hash_event(&self, pool: &str, client: &str, nonce: Option<&str>, event: Option<&[u8]>) -> HashesByKey {
        let clients = self.pseudonyms.short_hashes("client", &[pool.as_bytes(), client.as_bytes()]);
        let nonces = nonce.map(|nonce| self.pseudonyms.short_hashes("nonce", &[nonce.as_bytes()]));
        let events = event.map(|event| self.pseudonyms.event_hashes(event));
        let of = |hashes: &Option<SmallVec<[u32; 1]>>, at: usize| hashes.as_ref().and_then(|hashes| hashes.get(at)).copied();
        clients.iter().enumerate().map(|(at, client)| KeyHashes { client: *client, nonce: of(&nonces, at), event: of(&events, at) }).collect()
    }

    /// Reads a user's records under the older keys, in parallel.
    pub(super) async fn read_older_records(&self, keys: &UserKeys, now: Timestamp) -> Result<Vec<Arc<Record>>, FailureReason> {
        if keys.len() < 2 {
            return Ok(Vec::new());
        }
        futures_util::future::try_join_all(keys.iter().skip(1).map(|key| self.store.get_record(key, now))).await
    }

    /// Merges a user's records into one. Hashes of older keys become those of the newest key if the event provides both.
    pub(super) fn merge_records(keys: &UserKeys, hashes: &[KeyHashes], record: Arc<Record>, older: &[Arc<Record>]) -> UserRecord {
        let mut user_record = UserRecord::parse(&record);
        // Dropped at once, because a store in memory updates a record in place only if there is no other reference.
        drop(record);
        for (at, record) in older.iter().enumerate() {
            user_record.merge_older(&keys[at + 1], record, hashes.get(at + 1).zip(hashes.first()));
        }
        user_record
    }

    /// Reads a user's records as one, and migrates those under older keys at once.
    pub(super) async fn read_and_migrate(&self, keys: &UserKeys, hashes: &[KeyHashes], now: Timestamp) -> Result<UserRecord, FailureReason> {
        let (record, older) = tokio::try_join!(self.store.get_record(&keys[0], now), self.read_older_records(keys, now))?;
        let record = self.with_in_process(&keys[0], record, now).await?;
        let mut user_record = Self::merge_records(keys, hashes, record, &older);
        if let Some(migration) = user_record.migration.take()
            && self.migrate_record(keys, user_record.version, &migration, now).await
        {
            user_record.version += 1;
        }
        Ok(user_record)
    }

    /// Migrates the data under older keys to the newest. Returns whether it did. Best effort: data that was not migrated is found again.
    pub(super) async fn migrate_record(&self, keys: &UserKeys, version: u64, migration: &KeyMigration, now: Timestamp) -> bool {
        let min_ttl = if migration.has_history { self.retention.record() } else { self.retention.attempt() };
        let duration = migration.block.as_ref().map_or(min_ttl, |entry| entry.remaining(now).max(min_ttl)) + SLACK;
        let ttl = if migration.has_history || migration.block.is_some() { Ttl::Set(duration) } else { Ttl::AtLeast(min_ttl) };
        if let Some(entry) = migration.block.as_ref().filter(|_| migration.has_moved_block)
            && self
                .run_reported(StorePart::KeyRotation, self.store.put_list_entry(List::BlockedUsers, &keys[0], &self.list_entry_bytes(entry, 0), entry.until))
                .await
                .is_err()
        {
            return false;
        }
        let change = Change { set: migration.set.clone(), remove: Vec::new(), ttl };
        if !matches!(self.run_reported(StorePart::KeyRotation, self.store.update_if_version(&keys[0], version, change, now)).await, Ok(Changed::Done)) {
            return false;
        }
        for MigratedRecord { key, version, fields, is_listed } in &migration.from {
            let change = Change { set: vec![(MOVED.into(), keys[0].as_bytes().to_vec())], remove: fields.clone(), ttl: Ttl::Set(MOVED_TTL) };
            // If the record was updated since it was read, the next read migrates it.
            if matches!(self.run_reported(StorePart::KeyRotation, self.store.update_if_version(key, *version, change, now)).await, Ok(Changed::Done))
                && *is_listed
            {
                self.remove_list_entry(List::BlockedUsers, key).await;
            }
        }
        true
    }

    /// Removes an entry of a list. If the role of a Lambda function may not delete, the entry is replaced by an expired one.
    pub(super) async fn remove_list_entry(&self, list: List, name: &str) {
        if self.store.delete_list_entry(list, name).await.is_err() {
            self.report_write(StorePart::KeyRotation, self.store.put_list_entry(list, name, &[], Some(Timestamp::UNIX_EPOCH))).await;
        }
    }

    /// Adds to the keys of an assessment the key to which the user's record was migrated in the meantime.
    pub(super) async fn add_migrated_keys(&self, mut keys: UserKeys, now: Timestamp) -> Result<UserKeys, FailureReason> {
        for key in keys.clone() {
            let record = self.store.get_record(&key, now).await?;
            let moved = record.fields.get(MOVED).and_then(|bytes| std::str::from_utf8(bytes).ok());
            if let Some(moved) = moved.filter(|moved| keys.iter().all(|key| key != moved)) {
                keys.insert(0, moved.into());
            }
        }
        Ok(keys)
    }

    /// Migrates blocks of devices and tenants to the newest key. Reads the list again first, because an operator may have removed them.
    pub(super) async fn migrate_blocks(&self, blocks: &[MigratedBlock], now: Timestamp) {
        if blocks.is_empty() {
            return;
        }
        let Ok(list) = self.run_reported(StorePart::KeyRotation, self.store.list_entries(List::BlockList, now)).await else { return };
        for MigratedBlock { from, to } in blocks {
            let (from, to) = (from.entry_name(), to.entry_name());
            let Some(entry) = list.get(&from).and_then(|bytes| BlockEntry::from_bytes(bytes)) else { continue };
            let listed = self.list_entry_bytes(&entry, 0);
            if list.contains_key(&to)
                || self.run_reported(StorePart::KeyRotation, self.store.put_list_entry(List::BlockList, &to, &listed, entry.until)).await.is_ok()
            {
                self.remove_list_entry(List::BlockList, &from).await;
            }
        }
    }
}
