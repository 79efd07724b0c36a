//! Tests of coalescing: calls are counted, and time is paused.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tower::{Layer as _, service_fn};

use super::*;
use crate::middleware::{layer, tests as fixtures};
use riskgate_runtime::{deadline::Deadline, mode::RuntimeMode};
use tokio::time::Instant;

/// A service whose first call fails with `Reset` and whose calls take 100 ms, and the number of its calls.
fn service(fails_first: bool) -> (impl LookupService + Refresh, Arc<AtomicU32>, Arc<StackContext>) {
    let (calls, context) = (Arc::<AtomicU32>::default(), fixtures::context(RuntimeMode::Sidecar));
    let counted = Arc::clone(&calls);
    let provider = service_fn(move |_: ProviderCall| {
        let is_first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if is_first && fails_first { Err(Failure::from(FailureReason::Reset)) } else { Ok(LookupResult::answered(Some(Arc::new(fixtures::answer(20.0))))) }
        }
    });
    (layer(Coalescing::new(Arc::default(), Arc::clone(&context))).layer(provider), calls, context)
}

fn counted(context: &StackContext, result: CacheResult) -> u64 {
    context.health.cache(Tier::Memory, result).load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn concurrent_callers_share_one_call() {
    let (service, calls, context) = service(false);
    let results = join_all((0..10).map(|_| service.clone().oneshot(fixtures::call()))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!((counted(&context, CacheResult::Miss), counted(&context, CacheResult::Coalesced)), (1, 9));
}

#[tokio::test(start_paused = true)]
async fn followers_of_a_broken_connection_make_one_more_call_together() {
    let (service, calls, _) = service(true);
    let results = join_all((0..10).map(|_| service.clone().oneshot(fixtures::call()))).await;
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1, "only the leader fails");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn each_caller_has_its_own_deadline() {
    let (service, calls, _) = service(false);
    let hurried = ProviderCall { deadline: Deadline::after(Instant::now(), Duration::from_millis(50)), ..fixtures::call() };
    let (hurried, patient) = tokio::join!(service.clone().oneshot(hurried), service.clone().oneshot(fixtures::call()));
    assert_eq!(hurried, Err(FailureReason::Timeout.into()));
    assert!(patient.is_ok());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_neither_counted_nor_repeated() {
    let (service, calls, context) = service(false);
    service.refresh(fixtures::call());
    service.refresh(fixtures::call());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(counted(&context, CacheResult::Miss), 0);
}
