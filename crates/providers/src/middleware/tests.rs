//! Calls, answers and contexts for the tests of the layers.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;
use tokio::time::Instant;

use crate::{
    AddressTrust, ProviderRequest,
    cache::{Cache, CacheEntry},
    middleware::{Attempt, ProviderCall, StackContext},
    shared_cache::SharedCache,
};
use riskgate_config::services::CacheConfig;
use riskgate_engine::{
    evidence::{Answer, Risk},
    personal::Personal,
    service::Service,
};
use riskgate_runtime::{clock, deadline::Deadline, health::Health, mode::RuntimeMode};
use riskgate_store::{breaker::StoreBreaker, memory::Memory};

/// The timeout of a provider in these tests.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);

/// Cache times in these tests: fresh for a minute, stale for two more.
pub(super) const CACHE: CacheConfig =
    CacheConfig { capacity: 10, ttl: Duration::from_secs(60), stale_for: Duration::from_secs(120), negative_ttl: Duration::from_secs(60) };

pub(super) fn context(runtime_mode: RuntimeMode) -> Arc<StackContext> {
    Arc::new(StackContext { service: Service::Http, runtime_mode, timeout: TIMEOUT, is_block_list: false, health: Arc::<Health>::default() })
}

pub(super) fn cache(runtime_mode: RuntimeMode) -> Arc<Cache> {
    Arc::new(Cache::new(CACHE, runtime_mode))
}

/// A shared cache in a store in memory.
pub(super) fn shared_cache() -> SharedCache {
    SharedCache::new(Arc::new(Memory::default()), Arc::<StoreBreaker>::default(), Arc::default(), Duration::from_millis(100))
}

pub(crate) fn request() -> ProviderRequest {
    ProviderRequest {
        ip: Personal::new("8.8.8.8".parse().expect("a valid address")),
        user_agent: None,
        device_id: None,
        accept_language: None,
        user: None,
        hour: None,
        received: clock::read(),
        address_trust: AddressTrust::Trusted,
        pool: Default::default(),
        account: Personal::default(),
    }
}

/// A call whose key has no expiry jitter.
pub(super) fn call() -> ProviderCall {
    let now = Instant::now();
    ProviderCall { key: 7, request: request(), started: now, deadline: Deadline::after(now, TIMEOUT), attempt: Attempt::First }
}

pub(super) fn answer(score: f64) -> Answer {
    Answer::new(Risk::Score(score), SmallVec::new())
}

/// An answer whose request was made now.
pub(super) fn entry(score: f64) -> CacheEntry {
    CacheEntry::new(Some(answer(score)), clock::read())
}

/// An answer whose request was made some time ago.
pub(super) fn entry_of_age(score: f64, age: Duration) -> CacheEntry {
    let mut made = clock::read();
    made.wall -= jiff::SignedDuration::try_from(age).expect("a short time");
    CacheEntry::new(Some(answer(score)), made)
}
