//! Tests of the second cache tier, over a store in memory.

use std::sync::atomic::{AtomicU32, Ordering};

use tower::{Layer as _, service_fn};

use super::*;
use crate::{
    cache::CacheEntry,
    middleware::{layer, tests as fixtures},
};
use riskgate_engine::evidence::{FailureReason, Outcome};
use riskgate_runtime::mode::RuntimeMode;

/// Looks up an answer before a provider that fails. Returns the outcome and the number of calls to the provider.
async fn look_up(shared: &SharedCache) -> (Result<(Outcome, Option<Tier>), FailureReason>, u32) {
    let (calls, context) = (Arc::<AtomicU32>::default(), fixtures::context(RuntimeMode::Sidecar));
    let counted = Arc::clone(&calls);
    let breaker = Arc::new(Breaker::new(context.service, context.runtime_mode, context.timeout, Arc::clone(&context.health)));
    let layer = layer(SecondTier::new(fixtures::cache(RuntimeMode::Sidecar), Some(shared.clone()), breaker, context));
    let service = layer.layer(service_fn(move |_: ProviderCall| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Err::<CacheEntry, Failure>(FailureReason::Http5xx.into()))
    }));
    let result = service.oneshot(fixtures::call()).await;
    (result.map(|found| (found.outcome, found.tier)).map_err(|failure| failure.cause), calls.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_fresh_answer_of_another_process_ends_the_call() {
    let shared = fixtures::shared_cache();
    shared.put(fixtures::call().key, &fixtures::entry(20.0), Duration::from_secs(180)).await;
    assert_eq!(look_up(&shared).await, (Ok((Outcome::Hit, Some(Tier::Store))), 0));
}

#[tokio::test]
async fn a_stale_answer_of_another_process_replaces_a_failed_call() {
    let shared = fixtures::shared_cache();
    shared.put(fixtures::call().key, &fixtures::entry_of_age(20.0, Duration::from_secs(100)), Duration::from_secs(180)).await;
    assert_eq!(look_up(&shared).await, (Ok((Outcome::Stale, Some(Tier::Store))), 1));
}

#[tokio::test]
async fn a_call_of_another_process_is_awaited() {
    let shared = fixtures::shared_cache();
    let call = fixtures::call();
    assert_eq!(shared.claim_call(call.key, CALL_CLAIM_TTL, clock::read()).await, Some(true));
    let other = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        shared.put(call.key, &fixtures::entry(20.0), Duration::from_secs(180)).await;
    };
    let (result, ()) = tokio::join!(look_up(&shared), other);
    assert_eq!(result, (Ok((Outcome::Hit, Some(Tier::Store))), 0));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_another_process_is_bounded() {
    let shared = fixtures::shared_cache();
    assert_eq!(shared.claim_call(fixtures::call().key, CALL_CLAIM_TTL, clock::read()).await, Some(true));
    let started = Instant::now();
    assert_eq!(look_up(&shared).await, (Err(FailureReason::Http5xx), 1));
    assert!(started.elapsed() <= fixtures::TIMEOUT / 2 + POLL_INTERVAL);
}
