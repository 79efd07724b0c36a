//! The memory cache and its policy: how long an answer is fresh, and when an expired one may still be used.
//!
//! moka bounds the memory and evicts entries. Expiry is computed here, because moka's clock cannot be paused in tests and does not
//! see the wall clock. Only answers can be stored, so a failure is never cached (invariant 8).

use std::{sync::Arc, time::Duration};

use riskgate_config::services::CacheConfig;
use riskgate_engine::{evidence::Answer, time::ClockReading};
use riskgate_runtime::mode::RuntimeMode;

/// Entries expire earlier by up to this share, so entries of the same moment do not expire together.
const JITTER: f64 = 0.1;

/// The cached answers of one service, by the cache key of the request.
#[derive(Debug)]
pub struct Cache {
    entries: moka::sync::Cache<u128, CacheEntry>,
    config: CacheConfig,
    runtime_mode: RuntimeMode,
}

/// The result of a cache look-up.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// A fresh answer; `None` is "nothing known".
    Fresh(Option<Arc<Answer>>),
    /// An expired answer that may be returned at once and is then refreshed in the background.
    Revalidate(Arc<Answer>),
    /// An expired answer that may replace a failed call, and its age.
    Stale(Arc<Answer>, Duration),
    /// No usable entry.
    Missing,
}

/// An answer and the time of its request, by both clocks.
#[derive(Debug, Clone)]
pub struct CacheEntry {
    answer: Option<Arc<Answer>>,
    requested: ClockReading,
}

impl Cache {
    /// An empty cache.
    pub fn new(config: CacheConfig, runtime_mode: RuntimeMode) -> Self {
        Cache { entries: moka::sync::Cache::new(config.capacity), config, runtime_mode }
    }

    /// Looks up a key at `now`.
    pub fn look_up(&self, key: u128, now: ClockReading) -> Lookup {
        match self.entries.get(&key) {
            Some(entry) => entry.evaluate(now, key, &self.config, self.runtime_mode),
            None => Lookup::Missing,
        }
    }

    /// Evaluates an entry of another tier at `now`.
    pub fn evaluate(&self, entry: CacheEntry, key: u128, now: ClockReading) -> Lookup {
        entry.evaluate(now, key, &self.config, self.runtime_mode)
    }

    /// How long an entry can be used, including as a stale one.
    pub fn lifetime(&self, answer: Option<&Answer>) -> Duration {
        match answer {
            Some(_) => self.config.ttl.saturating_add(self.config.stale_for),
            None => self.config.negative_ttl,
        }
    }

    /// Runs moka's pending maintenance, which it otherwise does during look-ups.
    pub fn run_pending_tasks(&self) {
        self.entries.run_pending_tasks();
    }

    /// Stores an answer, "nothing known" included.
    pub fn insert(&self, key: u128, entry: CacheEntry) {
        self.entries.insert(key, entry);
    }
}

impl CacheEntry {
    /// An answer to a request that was made at `requested`.
    pub fn new(answer: Option<Answer>, requested: ClockReading) -> Self {
        CacheEntry { answer: answer.map(Arc::new), requested }
    }

    /// The answer, whether it has expired or not.
    pub fn answer(&self) -> Option<&Answer> {
        self.answer.as_deref()
    }

    /// The answer by value.
    pub fn into_answer(self) -> Option<Arc<Answer>> {
        self.answer
    }

    /// When the request was made.
    pub fn requested(&self) -> ClockReading {
        self.requested
    }

    /// Evaluates the entry at `now`.
    fn evaluate(self, now: ClockReading, key: u128, config: &CacheConfig, runtime_mode: RuntimeMode) -> Lookup {
        let age = now.since(self.requested);
        let Some(mut answer) = self.answer else {
            // "Nothing known" is soon outdated, so it never replaces a failed call.
            return if age < jittered(config.negative_ttl, key) { Lookup::Fresh(None) } else { Lookup::Missing };
        };
        if answer.is_expired(age) {
            match answer.at(age) {
                Some(next) => answer = next,
                None => return Lookup::Missing,
            }
        }
        let ttl = jittered(config.ttl, key);
        if age < ttl {
            Lookup::Fresh(Some(answer))
        } else if age >= ttl + config.stale_for {
            Lookup::Missing
        } else if runtime_mode == RuntimeMode::Sidecar && age < ttl + config.ttl.min(config.stale_for) {
            // Returned at once up to twice the TTL. For older answers, the service is queried first.
            Lookup::Revalidate(answer)
        } else {
            Lookup::Stale(answer, age)
        }
    }
}

/// A time shortened by up to a tenth, always the same for a key.
fn jittered(time: Duration, key: u128) -> Duration {
    let share = f64::from((key >> 64) as u16) / f64::from(u16::MAX);
    time.mul_f64(1.0 - JITTER * share)
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;

    use super::*;
    use riskgate_engine::evidence::{Expiry, Risk};
    use riskgate_runtime::clock;

    const CONFIG: CacheConfig =
        CacheConfig { capacity: 100, ttl: Duration::from_secs(100), stale_for: Duration::from_secs(1000), negative_ttl: Duration::from_secs(10) };

    fn answer() -> Answer {
        Answer::new(Risk::Score(50.0), SmallVec::new())
    }

    fn later(now: ClockReading, mono: f64, wall: f64) -> ClockReading {
        let wall = now.wall + jiff::SignedDuration::from_secs_f64(wall);
        ClockReading { wall, mono: now.mono + Duration::from_secs_f64(mono) }
    }

    #[track_caller]
    fn check(answer: Option<Answer>, runtime_mode: RuntimeMode, mono: f64, wall: f64, expected: &str) {
        let requested = clock::read();
        // A key without jitter.
        let found = CacheEntry::new(answer, requested).evaluate(later(requested, mono, wall), 0, &CONFIG, runtime_mode);
        let name = match found {
            Lookup::Fresh(Some(_)) => "fresh",
            Lookup::Fresh(None) => "negative",
            Lookup::Revalidate(_) => "revalidate",
            Lookup::Stale(..) => "stale",
            Lookup::Missing => "missing",
        };
        assert_eq!(name, expected, "after {mono} s on the monotonic clock and {wall} s on the wall clock");
    }

    #[test]
    fn an_answer_is_fresh_then_stale_then_missing() {
        for (age, lambda, sidecar) in [
            (0.0, "fresh", "fresh"),
            (99.9, "fresh", "fresh"),
            (100.0, "stale", "revalidate"),
            (199.9, "stale", "revalidate"),
            (200.0, "stale", "stale"),
            (1099.9, "stale", "stale"),
            (1100.0, "missing", "missing"),
        ] {
            check(Some(answer()), RuntimeMode::Lambda, age, age, lambda);
            check(Some(answer()), RuntimeMode::Sidecar, age, age, sidecar);
        }
    }

    #[test]
    fn nothing_known_has_its_own_ttl_and_never_becomes_stale() {
        check(None, RuntimeMode::Lambda, 9.9, 9.9, "negative");
        check(None, RuntimeMode::Lambda, 10.0, 10.0, "missing");
    }

    #[test]
    fn an_answer_is_not_used_after_its_expiry() {
        let expiring = |after, then| Answer { expiry: Some(Box::new(Expiry { after: Duration::from_secs(after), then })), ..answer() };
        let review = Answer { risk: Risk::Review, ..expiring(500, None) };
        for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
            check(Some(expiring(30, None)), runtime_mode, 29.9, 0.0, "fresh");
            check(Some(expiring(30, None)), runtime_mode, 30.0, 0.0, "missing");
            check(Some(expiring(30, None)), runtime_mode, 0.0, 30.0, "missing");
            check(Some(expiring(250, None)), runtime_mode, 249.9, 0.0, "stale");
            check(Some(expiring(250, None)), runtime_mode, 250.0, 0.0, "missing");
            check(Some(expiring(30, Some(review.clone()))), runtime_mode, 30.0, 0.0, "fresh");
            check(Some(expiring(30, Some(review.clone()))), runtime_mode, 499.9, 0.0, "stale");
            check(Some(expiring(30, Some(review.clone()))), runtime_mode, 500.0, 0.0, "missing");
        }
        assert_eq!(Arc::new(expiring(30, Some(review))).at(Duration::from_secs(30)).map(|answer| answer.risk), Some(Risk::Review));
    }

    #[test]
    fn either_clock_can_expire_an_entry() {
        check(Some(answer()), RuntimeMode::Lambda, 0.1, 3600.0, "missing");
        check(Some(answer()), RuntimeMode::Lambda, 3600.0, 0.1, "missing");
        check(Some(answer()), RuntimeMode::Lambda, 5.0, -3600.0, "fresh");
    }

    #[test]
    fn jitter_shortens_times_by_a_tenth_at_most() {
        for key in [0, 1 << 64, u128::MAX, 12_345 << 60] {
            let shortened = jittered(CONFIG.ttl, key);
            assert!(shortened <= CONFIG.ttl && shortened >= CONFIG.ttl.mul_f64(0.9), "{shortened:?}");
        }
        assert!(jittered(CONFIG.ttl, u128::MAX) < jittered(CONFIG.ttl, 0));
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let cache = Cache::new(CONFIG, RuntimeMode::Sidecar);
        for key in 0..10_000 {
            cache.insert(key, CacheEntry::new(Some(answer()), clock::read()));
        }
        cache.run_pending_tasks();
        assert!(cache.entries.entry_count() <= CONFIG.capacity);
    }
}
