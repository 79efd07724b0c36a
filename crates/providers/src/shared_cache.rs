//! The shared store as second cache tier and as common counter of all processes.
//!
//! Each access is bounded by `STORE_TIMEOUT` and skipped while the store's breaker is open.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};
use tokio::time::Instant;

use crate::cache::CacheEntry;
use riskgate_engine::{
    evidence::{Answer, Expiry, FailureReason, Risk, store_parts::StorePart},
    time::ClockReading,
};
use riskgate_runtime::{deadline::Deadline, health::Health};
use riskgate_store::{EntryTime, MissingWindow, Store, WindowEntry, breaker::StoreBreaker};

/// The store that all processes share. Failures are reported in `Health` and otherwise treated as a missing value.
#[derive(Clone)]
pub struct SharedCache {
    store: Arc<dyn Store>,
    breaker: Arc<StoreBreaker>,
    health: Arc<Health>,
    timeout: Duration,
}

/// A cached answer as JSON in the store. A value of another form is ignored.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct StoredAnswer {
    /// When the request was made, in milliseconds since 1970.
    #[serde(rename = "made")]
    requested: i64,
    /// `None` is "nothing known".
    #[serde(rename = "said", skip_serializing_if = "Option::is_none")]
    risk: Option<StoredRisk>,
}

/// A risk with its reason codes and its expiry. It has either a score or a category.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct StoredRisk {
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(rename = "word", skip_serializing_if = "Option::is_none")]
    category: Option<Category>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    codes: Vec<SmolStr>,
    /// When the service itself ends it, in milliseconds after the request.
    #[serde(rename = "ends", default, skip_serializing_if = "Option::is_none")]
    expires_after: Option<u64>,
    /// The risk after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    then: Option<Box<StoredRisk>>,
}

/// A risk without a score.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Category {
    Neutral,
    Ban,
    Review,
}

impl SharedCache {
    /// A shared cache in `store` with a timeout for each access.
    pub fn new(store: Arc<dyn Store>, breaker: Arc<StoreBreaker>, health: Arc<Health>, timeout: Duration) -> Self {
        SharedCache { store, breaker, health, timeout }
    }

    /// Reads the answer that some process stored.
    pub(crate) async fn get(&self, key: u128, now: ClockReading) -> Option<CacheEntry> {
        let bytes = self.run(self.store.get(&cache_key(key), now.wall)).await??;
        StoredAnswer::decode(&bytes, now)
    }

    /// Stores an answer for all processes.
    pub(crate) async fn put(&self, key: u128, entry: &CacheEntry, ttl: Duration) {
        let requested = entry.requested().wall;
        let bytes = StoredAnswer::new(entry.answer(), requested).to_bytes();
        // Best effort: if the write fails, another process queries the service itself.
        self.run(self.store.put(&cache_key(key), &bytes, ttl, requested)).await.unwrap_or_default();
    }

    /// Announces a call to the other processes, which may then wait for its answer. Returns whether this process is the first.
    /// `None` if the store fails.
    pub(crate) async fn claim_call(&self, key: u128, ttl: Duration, now: ClockReading) -> Option<bool> {
        let own = rand::random::<u64>().to_be_bytes();
        let stored = self.run(self.store.put_if_absent(&format!("asking:{key:032x}"), &own, ttl, now.wall)).await?;
        Some(stored == own)
    }

    /// Increments a counter unless it has reached `limit`. Returns whether it was incremented, or `None` if the store fails.
    pub(crate) async fn increment_up_to(&self, key: &str, limit: u64, ttl: Duration, now: ClockReading) -> Option<bool> {
        self.run(self.store.increment_up_to(key, limit, ttl, now.wall)).await
    }

    /// Adds an address to those that were queried for an account. Returns the number of different addresses in the last hour, or
    /// `None` if the store fails.
    pub(crate) async fn add_queried_address(&self, account: u128, address: u64, now: ClockReading) -> Option<usize> {
        let [a, b, c, d, e, f, g, h] = address.to_be_bytes();
        let entry = WindowEntry { account: u32::from_be_bytes([a, b, c, d]), host: u32::from_be_bytes([e, f, g, h]) };
        let (window, time) = ([format_smolstr!("asked:{account:032x}")], EntryTime { at: now.wall, now: now.wall });
        self.run(self.store.add_to_window(&window, entry, MissingWindow::Create, time))
            .await
            .map(|windows| windows.windows.first().map_or(0, |entries| entries.len()))
    }

    /// Runs an access to the store with timeout, breaker and report.
    async fn run<T>(&self, call: impl Future<Output = Result<T, FailureReason>>) -> Option<T> {
        let now = Instant::now();
        let permit = self.breaker.admit(now)?;
        let answer = Deadline::after(now, self.timeout).run(call).await.unwrap_or(Err(FailureReason::Timeout));
        match &answer {
            // The store works, although one value cannot be decoded.
            Ok(_) | Err(FailureReason::BadAnswer | FailureReason::TooLarge) => self.breaker.succeed(permit),
            Err(_) => self.breaker.fail(permit, Instant::now()),
        }
        self.health.store.report(StorePart::SharedCache, answer.as_ref().err().copied(), now);
        answer.ok()
    }
}

fn cache_key(key: u128) -> String {
    format!("answer:{key:032x}")
}

impl StoredAnswer {
    fn new(answer: Option<&Answer>, requested: Timestamp) -> Self {
        StoredAnswer { requested: requested.as_millisecond(), risk: answer.map(StoredRisk::new) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an answer can be encoded as JSON")
    }

    fn decode(bytes: &[u8], now: ClockReading) -> Option<CacheEntry> {
        let StoredAnswer { requested, risk } = serde_json::from_slice(bytes).ok()?;
        let answer = match risk {
            None => None,
            Some(risk) => Some(risk.into_answer()?),
        };
        let wall = Timestamp::from_millisecond(requested).ok()?;
        // The clock of the other process may be ahead: a time in the future counts as now.
        let age = Duration::try_from(now.wall.duration_since(wall)).unwrap_or_default();
        Some(CacheEntry::new(answer, ClockReading { wall, mono: now.mono.checked_sub(age).unwrap_or(now.mono) }))
    }
}

impl StoredRisk {
    fn new(answer: &Answer) -> Self {
        let (score, category) = match answer.risk {
            Risk::Score(score) => (Some(score), None),
            Risk::Neutral => (None, Some(Category::Neutral)),
            Risk::Ban => (None, Some(Category::Ban)),
            Risk::Review => (None, Some(Category::Review)),
        };
        let (expires_after, then) = match &answer.expiry {
            Some(expiry) => (u64::try_from(expiry.after.as_millis()).ok(), expiry.then.as_ref().map(|then| Box::new(StoredRisk::new(then)))),
            None => (None, None),
        };
        StoredRisk { score, category, codes: answer.codes.to_vec(), expires_after, then }
    }

    fn into_answer(self) -> Option<Answer> {
        let risk = match (self.score, self.category) {
            (Some(score), None) if (0.0..=100.0).contains(&score) => Risk::Score(score),
            (None, Some(Category::Neutral)) => Risk::Neutral,
            (None, Some(Category::Ban)) => Risk::Ban,
            (None, Some(Category::Review)) => Risk::Review,
            (Some(_) | None, _) => return None,
        };
        let then = self.then.and_then(|then| then.into_answer());
        let expiry = self.expires_after.map(|after| Box::new(Expiry { after: Duration::from_millis(after), then }));
        Some(Answer { risk, codes: self.codes.into(), expiry })
    }
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;

    use super::*;
    use riskgate_runtime::clock;

    #[test]
    fn stored_answers_are_decoded_and_other_values_are_ignored() {
        let now = clock::read();
        for risk in [Risk::Score(0.0), Risk::Score(87.5), Risk::Neutral, Risk::Ban, Risk::Review] {
            let plain = Answer::new(risk, SmallVec::from_iter(["tor".into(), "a b".into()]));
            let until = |after, then| Some(Box::new(Expiry { after: Duration::from_millis(after), then }));
            let answer = Answer { expiry: until(1_500, Some(Answer { expiry: until(60_000, None), ..plain.clone() })), ..plain.clone() };
            assert_eq!(StoredAnswer::decode(&StoredAnswer::new(Some(&plain), now.wall).to_bytes(), now).expect("an entry").answer(), Some(&plain));
            let read = StoredAnswer::decode(&StoredAnswer::new(Some(&answer), now.wall).to_bytes(), now).expect("an entry");
            assert_eq!(read.answer(), Some(&answer));
        }
        assert_eq!(StoredAnswer::decode(&StoredAnswer::new(None, now.wall).to_bytes(), now).expect("an entry").answer(), None);
        for forged in ["", "7", "{}", r#"{"made":1,"said":{}}"#, r#"{"made":1,"said":{"score":101}}"#, r#"{"made":1,"said":{"score":1e400}}"#] {
            assert!(StoredAnswer::decode(forged.as_bytes(), now).is_none(), "{forged}");
        }
    }
}
