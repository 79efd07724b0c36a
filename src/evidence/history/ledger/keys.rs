//! Which pseudonym keys a deployment writes under, as its processes record it, and what still rests on an older one.
//!
//! A command with another key than the deployment's would change what no sign-in reads; here it can tell.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use jiff::Timestamp;
use smol_str::SmolStr;

use super::Ledger;
use crate::evidence::{
    Cause,
    history::{
        blocks::{Entry, KEY_USE, KeyUse, Shared},
        store::List,
        unread::Part,
    },
};

/// A key is recorded again after so many seconds.
const RECORD_AFTER: u64 = 3600;

/// A key that was recorded within so many seconds of the one recorded last is in use.
const IN_USE: i64 = 7200;

/// What the store says of the keys that a deployment writes under.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deployment {
    /// Which of the configured keys serving processes write under, newest first; empty if none was recorded.
    pub in_use: Vec<usize>,
    /// The key that the deployment writes under, if it is not configured here.
    pub missing: Option<KeyUse>,
    /// Whether sign-ins name a pool; none if no key was recorded.
    pub names_pool: Option<bool>,
}

/// What rests on one key, for `riskgate config`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRest {
    /// The key's id; empty for blocks that an earlier version wrote, which say nothing of their key.
    pub kid: SmolStr,
    /// When serving processes wrote under it.
    pub used: Option<KeyUse>,
    /// Blocks of persons.
    pub persons: usize,
    /// Blocks of devices and tenants.
    pub named: usize,
}

impl Ledger {
    /// Records once an hour that this process writes under its newest key. Best effort: without it, a command with another key is not refused.
    pub(super) async fn record_key_use(&self, has_pool: bool, now: Timestamp) {
        let Some((kid, id)) = self.pseudonyms.key_names().next().filter(|(kid, _)| !kid.is_empty()) else { return };
        let known = self.shared.load(now).keys.get(id).cloned();
        let is_current = |known: &KeyUse| known.seen.as_second().abs_diff(now.as_second()) < RECORD_AFTER && (has_pool || known.without_pool);
        if known.as_ref().is_some_and(is_current) {
            return;
        }
        // Until the list is read again, once is enough.
        let own = now.as_second() / super::LIST_AGE * 2 + i64::from(has_pool);
        if self.key_recorded.swap(own, Ordering::Relaxed) == own {
            return;
        }
        let without_pool = !has_pool || known.as_ref().is_some_and(|known| known.without_pool);
        let since = known.map_or(now, |known| known.since);
        let key = KeyUse { kid: kid.clone(), since, seen: now, without_pool };
        if let Ok(bytes) = serde_json::to_vec(&key) {
            self.report_write(Part::KeyUse, self.store.enlist(List::Shared, &format!("{KEY_USE}{id}"), &bytes, None)).await;
        }
    }

    /// What the store says of the keys that serving processes write under.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn deployment(&self, now: Timestamp) -> Result<Deployment, Cause> {
        let used = Shared::read(self.store.list(List::Shared, now).await?).keys;
        let Some(latest) = used.values().map(|key| key.seen.as_second()).max() else { return Ok(Deployment::default()) };
        let in_use: BTreeMap<&SmolStr, &KeyUse> = used.iter().filter(|(_, key)| latest - key.seen.as_second() < IN_USE).collect();
        let own: Vec<&SmolStr> = self.pseudonyms.key_names().map(|(_, id)| id).collect();
        let newest = in_use.iter().max_by_key(|(_, key)| key.since);
        Ok(Deployment {
            missing: newest.filter(|(id, _)| !own.contains(*id)).map(|(_, key)| KeyUse::clone(key)),
            names_pool: Some(!used.values().any(|key| key.without_pool)),
            in_use: (0..own.len()).filter(|at| in_use.contains_key(own[*at])).collect(),
        })
    }

    /// What rests on each configured key, newest first, then on others.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn key_rests(&self, now: Timestamp) -> Result<Vec<KeyRest>, Cause> {
        let (shared, persons) = tokio::try_join!(self.store.list(List::Shared, now), self.store.list(List::Persons, now))?;
        let mut rests: Vec<KeyRest> = self.pseudonyms.key_names().map(|(kid, _)| KeyRest { kid: kid.clone(), ..KeyRest::default() }).collect();
        let mut count = |bytes: &[u8], of: fn(&mut KeyRest) -> &mut usize| {
            if Entry::from_bytes(bytes).is_none_or(|entry| entry.at(now).is_none()) {
                return;
            }
            let kid = Entry::key_of(bytes).unwrap_or_default();
            let at = rests.iter().position(|rest| rest.kid == kid).unwrap_or_else(|| {
                rests.push(KeyRest { kid, ..KeyRest::default() });
                rests.len() - 1
            });
            *of(&mut rests[at]) += 1;
        };
        persons.values().for_each(|bytes| count(bytes, |rest| &mut rest.persons));
        let is_keyed = |name: &str| name.starts_with("block#device#") || name.starts_with("block#tenant#");
        shared.iter().filter(|(name, _)| is_keyed(name)).for_each(|(_, bytes)| count(bytes, |rest| &mut rest.named));
        let used = Shared::read(shared).keys;
        for rest in &mut rests {
            rest.used = used.values().filter(|key| key.kid == rest.kid).max_by_key(|key| key.seen).cloned();
        }
        Ok(rests)
    }

    /// How long a history lasts: as long as a person may rest on an older key unseen.
    pub fn history_ttl(&self) -> Duration {
        self.terms.history
    }

    /// A block as a list holds it, with the id of the configured key of this number.
    pub(super) fn listed(&self, entry: &Entry, number: usize) -> Vec<u8> {
        entry.to_bytes_under(self.pseudonyms.key_names().nth(number).map(|(kid, _)| kid.as_str()).unwrap_or_default())
    }
}
