//! A limit on open connections. When it is reached, a new connection evicts an idle one.
//!
//! If new connections had to wait, an attacker could block them with idle connections (slowloris).
//! The oldest connection without a request is evicted first, then the oldest idle one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

/// The connection limit of one listener.
#[derive(Debug)]
pub struct ConnectionLimit {
    slots: Mutex<Slots>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Slots {
    next_number: u64,
    by_number: BTreeMap<u64, Arc<ConnectionSlot>>,
}

/// The slot of one connection.
#[derive(Debug)]
pub struct ConnectionSlot {
    number: u64,
    active_requests: AtomicUsize,
    has_sent_request: AtomicBool,
    evicted: Notify,
}

/// A complete request of the connection is being processed. The connection is not evicted until this guard is dropped.
#[derive(Debug)]
pub struct ActiveRequest<'a>(&'a ConnectionSlot);

impl ConnectionLimit {
    /// A limit of `capacity` connections. It must exceed the number of concurrent requests; otherwise no connection may be idle.
    pub fn new(capacity: usize) -> Self {
        ConnectionLimit { slots: Mutex::default(), capacity }
    }

    /// Takes a slot for a new connection. Evicts an idle connection when the limit is reached.
    pub fn acquire(&self) -> Arc<ConnectionSlot> {
        let mut slots = self.lock();
        if slots.by_number.len() >= self.capacity {
            slots.evict_idle();
        }
        let number = slots.next_number;
        slots.next_number += 1;
        let slot = Arc::new(ConnectionSlot { number, active_requests: AtomicUsize::new(0), has_sent_request: AtomicBool::new(false), evicted: Notify::new() });
        slots.by_number.insert(number, Arc::clone(&slot));
        slot
    }

    /// Releases the slot of a connection that has ended.
    pub fn release(&self, slot: &ConnectionSlot) {
        self.lock().by_number.remove(&slot.number);
    }

    /// Evicts an idle connection, for when the process has no file descriptor left.
    pub fn evict_idle(&self) {
        self.lock().evict_idle();
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        // No code under this lock panics in the middle of a change.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn evict_idle(&mut self) {
        let idle = || self.by_number.values().filter(|slot| slot.active_requests.load(Ordering::Acquire) == 0);
        let silent = idle().find(|slot| !slot.has_sent_request.load(Ordering::Relaxed));
        if let Some(number) = silent.or_else(|| idle().next()).map(|slot| slot.number)
            && let Some(slot) = self.by_number.remove(&number)
        {
            slot.evicted.notify_one();
        }
    }
}

impl ConnectionSlot {
    /// Marks the start of a request. The connection is not evicted until the guard is dropped.
    pub fn begin_request(&self) -> ActiveRequest<'_> {
        self.has_sent_request.store(true, Ordering::Relaxed);
        self.active_requests.fetch_add(1, Ordering::AcqRel);
        ActiveRequest(self)
    }

    /// Resolves when the connection is evicted.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for ActiveRequest<'_> {
    fn drop(&mut self) {
        self.0.active_requests.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_evicted(slot: &ConnectionSlot) -> bool {
        slot.evicted().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_silent_connection_is_evicted_first() {
        let connection_limit = ConnectionLimit::new(3);
        let [active, idle, silent] = [connection_limit.acquire(), connection_limit.acquire(), connection_limit.acquire()];
        drop(idle.begin_request());
        let guard = active.begin_request();
        let newcomer = connection_limit.acquire();
        assert!(is_evicted(&silent) && !is_evicted(&idle) && !is_evicted(&active));
        drop(newcomer.begin_request());
        let _next = connection_limit.acquire();
        assert!(is_evicted(&idle) && !is_evicted(&newcomer), "then the oldest idle one");
        assert!(!is_evicted(&active));
        drop(guard);
    }

    #[test]
    fn a_released_slot_is_free() {
        let connection_limit = ConnectionLimit::new(1);
        let first = connection_limit.acquire();
        connection_limit.release(&first);
        let second = connection_limit.acquire();
        assert!(!is_evicted(&first) && !is_evicted(&second));
    }
}
