//! Tests of shared calls.

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
