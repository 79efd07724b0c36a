//! A cache of a list that all instances share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;

use riskgate_engine::evidence::FailureReason;
use riskgate_store::{List, Store};

/// Seconds for which a list stays in use after its last read if reads fail.
const MAX_STALE_SECONDS: i64 = 86_400;

/// A parsed list, as it was last read.
#[derive(Debug)]
pub(super) struct CachedList<T> {
    list: ArcSwap<T>,
    /// When the store was last queried, in seconds since 1970; `i64::MIN` before the first successful read.
    pub(super) queried_at: AtomicI64,
    /// When the list was last read successfully; `i64::MIN` before the first time.
    read_at: AtomicI64,
    /// Why the last read failed: the index in `FailureReason::ALL` plus one; 0 if it succeeded.
    failed: AtomicU8,
}

/// How the entries of a list are parsed, and whether all of them were readable.
pub(super) struct ListParser<T> {
    pub(super) parse: fn(BTreeMap<String, Vec<u8>>) -> T,
    pub(super) is_complete: fn(&T) -> bool,
}

/// A read in progress. If a deadline cancels the read, it counts as failed.
struct PendingRead<'a, T: Default> {
    cached: &'a CachedList<T>,
    is_answered: bool,
}

impl<T: Default> CachedList<T> {
    /// Reads the list if it is due, and returns whether it was. If the read fails, the previous list stays in use for a day. Unreadable entries
    /// are ignored, and the list is reported as failed.
    pub(super) async fn refresh(&self, store: &dyn Store, list: List, age: i64, parser: ListParser<T>, now: Timestamp) -> bool {
        let (last, now_s) = (self.queried_at.load(Ordering::Acquire), now.as_second());
        if last != i64::MIN && now_s.abs_diff(last) < age.unsigned_abs() {
            return false;
        }
        // Before the first read, each caller reads for itself. Later one caller reads, and the others use the cached list.
        if last != i64::MIN && self.queried_at.compare_exchange(last, now_s, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        let mut pending = PendingRead { cached: self, is_answered: false };
        let answer = store.list_entries(list, now).await;
        pending.is_answered = true;
        match answer {
            Ok(entries) => {
                let list = (parser.parse)(entries);
                let is_complete = (parser.is_complete)(&list);
                self.list.store(Arc::new(list));
                self.read_at.store(now_s, Ordering::Release);
                self.queried_at.store(now_s, Ordering::Release);
                if is_complete { self.failed.store(0, Ordering::Release) } else { self.fail(FailureReason::BadAnswer) }
            }
            Err(cause) => self.fail(cause),
        }
        true
    }

    fn fail(&self, cause: FailureReason) {
        let code = FailureReason::ALL.iter().position(|known| *known == cause).and_then(|index| u8::try_from(index + 1).ok());
        self.failed.store(code.unwrap_or(1), Ordering::Release);
    }

    /// The list as it was last read, or an empty one if that is too old at the given time.
    pub(super) fn load(&self, now: Timestamp) -> Guard<Arc<T>> {
        if self.is_expired(now) { Guard::from_inner(Arc::default()) } else { self.list.load() }
    }

    /// The list as it was last read, however long ago.
    pub(super) fn latest(&self) -> Guard<Arc<T>> {
        self.list.load()
    }

    /// Whether reads have failed for so long that the list is no longer used.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        let last = self.read_at.load(Ordering::Acquire);
        last != i64::MIN && self.failed.load(Ordering::Acquire) != 0 && now.as_second().saturating_sub(last) > MAX_STALE_SECONDS
    }

    /// When the list was last read successfully, in seconds since 1970.
    pub(super) fn read_at(&self) -> Option<i64> {
        Some(self.read_at.load(Ordering::Acquire)).filter(|last| *last != i64::MIN)
    }

    /// Why the last read failed; `None` if it succeeded.
    pub(super) fn cause(&self) -> Option<FailureReason> {
        FailureReason::ALL.get(usize::from(self.failed.load(Ordering::Acquire)).checked_sub(1)?).copied()
    }
}

impl<T: Default> Drop for PendingRead<'_, T> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.cached.fail(FailureReason::Timeout);
        }
    }
}

impl<T: Default> Default for CachedList<T> {
    fn default() -> Self {
        CachedList { list: ArcSwap::default(), queried_at: AtomicI64::new(i64::MIN), read_at: AtomicI64::new(i64::MIN), failed: AtomicU8::new(0) }
    }
}
