//! The `Store` trait: atomic operations on small records under pseudonymous keys.
//!
//! The implementations are `Memory`, `Redis` and `DynamoDb`. A store handles bytes only; the crate `riskgate-history` defines what the
//! records mean. Each operation is one round trip.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use smallvec::SmallVec;
use smol_str::SmolStr;

use riskgate_engine::evidence::FailureReason;

use crate::activity::{ActivityBatch, ActivityCounts, ActivityPage, ActivityRange, ActivityRow};

pub use riskgate_engine::velocity::{WindowEntries, WindowEntry};

pub mod activity;

pub mod breaker;

#[cfg(feature = "dynamodb")]
pub mod dynamodb;

pub mod memory;

#[cfg(feature = "redis")]
pub mod redis;

/// The future of a store operation.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, FailureReason>> + Send + 'a>>;

/// Storage of user records, values, lists and the activity table.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The kind of store, for `riskgate config` and probes.
    fn name(&self) -> &'static str;

    /// What the operator has to correct at the store, derived from the last failed call. `None` if that is unknown.
    fn problem(&self) -> Option<String> {
        None
    }

    /// Checks at start that the store can serve. Reads and writes no user's data.
    fn probe(&self, now: Timestamp) -> Reply<'_, ()> {
        Box::pin(async move {
            self.get("probe", now).await?;
            self.list_entries(List::BlockList, now).await.map(|_| ())
        })
    }

    /// Whether an update never shortens a record's TTL, even with `Ttl::Set`. Only then may a caller write a record that it read a while ago.
    fn never_shortens_ttl(&self) -> bool {
        true
    }

    /// Updates a user record atomically and unconditionally. Returns the updated record.
    fn update<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>>;

    /// Updates a user record atomically if it has a field. Returns the record, updated or not; an empty one if it does not exist.
    fn update_if_field<'a>(&'a self, key: &'a str, field: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>>;

    /// Updates a user record if it still has the version that was read, and increments the version.
    fn update_if_version<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed>;

    /// Reads a user record; an empty one if it does not exist.
    fn get_record<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>>;

    /// Replaces a user record, including its version and its TTL.
    fn replace<'a>(&'a self, key: &'a str, record: Record, ttl: Duration, now: Timestamp) -> Reply<'a, ()>;

    /// Adds an entry to each of the given windows. Returns the entries of each window within the hour of the entry's time, at most 32, in the order
    /// of the keys; none of a window that does not exist and was not created.
    fn add_to_window<'a>(&'a self, windows: &'a [SmolStr], entry: WindowEntry, missing: MissingWindow, time: EntryTime) -> Reply<'a, EntriesByWindow>;

    /// Stores a value if the key has none, and returns the stored value. The first caller with a nonce claims it.
    fn put_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, Vec<u8>>;

    /// Stores a value until its TTL ends, such as a provider's response or a pending outcome.
    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, ()>;

    /// Increments a counter unless it has reached `limit`. Returns whether it was incremented.
    fn increment_up_to<'a>(&'a self, key: &'a str, limit: u64, ttl: Duration, now: Timestamp) -> Reply<'a, bool>;

    /// Adds to the counters of a bucket, which expires `ttl` after the last addition at the earliest. Returns the new value of the first counter. The
    /// additions of several callers add up in any order; one that fails may have been applied.
    fn add_to_counters<'a>(&'a self, bucket: CounterBucket<'a>, increments: &'a [(SmolStr, u32)], ttl: Duration, now: Timestamp) -> Reply<'a, u64>;

    /// Reads the counters of the buckets `from..=to` of a key, at most [`MAX_BUCKETS`]; the latest if there are more. Buckets without counters are left
    /// out.
    fn read_counters<'a>(&'a self, key: &'a str, from: i64, to: i64, now: Timestamp) -> Reply<'a, BTreeMap<i64, Counters>>;

    /// Reads a value.
    fn get<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>>;

    /// Reads all entries of a list.
    fn list_entries<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>>;

    /// Stores an entry of a list, which expires at `until`.
    fn put_list_entry<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()>;

    /// Deletes an entry of a list.
    fn delete_list_entry<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()>;

    /// Whether the store has an activity table, which other processes read. The memory of a process has none.
    fn has_activity(&self) -> bool {
        false
    }

    /// Adds rows and counts to the activity table.
    fn put_activity<'a>(&'a self, _batch: &'a ActivityBatch, _ttl: Duration, _now: Timestamp) -> Reply<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Reads the newest rows of a range, at most `most`.
    fn read_activity<'a>(&'a self, _range: ActivityRange, _most: usize, _now: Timestamp) -> Reply<'a, ActivityPage> {
        Box::pin(std::future::ready(Ok(ActivityPage { is_complete: true, ..ActivityPage::default() })))
    }

    /// Reads the rows of a user in a range, oldest first.
    fn read_activity_of<'a>(&'a self, _user: &'a str, _range: ActivityRange, _now: Timestamp) -> Reply<'a, Vec<ActivityRow>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Reads the counts of a day, by the start of their hour in seconds since 1970. `day` is its first second.
    fn read_activity_counts(&self, _day: i64, _now: Timestamp) -> Reply<'_, BTreeMap<i64, ActivityCounts>> {
        Box::pin(std::future::ready(Ok(BTreeMap::new())))
    }

    /// Deletes a row of the activity table.
    fn delete_activity<'a>(&'a self, _row: &'a ActivityRow) -> Reply<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A user record: named byte fields and a version. Operations return it in an `Arc`, because a store in memory then does not copy it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The fields.
    pub fields: BTreeMap<SmolStr, Vec<u8>>,
    /// Incremented by each conditional update.
    pub version: u64,
    /// When it expires, in seconds since 1970. Only a store that does not extend a TTL by itself (`Ttl::Extend`) reports it.
    pub expires_at: Option<i64>,
}

/// An update of a record. All of it applies atomically.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Fields to set.
    pub set: Vec<(SmolStr, Vec<u8>)>,
    /// Fields to remove.
    pub remove: Vec<SmolStr>,
    /// The record's TTL after the update.
    pub ttl: Ttl,
}

/// A record's TTL, counted from now. No variant shortens a longer one, as far as the store can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// Applies if the record has no longer TTL: for an attempt.
    AtLeast(Duration),
    /// Applies always: the caller has read the record and knows that nothing in it has to be stored for longer.
    Set(Duration),
    /// Applies if the record still expires at the time that the caller has read. Otherwise like `AtLeast`.
    Extend {
        /// The time that was read, in seconds since 1970.
        from: i64,
        /// The TTL.
        ttl: Duration,
    },
}

/// The result of a conditional update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The record was updated.
    Done,
    /// Another writer updated the record first. The change was not applied and is returned.
    Conflict(Change),
}

/// The two times of a window entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryTime {
    /// When the sign-in happened. The hour of the entry starts here.
    pub at: Timestamp,
    /// System time. The TTL of the window starts here.
    pub now: Timestamp,
}

/// What happens to a window that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingWindow {
    /// It is created.
    Create,
    /// It is skipped.
    Skip,
}

/// The entries of several windows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntriesByWindow {
    /// The entries of each window, in the order of their keys.
    pub windows: SmallVec<[WindowEntries; 2]>,
    /// The number of entries that could not be read, which are not counted.
    pub unreadable: usize,
}

/// The most buckets of counters that one call reads: six hours of minutes.
pub const MAX_BUCKETS: i64 = 360;

/// Counters by name.
pub type Counters = Vec<(SmolStr, u64)>;

/// A bucket of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterBucket<'a> {
    /// The key that the buckets have in common.
    pub key: &'a str,
    /// The number of the bucket, such as a minute since 1970; never negative.
    pub number: i64,
}

/// A list that all instances share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// Blocks of ranges, devices, clients and tenants, client capabilities and pseudonym keys in use. Read again every 10 s.
    BlockList,
    /// Templates for the decoy histories of unknown users. Read again every 10 min.
    DecoyTemplates,
    /// Blocked users, for `riskgate block list`. The blocks that apply to sign-ins are in the user records.
    BlockedUsers,
}

impl EntriesByWindow {
    /// Adds a window from its stored entries, of which some may be equal.
    pub fn push_stored<'a>(&mut self, stored: impl IntoIterator<Item = &'a [u8]>) {
        let mut entries = WindowEntries::new();
        for bytes in stored {
            match WindowEntry::from_bytes(bytes) {
                Some(entry) => entries.push(entry),
                None => self.unreadable += 1,
            }
        }
        entries.sort_unstable();
        entries.dedup();
        self.windows.push(entries);
    }
}

impl Ttl {
    /// The duration, whichever rule applies.
    pub fn duration(self) -> Duration {
        match self {
            Ttl::AtLeast(ttl) | Ttl::Set(ttl) | Ttl::Extend { ttl, .. } => ttl,
        }
    }
}

impl Default for Ttl {
    fn default() -> Self {
        Ttl::AtLeast(Duration::ZERO)
    }
}

impl List {
    /// The list's key in the store.
    pub fn key(self) -> &'static str {
        match self {
            List::BlockList => "b#shared",
            List::DecoyTemplates => "b#shapes",
            List::BlockedUsers => "b#persons",
        }
    }
}
