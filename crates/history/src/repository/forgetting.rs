//! Erasure of a user's data. The record is replaced by the time of erasure, which prevents operations in progress from restoring the data.
//!
//! A sign-in, a pending outcome and a success each know the time of erasure that they found. An operation that finds a later one when it
//! writes undoes its write. The time reveals nothing about the user, and expires when no earlier operation can still be in progress.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::decoy;
use crate::repository::{HistoryRepository, user_record::UserRecord};
use riskgate_engine::evidence::FailureReason;
use riskgate_store::{Change, List, Record, Ttl};

/// The record field with the time when the user was forgotten, in milliseconds.
pub(super) const FORGOTTEN: &str = "f";

/// The TTL of that field: the time for which an outcome may be pending, and a day.
pub(super) const FORGOTTEN_TTL: Duration = Duration::from_secs(8 * 86_400);

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// The data was written.
    Done,
    /// The user was forgotten in the meantime, and nothing was written.
    Forgotten,
}

/// When the user of a record was forgotten.
pub(super) fn forgotten_at(record: &Record) -> Option<Timestamp> {
    let bytes = record.fields.get(FORGOTTEN)?.first_chunk()?;
    Timestamp::from_millisecond(i64::from_be_bytes(*bytes)).ok()
}

impl HistoryRepository {
    /// Erases everything that is stored about a user, including blocks and decoy templates. Returns the number of erased activity rows.
    ///
    /// # Errors
    ///
    /// The store could not be reached. The operation may be incomplete and has to be repeated.
    pub async fn forget(&self, pool: &str, user: &str, now: Timestamp) -> Result<usize, FailureReason> {
        // A version that no operation in progress has read: each of them conflicts.
        let version = u64::try_from(now.as_second()).unwrap_or_default();
        let time = now.as_millisecond().to_be_bytes().to_vec();
        let forgotten = Record { version, fields: BTreeMap::from([(FORGOTTEN.into(), time)]), expires_at: None };
        // The oldest key first, because a record that is being migrated to a newer key is replaced there later.
        for key in self.record_keys(pool, user).iter().rev() {
            // A record that cannot be read is replaced anyway.
            let record = self.store.get_record(key, now).await.unwrap_or_default();
            let user_record = UserRecord::parse(&record);
            let challenged = user_record.challenges.values().filter_map(|challenge| challenge.id);
            for id in user_record.attempts.iter().filter_map(|(_, attempt)| attempt.id).chain(challenged) {
                self.consume_id(&*self.store, &id.to_string(), now).await?;
            }
            self.store.replace(key, forgotten.clone(), FORGOTTEN_TTL, now).await?;
            self.store.delete_list_entry(List::BlockedUsers, key).await?;
            for slot in self.template_slots(key) {
                self.store.delete_list_entry(List::DecoyTemplates, &slot).await?;
            }
        }
        let rows = self.read_activity(pool, user, now).await?;
        for row in &rows {
            self.store.delete_activity(row).await?;
        }
        Ok(rows.len())
    }

    /// Updates a user record, and undoes the update if the user was forgotten after the time that the caller knows.
    pub(super) async fn update_unless_forgotten(&self, key: &str, change: Change, known: Option<Timestamp>, now: Timestamp) -> Result<Recorded, FailureReason> {
        let fields: Vec<SmolStr> = change.set.iter().map(|(name, _)| name.clone()).collect();
        let is_forgotten = forgotten_at(&*self.store.update(key, change, now).await?) > known;
        if !is_forgotten {
            return Ok(Recorded::Done);
        }
        self.store.update(key, Change { set: Vec::new(), remove: fields, ttl: Ttl::AtLeast(FORGOTTEN_TTL) }, now).await?;
        Ok(Recorded::Forgotten)
    }

    /// Removes the templates of a user who was forgotten while one was written.
    pub(super) async fn remove_templates(&self, key: &str) {
        for slot in self.template_slots(key) {
            self.remove_list_entry(List::DecoyTemplates, &slot).await;
        }
    }

    /// The slots that may contain a template of a user. The key that determined the slot is unknown, because instances may have different keys.
    fn template_slots(&self, key: &str) -> Vec<String> {
        self.pseudonyms.short_hashes("shape", &[key.as_bytes()]).into_iter().flat_map(decoy::slots).map(|slot| slot.to_string()).collect()
    }
}
