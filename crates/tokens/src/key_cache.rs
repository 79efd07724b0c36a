//! The cached signing keys of one user pool, and when they are fetched.
//!
//! Keys are fresh for an hour. After that one request refreshes them while others wait for it. An unknown key id refreshes them too, at
//! most twice a minute, because anyone can send one. When the fetch fails, cached keys serve for another day.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jsonwebtoken::DecodingKey;
use tokio::time::Instant;

use crate::{error::TokenError, key_set::KeySet};
use riskgate_engine::{evidence::FailureReason, time::ClockReading};
use riskgate_http_client::Client;
use riskgate_runtime::{clock, deadline::Deadline, health::Health};

/// How long keys are used without a refresh.
const FRESH_FOR: Duration = Duration::from_secs(3600);

/// How much longer they are used while a refresh fails.
const STALE_FOR: Duration = Duration::from_secs(24 * 3600);

/// The shortest time between two fetches that succeed.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// The shortest time between a failed fetch and the next.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How long a request with a usable key waits for a refresh.
const REFRESH_WAIT: Duration = Duration::from_millis(500);

/// The maximum size of a JWKS in bytes. A user pool's has one kilobyte.
const MAX_BODY: usize = 64 * 1024;

/// The signing keys of one user pool.
#[derive(Debug)]
pub(crate) struct KeyCache {
    url: String,
    health: Arc<Health>,
    state: Mutex<State>,
    /// Held while keys are fetched, so concurrent requests make one call.
    fetching: tokio::sync::Mutex<()>,
}

/// A key, and why its set could not be refreshed.
pub(crate) struct CachedKey {
    pub(crate) key: DecodingKey,
    pub(crate) stale: Option<FailureReason>,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<(KeySet, ClockReading)>,
    attempted: Option<ClockReading>,
    failure: Option<FailureReason>,
}

/// What the cache has for a key id.
enum Found {
    /// The final answer.
    Final(Result<CachedKey, TokenError>),
    /// A key that is due for a refresh but usable.
    Stale,
    /// No usable key.
    Nothing,
}

impl KeyCache {
    /// An empty cache of the keys at an URL.
    pub(crate) fn new(url: String, health: Arc<Health>) -> Self {
        KeyCache { url, health, state: Mutex::default(), fetching: tokio::sync::Mutex::default() }
    }

    /// The key with an id. Fetches the keys when they are due, until the deadline at most.
    ///
    /// # Errors
    ///
    /// The pool does not have the key, it is not usable, or the keys could not be fetched.
    pub(crate) async fn find(&self, client: &Client, kid: &str, received: ClockReading, deadline: Deadline) -> Result<CachedKey, TokenError> {
        let deadline = match self.cached(kid, clock::read_since(received)) {
            Found::Final(result) => return result,
            Found::Stale => deadline.sooner(Instant::now(), REFRESH_WAIT),
            Found::Nothing => deadline,
        };
        let Ok(_fetching) = deadline.run(self.fetching.lock()).await else {
            return self.state().after_fetch(kid, clock::read_since(received), FailureReason::Timeout);
        };
        if let Found::Final(result) = self.cached(kid, clock::read_since(received)) {
            return result;
        }
        let fetched = deadline.run(self.fetch(client, received)).await.unwrap_or(Err(FailureReason::Timeout));
        let now = clock::read_since(received);
        let mut state = self.state();
        state.attempted = Some(now);
        state.failure = fetched.as_ref().err().copied();
        match fetched {
            Ok(keys) => state.keys = Some((keys, now)),
            Err(cause) => {
                Health::count(&self.health.signing_key_failures);
                tracing::warn!(cause = cause.as_label(), "could not fetch the signing keys of a user pool");
            }
        }
        let cause = state.failure.unwrap_or(FailureReason::BadAnswer);
        state.after_fetch(kid, now, cause)
    }

    async fn fetch(&self, client: &Client, received: ClockReading) -> Result<KeySet, FailureReason> {
        let response = client.send(received, |client| client.get(&self.url)).await.map_err(|failure| failure.cause)?;
        let response = response.require_ok().await.map_err(|failure| failure.cause)?;
        let body = response.body(MAX_BODY).await.map_err(|failure| failure.cause)?;
        KeySet::parse(&body).ok_or(FailureReason::BadAnswer)
    }

    fn cached(&self, kid: &str, now: ClockReading) -> Found {
        let state = self.state();
        let interval = if state.failure.is_some() { RETRY_INTERVAL } else { REFRESH_INTERVAL };
        let may_fetch = state.attempted.is_none_or(|attempted| now.since(attempted) >= interval);
        let is_fresh = state.age(now).is_some_and(|age| age < FRESH_FOR);
        let key = state.find(kid, now);
        match &key {
            Some(Ok(_)) if is_fresh || !may_fetch => Found::Final(state.after_fetch(kid, now, FailureReason::Timeout)),
            Some(Ok(_)) => Found::Stale,
            Some(Err(_)) | None if may_fetch => Found::Nothing,
            Some(Err(_)) | None => Found::Final(state.after_fetch(kid, now, state.failure.unwrap_or(FailureReason::BadAnswer))),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn age(&self, now: ClockReading) -> Option<Duration> {
        self.keys.as_ref().map(|(_, fetched)| now.since(*fetched))
    }

    /// The key with an id in a set that is not too old.
    fn find(&self, kid: &str, now: ClockReading) -> Option<Result<DecodingKey, TokenError>> {
        let is_usable = self.age(now).is_some_and(|age| age < FRESH_FOR + STALE_FOR);
        self.keys.as_ref().filter(|_| is_usable).map(|(keys, _)| keys.find(kid))
    }

    /// The answer when no further fetch is made: `cause` is why there are no keys.
    fn after_fetch(&self, kid: &str, now: ClockReading, cause: FailureReason) -> Result<CachedKey, TokenError> {
        let is_fresh = self.age(now).is_some_and(|age| age < FRESH_FOR);
        match self.find(kid, now) {
            Some(Ok(key)) => Ok(CachedKey { key, stale: self.failure.filter(|_| !is_fresh) }),
            // The key may be newer than the set.
            Some(Err(TokenError::UnknownKey)) if self.failure.is_some() => Err(TokenError::KeysUnavailable(cause)),
            Some(Err(error)) => Err(error),
            None => Err(TokenError::KeysUnavailable(cause)),
        }
    }
}
