//! A list that all instances share, as it was last read.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;

use super::super::store::{List, Store};
use crate::evidence::Cause;

/// A list that cannot be read again stays in force for so many seconds.
const LONGEST_IN_FORCE: i64 = 86_400;

/// A list as it was last read.
#[derive(Debug)]
pub(super) struct CachedList<T> {
    list: ArcSwap<T>,
    /// When it was last queried, seconds since 1970; `i64::MIN` before the first answer.
    pub(super) at: AtomicI64,
    /// When it was last read; `i64::MIN` before the first time.
    read_at: AtomicI64,
    /// Why the last read failed: its place in `Cause::ALL`, from one on.
    failed: AtomicU8,
}

/// How the entries of a list are read, and whether each of them could be.
pub(super) struct Reading<T> {
    pub(super) read: fn(BTreeMap<String, Vec<u8>>) -> T,
    pub(super) is_complete: fn(&T) -> bool,
}

/// A read under way. One that a deadline cuts off has failed too.
struct PendingRead<'a, T: Default> {
    cached: &'a CachedList<T>,
    is_answered: bool,
}

// === impl CachedList ===

impl<T: Default> CachedList<T> {
    /// Reads the list again when it is due; tells whether it was. If it cannot be read, the last one stays in force for a day; one with entries that cannot be read is in force without them, and reported.
    pub(super) async fn refresh(&self, store: &dyn Store, list: List, age: i64, reading: Reading<T>, now: Timestamp) -> bool {
        let (last, now_s) = (self.at.load(Ordering::Acquire), now.as_second());
        if last != i64::MIN && now_s.abs_diff(last) < age.unsigned_abs() {
            return false;
        }
        // Before the first read everybody waits for their own; later one reads and the others go on with what is there.
        if last != i64::MIN && self.at.compare_exchange(last, now_s, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        let mut pending = PendingRead { cached: self, is_answered: false };
        let answer = store.list(list, now).await;
        pending.is_answered = true;
        match answer {
            Ok(entries) => {
                let list = (reading.read)(entries);
                let is_complete = (reading.is_complete)(&list);
                self.list.store(Arc::new(list));
                self.read_at.store(now_s, Ordering::Release);
                self.at.store(now_s, Ordering::Release);
                if is_complete { self.failed.store(0, Ordering::Release) } else { self.fail(Cause::BadAnswer) }
            }
            Err(cause) => self.fail(cause),
        }
        true
    }

    fn fail(&self, cause: Cause) {
        let place = Cause::ALL.iter().position(|known| *known == cause).and_then(|place| u8::try_from(place + 1).ok());
        self.failed.store(place.unwrap_or(1), Ordering::Release);
    }

    /// The list in force at a moment: the one that was read last, or an empty one if that is too old.
    pub(super) fn load(&self, now: Timestamp) -> Guard<Arc<T>> {
        if self.is_expired(now) { Guard::from_inner(Arc::default()) } else { self.list.load() }
    }

    /// Whether the list could not be read again for so long that it is not in force any more.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        let last = self.read_at.load(Ordering::Acquire);
        last != i64::MIN && self.failed.load(Ordering::Acquire) != 0 && now.as_second().saturating_sub(last) > LONGEST_IN_FORCE
    }

    /// When the list was last read, seconds since 1970.
    pub(super) fn read_at(&self) -> Option<i64> {
        Some(self.read_at.load(Ordering::Acquire)).filter(|last| *last != i64::MIN)
    }

    /// Why the list is not as the store has it now.
    pub(super) fn cause(&self) -> Option<Cause> {
        Cause::ALL.get(usize::from(self.failed.load(Ordering::Acquire)).checked_sub(1)?).copied()
    }
}

// === impl PendingRead ===

impl<T: Default> Drop for PendingRead<'_, T> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.cached.fail(Cause::Timeout);
        }
    }
}

impl<T: Default> Default for CachedList<T> {
    fn default() -> Self {
        CachedList { list: ArcSwap::default(), at: AtomicI64::new(i64::MIN), read_at: AtomicI64::new(i64::MIN), failed: AtomicU8::new(0) }
    }
}
