//! Connections, bounded: who comes when all seats are taken gets the seat of one that says nothing.
//!
//! A bound that only makes newcomers wait is a gift to whoever opens connections and keeps still
//! (slowloris). So the connection that gives way is the oldest that never sent a request, then the oldest idle one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

/// The seats of one listener.
#[derive(Debug)]
pub struct Seats {
    taken: Mutex<Taken>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: BTreeMap<u64, Arc<Seat>>,
}

/// One connection's seat.
#[derive(Debug)]
pub struct Seat {
    number: u64,
    working: AtomicUsize,
    has_asked: AtomicBool,
    leave: Notify,
}

/// A whole request of this connection is being worked on: it keeps its seat.
#[derive(Debug)]
pub struct Working<'a>(&'a Seat);

// === impl Seats ===

impl Seats {
    /// `capacity` seats; more than can be worked on at once, so that some connection can always give way.
    pub fn new(capacity: usize) -> Self {
        Seats { taken: Mutex::default(), capacity }
    }

    /// Seats a new connection.
    pub fn take(&self) -> Arc<Seat> {
        let mut taken = self.lock();
        if taken.seats.len() >= self.capacity {
            taken.dismiss();
        }
        let number = taken.next;
        taken.next += 1;
        let seat = Arc::new(Seat { number, working: AtomicUsize::new(0), has_asked: AtomicBool::new(false), leave: Notify::new() });
        taken.seats.insert(number, Arc::clone(&seat));
        seat
    }

    /// The connection has ended.
    pub fn give_back(&self, seat: &Seat) {
        self.lock().seats.remove(&seat.number);
    }

    /// Makes one connection give way, where the process has no descriptor left for the next.
    pub fn dismiss(&self) {
        self.lock().dismiss();
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing in here panics half-way through a change.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Taken ===

impl Taken {
    fn dismiss(&mut self) {
        let idle = || self.seats.values().filter(|seat| seat.working.load(Ordering::Acquire) == 0);
        let silent = idle().find(|seat| !seat.has_asked.load(Ordering::Relaxed));
        if let Some(number) = silent.or_else(|| idle().next()).map(|seat| seat.number)
            && let Some(seat) = self.seats.remove(&number)
        {
            seat.leave.notify_one();
        }
    }
}

// === impl Seat ===

impl Seat {
    /// A whole request has come; until the guard is dropped the seat is kept.
    pub fn work(&self) -> Working<'_> {
        self.has_asked.store(true, Ordering::Relaxed);
        self.working.fetch_add(1, Ordering::AcqRel);
        Working(self)
    }

    /// Ends when the seat has been given to somebody else.
    pub async fn dismissed(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_dismissed(seat: &Seat) -> bool {
        seat.dismissed().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_silent_one_gives_way_first() {
        let seats = Seats::new(3);
        let [working, asked, silent] = [seats.take(), seats.take(), seats.take()];
        drop(asked.work());
        let guard = working.work();
        let newcomer = seats.take();
        assert!(is_dismissed(&silent) && !is_dismissed(&asked) && !is_dismissed(&working));
        drop(newcomer.work());
        let _next = seats.take();
        assert!(is_dismissed(&asked) && !is_dismissed(&newcomer), "then the oldest idle one");
        assert!(!is_dismissed(&working));
        drop(guard);
    }

    #[test]
    fn a_seat_given_back_is_free() {
        let seats = Seats::new(1);
        let first = seats.take();
        seats.give_back(&first);
        let second = seats.take();
        assert!(!is_dismissed(&first) && !is_dismissed(&second));
    }
}
