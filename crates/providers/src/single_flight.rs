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

#[cfg(test)]
mod tests;

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
