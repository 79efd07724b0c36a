//! The pseudonym keys that a deployment uses, as its processes record them, and the data that still depends on older keys.
//!
//! A command with a different key than the deployment's would change records that no sign-in reads. This module detects that.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::block_list::{BlockEntry, BlockList, KEY_USE, KeyUse};
use crate::repository::HistoryRepository;
use riskgate_engine::evidence::{FailureReason, store_parts::StorePart};
use riskgate_store::List;

/// Seconds after which a process records its key again.
const RECORD_AFTER: u64 = 3600;

/// A key is in use if it was recorded within this many seconds before the latest record of any key.
const IN_USE: i64 = 7200;

/// The pseudonym keys of a deployment, by the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeploymentKeys {
    /// Indexes of the configured keys that serving processes write under, newest first. Empty if no key was recorded.
    pub in_use: Vec<usize>,
    /// The key that the deployment writes under, if it is not configured here.
    pub missing: Option<KeyUse>,
    /// Whether sign-ins name a pool; `None` if no key was recorded.
    pub names_pool: Option<bool>,
}

/// The data that depends on one key, for `riskgate config`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyDependents {
    /// The key's id; empty for blocks of earlier versions, which do not name their key.
    pub kid: SmolStr,
    /// When serving processes wrote under it.
    pub used: Option<KeyUse>,
    /// Number of blocks of users.
    pub users: usize,
    /// Number of blocks of devices and tenants.
    pub named: usize,
}

impl HistoryRepository {
    /// Records once an hour that this process writes under its newest key. Best effort: without the record, a command with a different key is not
    /// refused.
    pub(super) async fn record_key_use(&self, has_pool: bool, now: Timestamp) {
        let Some((kid, id)) = self.pseudonyms.key_names().next().filter(|(kid, _)| !kid.is_empty()) else { return };
        let known = self.block_list.load(now).keys.get(id).cloned();
        let is_current = |known: &KeyUse| known.seen.as_second().abs_diff(now.as_second()) < RECORD_AFTER && (has_pool || known.without_pool);
        if known.as_ref().is_some_and(is_current) {
            return;
        }
        // Each process records its key once per read of the list.
        let record = now.as_second() / crate::repository::BLOCK_LIST_MAX_AGE * 2 + i64::from(has_pool);
        if self.key_recorded.swap(record, Ordering::Relaxed) == record {
            return;
        }
        let without_pool = !has_pool || known.as_ref().is_some_and(|known| known.without_pool);
        let since = known.map_or(now, |known| known.since);
        let key = KeyUse { kid: kid.clone(), since, seen: now, without_pool };
        if let Ok(bytes) = serde_json::to_vec(&key) {
            self.report_write(StorePart::KeyUse, self.store.put_list_entry(List::BlockList, &format!("{KEY_USE}{id}"), &bytes, None)).await;
        }
    }

    /// Reads the pseudonym keys that serving processes write under.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn read_deployment_keys(&self, now: Timestamp) -> Result<DeploymentKeys, FailureReason> {
        let used = BlockList::parse(self.store.list_entries(List::BlockList, now).await?).keys;
        let Some(latest) = used.values().map(|key| key.seen.as_second()).max() else { return Ok(DeploymentKeys::default()) };
        let in_use: BTreeMap<&SmolStr, &KeyUse> = used.iter().filter(|(_, key)| latest - key.seen.as_second() < IN_USE).collect();
        let configured: Vec<&SmolStr> = self.pseudonyms.key_names().map(|(_, id)| id).collect();
        let newest = in_use.iter().max_by_key(|(_, key)| key.since);
        Ok(DeploymentKeys {
            missing: newest.filter(|(id, _)| !configured.contains(*id)).map(|(_, key)| KeyUse::clone(key)),
            names_pool: Some(!used.values().any(|key| key.without_pool)),
            in_use: (0..configured.len()).filter(|index| in_use.contains_key(configured[*index])).collect(),
        })
    }

    /// Counts the data that depends on each configured key, newest first, and then on other keys.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn count_key_dependents(&self, now: Timestamp) -> Result<Vec<KeyDependents>, FailureReason> {
        let (block_list, users) = tokio::try_join!(self.store.list_entries(List::BlockList, now), self.store.list_entries(List::BlockedUsers, now))?;
        let mut dependents: Vec<KeyDependents> =
            self.pseudonyms.key_names().map(|(kid, _)| KeyDependents { kid: kid.clone(), ..KeyDependents::default() }).collect();
        let mut count = |bytes: &[u8], of: fn(&mut KeyDependents) -> &mut usize| {
            if BlockEntry::from_bytes(bytes).is_none_or(|entry| entry.at(now).is_none()) {
                return;
            }
            let kid = BlockEntry::key_of(bytes).unwrap_or_default();
            let index = dependents.iter().position(|dependent| dependent.kid == kid).unwrap_or_else(|| {
                dependents.push(KeyDependents { kid, ..KeyDependents::default() });
                dependents.len() - 1
            });
            *of(&mut dependents[index]) += 1;
        };
        users.values().for_each(|bytes| count(bytes, |dependent| &mut dependent.users));
        let is_keyed = |name: &str| ["block#network#", "block#device#", "block#tenant#"].iter().any(|prefix| name.starts_with(prefix));
        block_list.iter().filter(|(name, _)| is_keyed(name)).for_each(|(_, bytes)| count(bytes, |dependent| &mut dependent.named));
        let used = BlockList::parse(block_list).keys;
        for dependent in &mut dependents {
            dependent.used = used.values().filter(|key| key.kid == dependent.kid).max_by_key(|key| key.seen).cloned();
        }
        Ok(dependents)
    }

    /// The TTL of profiles. A user without sign-ins may depend on an older key for this long.
    pub fn history_ttl(&self) -> Duration {
        self.retention.history
    }

    /// The value of a block's list entry, with the id of the configured key of this index.
    pub(super) fn list_entry_bytes(&self, entry: &BlockEntry, key_index: usize) -> Vec<u8> {
        entry.to_bytes_under(self.pseudonyms.key_names().nth(key_index).map(|(kid, _)| kid.as_str()).unwrap_or_default())
    }
}
