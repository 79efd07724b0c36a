//! One call for many who miss: an in-flight map beside the cache (invariant 8).
//!
//! The call is a future that all its callers share: whoever is still there drives it on, so a
//! leader that is dropped leaves the others nothing to notice, and when the last caller has gone
//! the call is dropped with its connection. Each caller waits under its own deadline.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};

/// A call that several callers wait for.
pub type Flight<T> = Shared<BoxFuture<'static, T>>;

/// The calls under way, by key.
pub struct Flights<T: Clone>(Arc<Mutex<Airborne<T>>>);

/// Whether a caller started the call or found it under way.
pub enum Joined<T: Clone> {
    /// It found one.
    Found(Flight<T>),
    /// It started one.
    Started(Flight<T>),
}

struct Airborne<T: Clone> {
    started: u64,
    calls: HashMap<u128, (u64, WeakShared<BoxFuture<'static, T>>)>,
}

/// Takes a call off the map when it ends or is dropped.
struct Landing<T: Clone> {
    flights: Arc<Mutex<Airborne<T>>>,
    key: u128,
    number: u64,
}

// === impl Flights ===

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// Joins the call for a key, or starts the one that `start` makes. `start` runs under the map's lock: it must be quick.
    ///
    /// # Errors
    ///
    /// What `start` says when it refuses to start one.
    pub fn join<E>(&self, key: u128, start: impl FnOnce() -> Result<BoxFuture<'static, T>, E>) -> Result<Joined<T>, E> {
        let mut airborne = locked(&self.0);
        if let Some(flight) = airborne.calls.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return Ok(Joined::Found(flight));
        }
        let call = start()?;
        airborne.started += 1;
        let number = airborne.started;
        let landing = Landing { flights: Arc::clone(&self.0), key, number };
        let flight = async move {
            let _landing = landing;
            call.await
        }
        .boxed()
        .shared();
        airborne.calls.insert(key, (number, flight.downgrade().expect("a flight that was not polled can be downgraded")));
        Ok(Joined::Started(flight))
    }
}

impl<T: Clone> Default for Flights<T> {
    fn default() -> Self {
        Flights(Arc::new(Mutex::new(Airborne { started: 0, calls: HashMap::new() })))
    }
}

// === impl Landing ===

impl<T: Clone> Drop for Landing<T> {
    fn drop(&mut self) {
        let mut airborne = locked(&self.flights);
        // A dropped flight may have been replaced by a later one.
        if airborne.calls.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            airborne.calls.remove(&self.key);
        }
    }
}

fn locked<T: Clone>(flights: &Mutex<Airborne<T>>) -> MutexGuard<'_, Airborne<T>> {
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU32, Ordering},
    };

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// Calls that end when the gate lets them.
    struct Counted {
        flights: Flights<u32>,
        calls: Arc<AtomicU32>,
        gate: Arc<Semaphore>,
    }

    impl Counted {
        fn new() -> Self {
            Counted { flights: Flights::default(), calls: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
        }

        fn join(&self) -> Flight<u32> {
            let (calls, gate) = (Arc::clone(&self.calls), Arc::clone(&self.gate));
            let call = async move {
                let number = calls.fetch_add(1, Ordering::Relaxed) + 1;
                gate.acquire().await.expect("the gate is never closed").forget();
                number
            };
            match self.flights.join::<Infallible>(7, || Ok(call.boxed())) {
                Ok(Joined::Found(flight) | Joined::Started(flight)) => flight,
            }
        }
    }

    #[tokio::test]
    async fn many_callers_make_one_call_and_the_next_makes_another() {
        let counted = Counted::new();
        let callers: Vec<_> = (0..200).map(|_| counted.join()).collect();
        counted.gate.add_permits(1);
        assert!(join_all(callers).await.iter().all(|answer| *answer == 1));
        counted.gate.add_permits(1);
        assert_eq!(counted.join().await, 2);
    }

    #[tokio::test]
    async fn a_poisoned_lock_is_a_lock() {
        let counted = Counted::new();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = counted.flights.join::<Infallible>(7, || std::panic::panic_any("a bug under the lock"));
        }));
        assert!(panicked.is_err() && counted.flights.0.is_poisoned());
        counted.gate.add_permits(1);
        assert_eq!(counted.join().await, 1, "the next caller asks");
    }

    #[tokio::test]
    async fn a_dropped_leader_leaves_the_call_to_the_others() {
        let counted = Counted::new();
        let mut leader = counted.join();
        let follower = tokio::spawn(counted.join());
        assert!(futures_util::poll!(&mut leader).is_pending());
        tokio::task::yield_now().await;
        drop(leader);
        counted.gate.add_permits(1);
        assert_eq!(follower.await.expect("the follower goes on"), 1);
        assert_eq!(counted.calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_call_without_callers_is_dropped_and_forgotten() {
        let counted = Counted::new();
        let mut only = counted.join();
        assert!(futures_util::poll!(&mut only).is_pending());
        drop(only);
        assert!(locked(&counted.flights.0).calls.is_empty());
        counted.gate.add_permits(1);
        assert_eq!(counted.join().await, 2);
    }
}
