//! The store in this process: bounded, and gone when it ends.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use smol_str::SmolStr;

use super::{
    store::{Change, Changed, List, Mark, MarkTime, Marked, Record, Reply, Store},
    velocity::{MARK_WINDOW, MarkWindow},
};
use crate::evidence::Cause;

/// Shards, so that sign-ins of different people rarely wait for each other.
const SHARDS: usize = 16;

/// Records, windows of marks and values kept in each shard, of each kind: about 100,000 people in all, under 200 MB at the very worst.
const PER_SHARD: usize = 6_400;

/// A bounded store in memory.
#[derive(Debug, Default)]
pub struct Memory {
    records: Sharded<Arc<Record>>,
    windows: Sharded<MarkWindow>,
    values: Sharded<Vec<u8>>,
    /// Apart from other values, which strangers can cause: those must not evict a nonce that is still valid.
    claims: Sharded<Vec<u8>>,
    lists: Mutex<HashMap<List, Entries>>,
}

type Entries = BTreeMap<String, (Vec<u8>, Option<Timestamp>)>;

#[derive(Debug)]
struct Sharded<T> {
    shards: [Mutex<HashMap<SmolStr, Kept<T>>>; SHARDS],
}

#[derive(Debug, Default)]
struct Kept<T> {
    value: T,
    until: Timestamp,
}

// === impl Memory ===

impl Memory {
    fn lists(&self) -> MutexGuard<'_, HashMap<List, Entries>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn change<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        ready(self.records.with(key, change.keep.duration(), now, |record| {
            apply(Arc::make_mut(record), change);
            Arc::clone(record)
        }))
    }

    fn change_if<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed> {
        ready(self.records.with(key, change.keep.duration(), now, |record| {
            if record.version != version {
                return Changed::Conflict(change);
            }
            let record = Arc::make_mut(record);
            apply(record, change);
            record.version += 1;
            Changed::Done
        }))
    }

    fn read<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>> {
        ready(self.records.fetch(key, now).unwrap_or_default())
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, keep: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.records.shard(key).remove(key);
        self.records.with(key, keep, now, |kept| *kept = Arc::new(record));
        ready(())
    }

    fn mark<'a>(&'a self, windows: &'a [SmolStr], mark: Mark, MarkTime { at, now }: MarkTime) -> Reply<'a, Marked> {
        let marked = windows.iter().map(|window| {
            self.windows.with(window, Duration::from_secs(MARK_WINDOW.unsigned_abs()), now, |window| {
                window.add(mark, at);
                window.marks(at)
            })
        });
        ready(marked.collect())
    }

    fn claim<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, Vec<u8>> {
        if !self.claims.has_room(key, now) {
            return Box::pin(std::future::ready(Err(Cause::Shed)));
        }
        ready(self.claims.with(key, keep, now, |kept| {
            if kept.is_empty() {
                *kept = value.to_vec();
            }
            kept.clone()
        }))
    }

    fn keep<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.values.with(key, keep, now, |kept| *kept = value.to_vec());
        ready(())
    }

    fn count<'a>(&'a self, key: &'a str, limit: u64, keep: Duration, now: Timestamp) -> Reply<'a, bool> {
        ready(self.values.with(key, keep, now, |kept| {
            let counted = kept.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            let counts = counted < limit;
            if counts {
                *kept = (counted + 1).to_be_bytes().to_vec();
            }
            counts
        }))
    }

    fn fetch<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        ready(self.values.fetch(key, now))
    }

    fn list<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        let mut lists = self.lists();
        let entries = lists.entry(list).or_default();
        entries.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        ready(entries.iter().map(|(name, (value, _))| (name.clone(), value.clone())).collect())
    }

    fn enlist<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        self.lists().entry(list).or_default().insert(name.to_owned(), (value.to_vec(), until));
        ready(())
    }

    fn delist<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        self.lists().entry(list).or_default().remove(name);
        ready(())
    }
}

// === impl Sharded ===

impl<T: Default + Clone> Sharded<T> {
    /// Works on a value, which is made when there is none; then it is kept for at least `keep`.
    fn with<R>(&self, key: &str, keep: Duration, now: Timestamp, work: impl FnOnce(&mut T) -> R) -> R {
        let mut shard = self.shard(key);
        if shard.len() >= PER_SHARD && !shard.contains_key(key) {
            make_room(&mut shard, now);
        }
        let kept = match shard.get_mut(key) {
            Some(kept) => kept,
            None => shard.entry(key.into()).or_default(),
        };
        if kept.until <= now {
            kept.value = T::default();
        }
        kept.until = kept.until.max(now.saturating_add(keep).unwrap_or(Timestamp::MAX));
        work(&mut kept.value)
    }

    /// Whether a value can be added without evicting one that is in force.
    fn has_room(&self, key: &str, now: Timestamp) -> bool {
        let mut shard = self.shard(key);
        if shard.len() >= PER_SHARD && !shard.contains_key(key) {
            shard.retain(|_, kept| kept.until > now);
        }
        shard.len() < PER_SHARD || shard.contains_key(key)
    }

    fn fetch(&self, key: &str, now: Timestamp) -> Option<T> {
        self.shard(key).get(key).filter(|kept| kept.until > now).map(|kept| kept.value.clone())
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, HashMap<SmolStr, Kept<T>>> {
        // Keys end in what tells them apart, mostly letters of a hash.
        let at = key.bytes().rev().take(4).fold(0_usize, |sum, letter| sum * 31 + usize::from(letter)) % SHARDS;
        // A panic while a shard was held leaves a whole record: each change is one step.
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        Sharded { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

/// Drops what has expired and, when that is not enough, the tenth that expires soonest: attempts before histories.
fn make_room<T>(shard: &mut HashMap<SmolStr, Kept<T>>, now: Timestamp) {
    shard.retain(|_, kept| kept.until > now);
    if shard.len() < PER_SHARD {
        return;
    }
    let mut ends: Vec<Timestamp> = shard.values().map(|kept| kept.until).collect();
    let (_, end, _) = ends.select_nth_unstable(PER_SHARD / 10);
    let end = *end;
    shard.retain(|_, kept| kept.until > end);
}

fn apply(record: &mut Record, change: Change) {
    for name in &change.remove {
        record.fields.remove(name);
    }
    record.fields.extend(change.set);
}

fn ready<'a, T: Send + 'a>(value: T) -> Reply<'a, T> {
    Box::pin(std::future::ready(Ok::<T, Cause>(value)))
}

#[cfg(test)]
mod tests {
    use super::{super::store::Keep, *};

    #[tokio::test]
    async fn a_nonce_in_force_is_never_evicted() {
        let (store, now, keep) = (Memory::default(), Timestamp::UNIX_EPOCH, Duration::from_secs(900));
        assert_eq!(store.claim("x#first", &[1], keep, now).await, Ok(vec![1]));
        for number in 0..(SHARDS * PER_SHARD * 2) {
            store.keep(&format!("value{number}"), &[0], keep * 100, now).await.unwrap();
            let _ = store.claim(&format!("x#{number}"), &[0], keep * 2, now).await;
        }
        assert_eq!(store.claim("x#first", &[2], keep, now).await, Ok(vec![1]));
        let later = now.checked_add(keep * 3).unwrap();
        assert_eq!(store.claim("x#other", &[2], keep, later).await, Ok(vec![2]), "what has expired makes room");
    }

    #[tokio::test]
    async fn it_is_bounded_and_lets_attempts_go_before_histories() {
        let (store, now) = (Memory::default(), Timestamp::UNIX_EPOCH);
        let change = |days: u64| Change { set: vec![("p".into(), vec![1])], keep: Keep::Least(Duration::from_secs(days * 86_400)), ..Change::default() };
        for known in 0..100 {
            store.change(&format!("known{known}"), change(180), now).await.unwrap();
        }
        for name in 0..(SHARDS * PER_SHARD * 2) {
            store.change(&format!("name{name}"), change(1), now).await.unwrap();
        }
        let kept: usize = store.records.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= SHARDS * PER_SHARD, "{kept}");
        for known in 0..100 {
            assert!(!store.read(&format!("known{known}"), now).await.unwrap().fields.is_empty(), "{known}");
        }
    }
}
