//! What a store has to be able to do: atomic changes of small records, under keys that say nothing.
//!
//! The real ones are `Memory`, `Redis` and `DynamoDb`. What the records mean is known to the
//! ledger alone, so the three differ in nothing but where bytes are kept. Every method is one round trip.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::evidence::Cause;

/// A store's answer, some time soon.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, Cause>> + Send + 'a>>;

/// Where history is kept.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// What it is, for `riskgate config` and probes.
    fn name(&self) -> &'static str;

    /// What the operator has to correct at the store, by the last call that failed, if that is known.
    fn problem(&self) -> Option<String> {
        None
    }

    /// Tries what the store is needed for, at start. Nobody's data is read or written.
    fn probe(&self, now: Timestamp) -> Reply<'_, ()> {
        Box::pin(async move {
            self.fetch("probe", now).await?;
            self.list(List::Shared, now).await.map(|_| ())
        })
    }

    /// Whether a record's time is only ever made longer, whatever `Keep::Renew` says: then a record that was read a while ago may be written.
    fn only_lengthens(&self) -> bool {
        true
    }

    /// Changes a person's record, at once and without condition, and returns what it then holds.
    fn change<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>>;

    /// Changes a person's record if it still has the version that was read, and counts the version up.
    fn change_if<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed>;

    /// Reads a person's record; an empty one where there is none.
    fn read<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>>;

    /// Replaces a person's record, its version and its time included.
    fn replace<'a>(&'a self, key: &'a str, record: Record, keep: Duration, now: Timestamp) -> Reply<'a, ()>;

    /// Adds a mark to each of some windows; returns the marks of each within the hour of the mark's time, at most 32 and in the order of the keys.
    fn mark<'a>(&'a self, windows: &'a [SmolStr], mark: Mark, time: MarkTime) -> Reply<'a, Marked>;

    /// Keeps a value unless there is one, and returns the one that is kept: a nonce belongs to who came first.
    fn claim<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, Vec<u8>>;

    /// Keeps a value for a while: a service's answer, an assessment that awaits its outcome.
    fn keep<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, ()>;

    /// Counts one more under a key unless `limit` were counted already; whether it was.
    fn count<'a>(&'a self, key: &'a str, limit: u64, keep: Duration, now: Timestamp) -> Reply<'a, bool>;

    /// A kept value.
    fn fetch<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>>;

    /// All entries of a list.
    fn list<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>>;

    /// Sets an entry of a list until a moment.
    fn enlist<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()>;

    /// Removes an entry of a list.
    fn delist<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()>;

    /// Adds a row to the activity table. Only DynamoDB has one; elsewhere the audit log is the only record.
    fn note<'a>(&'a self, _row: &'a Row, _keep: Duration) -> Reply<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The activity of a day, or of one person on that day.
    fn activity<'a>(&'a self, _day: &'a str, _user: Option<&'a str>) -> Reply<'a, Vec<Row>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Erases a row of the activity table.
    fn erase_row<'a>(&'a self, _row: &'a Row) -> Reply<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A person's record: named fields of bytes, under a version. Stores hand it out shared, so that one in memory need not copy it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The fields.
    pub fields: BTreeMap<SmolStr, Vec<u8>>,
    /// Counted up by each conditional change.
    pub version: u64,
}

/// A change of a record. Setting and removing happen at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Fields that are set.
    pub set: Vec<(SmolStr, Vec<u8>)>,
    /// Fields that are removed.
    pub remove: Vec<SmolStr>,
    /// How long the record is kept.
    pub keep: Keep,
}

/// How long a record is kept from now on. Neither shortens a time that is longer, as far as the store can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So long, where nothing longer is set: an attempt.
    Least(Duration),
    /// So long: the caller has read the record and knows that nothing in it lasts longer.
    Renew(Duration),
}

/// Whether a conditional change happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It did.
    Done,
    /// Somebody else was faster; nothing happened, and here it is again.
    Conflict(Change),
}

/// An account seen at an address or in a network, as a keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark {
    /// The account.
    pub account: u32,
    /// The address, or its /64, in marks of earlier versions; 0 in those that are written now.
    pub host: u32,
}

/// When a mark is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkTime {
    /// When the sign-in happened: what the mark's hour is counted from.
    pub at: Timestamp,
    /// System time: how long the window is stored is counted from.
    pub now: Timestamp,
}

/// The marks of one window.
pub type Marks = SmallVec<[Mark; 4]>;

/// The marks of several windows.
pub type Marked = SmallVec<[Marks; 2]>;

/// The lists that all instances share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// Blocks of ranges, devices, clients and tenants, and clients that report successes: re-read every 10 s.
    Shared,
    /// Shapes of histories, from which those of unknown names are invented: re-read every 10 min.
    Shapes,
    /// The persons who are blocked: what `riskgate block list` prints; the blocks themselves stand in the persons' records.
    Persons,
}

/// A row of the activity table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The person's pseudonym, as in audit lines.
    pub user: SmolStr,
    /// When.
    pub at: Timestamp,
    /// The assessment's id, or a number that tells two rows of one second apart.
    pub id: SmolStr,
    /// What happened, as a flat JSON object.
    pub what: String,
}

// === impl Keep ===

impl Keep {
    /// The time itself.
    pub fn duration(self) -> Duration {
        match self {
            Keep::Least(duration) | Keep::Renew(duration) => duration,
        }
    }
}

impl Default for Keep {
    fn default() -> Self {
        Keep::Least(Duration::ZERO)
    }
}

// === impl Mark ===

impl Mark {
    /// Eight bytes.
    pub fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.account) << 32 | u64::from(self.host)).to_be_bytes()
    }

    /// Reads eight bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let both = u64::from_be_bytes(bytes.try_into().ok()?);
        Some(Mark { account: u32::try_from(both >> 32).ok()?, host: u32::try_from(both & u64::from(u32::MAX)).ok()? })
    }
}

// === impl List ===

impl List {
    /// Its key.
    pub fn key(self) -> &'static str {
        match self {
            List::Shared => "b#shared",
            List::Shapes => "b#shapes",
            List::Persons => "b#persons",
        }
    }
}
