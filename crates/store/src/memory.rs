//! A store in the memory of this process: bounded, and lost when the process ends.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{Change, Changed, CounterBucket, Counters, EntriesByWindow, EntryTime, List, MAX_BUCKETS, MissingWindow, Record, Reply, Store, WindowEntry};
use riskgate_engine::evidence::FailureReason;
use riskgate_engine::velocity::{ACCOUNT_WINDOW_SECONDS, AccountWindow};

/// Number of shards. Sign-ins of different users rarely wait for the same lock.
const SHARDS: usize = 16;

/// Maximum number of entries of each kind: about 100,000 users, less than 200 MB.
const MAX_ENTRIES: usize = SHARDS * if cfg!(test) { 320 } else { 6_400 };

/// A bounded store in memory.
#[derive(Debug)]
pub struct Memory {
    records: Sharded<Arc<Record>>,
    windows: Sharded<AccountWindow>,
    values: Sharded<Vec<u8>>,
    counters: Sharded<BTreeMap<SmolStr, u64>>,
    /// The values of `put_if_absent`. They are separate because anyone can cause other values, which must not evict a valid nonce.
    write_once: Sharded<Vec<u8>>,
    lists: Mutex<HashMap<List, Entries>>,
}

type Entries = BTreeMap<String, (Vec<u8>, Option<Timestamp>)>;

#[derive(Debug)]
struct Sharded<T> {
    shards: [Mutex<HashMap<SmolStr, Expiring<T>>>; SHARDS],
    max_per_shard: usize,
}

#[derive(Debug, Default)]
struct Expiring<T> {
    value: T,
    expires_at: Timestamp,
}

impl Memory {
    /// A store of at most `max_entries` entries of each kind.
    pub fn with_max_entries(max_entries: usize) -> Self {
        let per_shard = max_entries.div_ceil(SHARDS);
        Memory {
            records: Sharded::new(per_shard),
            windows: Sharded::new(per_shard),
            values: Sharded::new(per_shard),
            counters: Sharded::new(per_shard),
            write_once: Sharded::new(per_shard),
            lists: Mutex::default(),
        }
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<List, Entries>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Memory::with_max_entries(MAX_ENTRIES)
    }
}

impl Store for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn update<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        ready(self.records.update(key, change.ttl.duration(), now, |record| {
            apply(Arc::make_mut(record), change);
            Arc::clone(record)
        }))
    }

    fn update_if_field<'a>(&'a self, key: &'a str, field: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        let ttl = change.ttl.duration();
        let updated = self.records.update_if(
            key,
            ttl,
            now,
            |record| record.fields.contains_key(field),
            |record| {
                apply(Arc::make_mut(record), change);
                Arc::clone(record)
            },
        );
        ready(updated.or_else(|| self.records.get(key, now)).unwrap_or_default())
    }

    fn update_if_version<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed> {
        ready(self.records.update(key, change.ttl.duration(), now, |record| {
            if record.version != version {
                return Changed::Conflict(change);
            }
            let record = Arc::make_mut(record);
            apply(record, change);
            record.version += 1;
            Changed::Done
        }))
    }

    fn get_record<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>> {
        ready(self.records.get(key, now).unwrap_or_default())
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.records.shard(key).remove(key);
        self.records.update(key, ttl, now, |stored| *stored = Arc::new(record));
        ready(())
    }

    fn add_to_window<'a>(
        &'a self,
        windows: &'a [SmolStr],
        entry: WindowEntry,
        missing: MissingWindow,
        EntryTime { at, now }: EntryTime,
    ) -> Reply<'a, EntriesByWindow> {
        let ttl = Duration::from_secs(ACCOUNT_WINDOW_SECONDS.unsigned_abs());
        let add = |window: &mut AccountWindow| {
            window.add(entry, at);
            window.entries(at)
        };
        let entries = windows.iter().map(|window| match missing {
            MissingWindow::Create => self.windows.update(window, ttl, now, add),
            MissingWindow::Skip => self.windows.update_if(window, ttl, now, |_| true, add).unwrap_or_default(),
        });
        ready(EntriesByWindow { windows: entries.collect(), unreadable: 0 })
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, Vec<u8>> {
        if !self.write_once.has_room(key, now) {
            return Box::pin(std::future::ready(Err(FailureReason::Shed)));
        }
        ready(self.write_once.update(key, ttl, now, |stored| {
            if stored.is_empty() {
                *stored = value.to_vec();
            }
            stored.clone()
        }))
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.values.update(key, ttl, now, |stored| *stored = value.to_vec());
        ready(())
    }

    fn increment_up_to<'a>(&'a self, key: &'a str, limit: u64, ttl: Duration, now: Timestamp) -> Reply<'a, bool> {
        ready(self.values.update(key, ttl, now, |stored| {
            let count = stored.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            let has_room = count < limit;
            if has_room {
                *stored = (count + 1).to_be_bytes().to_vec();
            }
            has_room
        }))
    }

    fn add_to_counters<'a>(&'a self, bucket: CounterBucket<'a>, increments: &'a [(SmolStr, u32)], ttl: Duration, now: Timestamp) -> Reply<'a, u64> {
        ready(self.counters.update(&counters_key(bucket.key, bucket.number), ttl, now, |counters| {
            for (name, value) in increments {
                let counter = counters.entry(name.clone()).or_default();
                *counter = counter.saturating_add(u64::from(*value));
            }
            increments.first().and_then(|(name, _)| counters.get(name).copied()).unwrap_or_default()
        }))
    }

    fn read_counters<'a>(&'a self, key: &'a str, from: i64, to: i64, now: Timestamp) -> Reply<'a, BTreeMap<i64, Counters>> {
        let buckets = (from.max(to - MAX_BUCKETS + 1)..=to).filter_map(|number| {
            let counters = self.counters.get(&counters_key(key, number), now)?;
            Some((number, counters.into_iter().collect()))
        });
        ready(buckets.collect())
    }

    fn get<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        ready(self.values.get(key, now))
    }

    fn list_entries<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        let mut lists = self.lists();
        let entries = lists.entry(list).or_default();
        entries.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        ready(entries.iter().map(|(name, (value, _))| (name.clone(), value.clone())).collect())
    }

    fn put_list_entry<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        self.lists().entry(list).or_default().insert(name.to_owned(), (value.to_vec(), until));
        ready(())
    }

    fn delete_list_entry<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        self.lists().entry(list).or_default().remove(name);
        ready(())
    }
}

impl<T: Default + Clone> Sharded<T> {
    /// Runs `work` on a value, which is created if it is missing, and extends its TTL to at least `ttl`.
    fn update<R>(&self, key: &str, ttl: Duration, now: Timestamp, work: impl FnOnce(&mut T) -> R) -> R {
        let mut shard = self.shard(key);
        if shard.len() >= self.max_per_shard && !shard.contains_key(key) {
            evict(&mut shard, self.max_per_shard, now);
        }
        let entry = match shard.get_mut(key) {
            Some(entry) => entry,
            None => shard.entry(key.into()).or_default(),
        };
        if entry.expires_at <= now {
            entry.value = T::default();
        }
        entry.expires_at = entry.expires_at.max(now.saturating_add(ttl).unwrap_or(Timestamp::MAX));
        work(&mut entry.value)
    }

    /// Runs `work` on an unexpired value if `condition` is true of it, and extends its TTL to at least `ttl`.
    fn update_if<R>(&self, key: &str, ttl: Duration, now: Timestamp, condition: impl FnOnce(&T) -> bool, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut shard = self.shard(key);
        let entry = shard.get_mut(key).filter(|entry| entry.expires_at > now && condition(&entry.value))?;
        entry.expires_at = entry.expires_at.max(now.saturating_add(ttl).unwrap_or(Timestamp::MAX));
        Some(work(&mut entry.value))
    }

    /// Whether a value can be added without evicting an unexpired one.
    fn has_room(&self, key: &str, now: Timestamp) -> bool {
        let mut shard = self.shard(key);
        if shard.len() >= self.max_per_shard && !shard.contains_key(key) {
            shard.retain(|_, entry| entry.expires_at > now);
        }
        shard.len() < self.max_per_shard || shard.contains_key(key)
    }

    fn get(&self, key: &str, now: Timestamp) -> Option<T> {
        self.shard(key).get(key).filter(|entry| entry.expires_at > now).map(|entry| entry.value.clone())
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, HashMap<SmolStr, Expiring<T>>> {
        // Keys differ in their last letters, which are mostly letters of a hash.
        let index = key.bytes().rev().take(4).fold(0_usize, |sum, letter| sum * 31 + usize::from(letter)) % SHARDS;
        // A record is consistent even after a panic under the lock, because each change is one step.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sharded<T> {
    fn new(max_per_shard: usize) -> Self {
        Sharded { shards: std::array::from_fn(|_| Mutex::default()), max_per_shard }
    }
}

fn counters_key(key: &str, number: i64) -> String {
    format!("{key}#{number}")
}

/// Drops expired entries and, if that is not enough, the tenth that expires soonest: attempts before profiles.
fn evict<T>(shard: &mut HashMap<SmolStr, Expiring<T>>, max_entries: usize, now: Timestamp) {
    shard.retain(|_, entry| entry.expires_at > now);
    if shard.len() < max_entries {
        return;
    }
    let mut expiries: Vec<Timestamp> = shard.values().map(|entry| entry.expires_at).collect();
    let (_, expiry, _) = expiries.select_nth_unstable(max_entries / 10);
    let expiry = *expiry;
    shard.retain(|_, entry| entry.expires_at > expiry);
}

fn apply(record: &mut Record, change: Change) {
    for name in &change.remove {
        record.fields.remove(name);
    }
    record.fields.extend(change.set);
}

fn ready<'a, T: Send + 'a>(value: T) -> Reply<'a, T> {
    Box::pin(std::future::ready(Ok::<T, FailureReason>(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ttl;

    #[tokio::test]
    async fn an_unexpired_nonce_is_never_evicted() {
        let (store, now, ttl) = (Memory::default(), Timestamp::UNIX_EPOCH, Duration::from_secs(900));
        assert_eq!(store.put_if_absent("x#first", &[1], ttl, now).await, Ok(vec![1]));
        for number in 0..(MAX_ENTRIES * 2) {
            store.put(&format!("value{number}"), &[0], ttl * 100, now).await.unwrap();
            let _ = store.put_if_absent(&format!("x#{number}"), &[0], ttl * 2, now).await;
        }
        assert_eq!(store.put_if_absent("x#first", &[2], ttl, now).await, Ok(vec![1]));
        let later = now.checked_add(ttl * 3).unwrap();
        assert_eq!(store.put_if_absent("x#other", &[2], ttl, later).await, Ok(vec![2]), "expired values are evicted");
    }

    #[tokio::test]
    async fn the_store_is_bounded_and_evicts_attempts_before_profiles() {
        let (store, now) = (Memory::default(), Timestamp::UNIX_EPOCH);
        let change = |days: u64| Change { set: vec![("p".into(), vec![1])], ttl: Ttl::AtLeast(Duration::from_secs(days * 86_400)), ..Change::default() };
        for known in 0..100 {
            store.update(&format!("known{known}"), change(180), now).await.unwrap();
        }
        for name in 0..(MAX_ENTRIES * 2) {
            store.update(&format!("name{name}"), change(1), now).await.unwrap();
        }
        let count: usize = store.records.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(count <= MAX_ENTRIES, "{count}");
        for known in 0..100 {
            assert!(!store.get_record(&format!("known{known}"), now).await.unwrap().fields.is_empty(), "{known}");
        }
    }
}
