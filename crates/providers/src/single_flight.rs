//! The calls in flight, by key. Concurrent callers with the same key share one call.
//!
//! A call is a future that its callers share. Any of them can drive it, so it continues when its first caller is dropped. When
//! the last caller is dropped, the call and its connection are dropped too.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};

/// A call that several callers can await.
pub type SharedCall<T> = Shared<BoxFuture<'static, T>>;

/// The calls in flight, by key. Clones share them.
#[derive(Clone)]
pub struct SingleFlight<T: Clone>(Arc<Mutex<InFlightCalls<T>>>);

/// A call, and whether the caller started it.
pub enum JoinedCall<T: Clone> {
    /// The call was already in flight.
    Found(SharedCall<T>),
    /// The caller started it.
    Started(SharedCall<T>),
}

struct InFlightCalls<T: Clone> {
    started: u64,
    calls: HashMap<u128, (u64, WeakShared<BoxFuture<'static, T>>)>,
}

/// Removes a call from the map when it ends or is dropped.
struct RemoveOnDrop<T: Clone> {
    single_flight: Arc<Mutex<InFlightCalls<T>>>,
    key: u128,
    number: u64,
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// Joins the call in flight for a key, or starts the one that `start` returns. `start` runs under the map's lock and must be quick.
    ///
    /// # Errors
    ///
    /// The error of `start`.
    pub fn join<E>(&self, key: u128, start: impl FnOnce() -> Result<BoxFuture<'static, T>, E>) -> Result<JoinedCall<T>, E> {
        let mut in_flight = lock(&self.0);
        if let Some(shared_call) = in_flight.calls.get(&key).and_then(|(_, shared_call)| shared_call.upgrade()) {
            return Ok(JoinedCall::Found(shared_call));
        }
        let call = start()?;
        in_flight.started += 1;
        let number = in_flight.started;
        let remove_on_drop = RemoveOnDrop { single_flight: Arc::clone(&self.0), key, number };
        let shared_call = async move {
            let _remove_on_drop = remove_on_drop;
            call.await
        }
        .boxed()
        .shared();
        in_flight.calls.insert(key, (number, shared_call.downgrade().expect("a future that was not polled can be downgraded")));
        Ok(JoinedCall::Started(shared_call))
    }
}

impl<T: Clone> Default for SingleFlight<T> {
    fn default() -> Self {
        SingleFlight(Arc::new(Mutex::new(InFlightCalls { started: 0, calls: HashMap::new() })))
    }
}

impl<T: Clone> Drop for RemoveOnDrop<T> {
    fn drop(&mut self) {
        let mut in_flight = lock(&self.single_flight);
        // A later call may have replaced this one.
        if in_flight.calls.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            in_flight.calls.remove(&self.key);
        }
    }
}

fn lock<T: Clone>(single_flight: &Mutex<InFlightCalls<T>>) -> MutexGuard<'_, InFlightCalls<T>> {
    single_flight.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Calls that end when the semaphore has a permit, and their number.
    struct Fixture {
        single_flight: SingleFlight<u32>,
        calls: Arc<AtomicU32>,
        permits: Arc<Semaphore>,
    }

    impl Fixture {
        fn new() -> Self {
            Fixture { single_flight: SingleFlight::default(), calls: Arc::default(), permits: Arc::new(Semaphore::new(0)) }
        }

        fn join(&self) -> SharedCall<u32> {
            let (calls, permits) = (Arc::clone(&self.calls), Arc::clone(&self.permits));
            let call = async move {
                let number = calls.fetch_add(1, Ordering::Relaxed) + 1;
                permits.acquire().await.expect("the semaphore is never closed").forget();
                number
            };
            match self.single_flight.join::<Infallible>(7, || Ok(call.boxed())) {
                Ok(JoinedCall::Found(shared_call) | JoinedCall::Started(shared_call)) => shared_call,
            }
        }
    }

    #[tokio::test]
    async fn concurrent_callers_share_a_call_and_a_later_caller_starts_another() {
        let fixture = Fixture::new();
        let callers: Vec<_> = (0..200).map(|_| fixture.join()).collect();
        fixture.permits.add_permits(1);
        assert!(join_all(callers).await.iter().all(|answer| *answer == 1));
        fixture.permits.add_permits(1);
        assert_eq!(fixture.join().await, 2);
    }

    #[tokio::test]
    async fn a_poisoned_lock_still_works() {
        let fixture = Fixture::new();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = fixture.single_flight.join::<Infallible>(7, || std::panic::panic_any("a bug under the lock"));
        }));
        assert!(panicked.is_err() && fixture.single_flight.0.is_poisoned());
        fixture.permits.add_permits(1);
        assert_eq!(fixture.join().await, 1, "the next caller starts a call");
    }

    #[tokio::test]
    async fn a_call_continues_when_its_first_caller_is_dropped() {
        let fixture = Fixture::new();
        let mut leader = fixture.join();
        let follower = tokio::spawn(fixture.join());
        assert!(futures_util::poll!(&mut leader).is_pending());
        tokio::task::yield_now().await;
        drop(leader);
        fixture.permits.add_permits(1);
        assert_eq!(follower.await.expect("the follower completes"), 1);
        assert_eq!(fixture.calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_call_without_callers_is_dropped_and_removed() {
        let fixture = Fixture::new();
        let mut only = fixture.join();
        assert!(futures_util::poll!(&mut only).is_pending());
        drop(only);
        assert!(lock(&fixture.single_flight.0).calls.is_empty());
        fixture.permits.add_permits(1);
        assert_eq!(fixture.join().await, 2);
    }
}
