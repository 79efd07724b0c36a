//! The cache's whole policy: what is kept, for how long, and what an old answer is good for.
//!
//! moka bounds the memory and chooses what goes; the times are ours, because its clock is not.
//! Nothing here waits, and nothing but an answer can be stored: a failure has no way in (invariant 8).

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    config::services::CacheConfig,
    event::Now,
    evidence::{Answer, resilience::Face},
};

/// Expiry is drawn forward by up to this share, so that answers of one moment do not all expire in one.
const JITTER: f64 = 0.1;

/// Answers of one service, by what was sent.
#[derive(Debug)]
pub struct Cache {
    entries: moka::sync::Cache<u128, Entry>,
    times: CacheConfig,
    face: Face,
}

/// What a cache has on a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// An answer within its time; `None` is "nothing known".
    Fresh(Option<Answer>),
    /// An answer that is served now, and to be refreshed after the sign-in has its own.
    Revalidate(Answer),
    /// An answer that is good if the service fails, and its age.
    Stale(Answer, Duration),
    /// Nothing.
    Missing,
}

/// An answer with the moment of its making, by both clocks.
#[derive(Debug, Clone)]
pub struct Entry {
    answer: Option<Answer>,
    made: Now,
}

// === impl Cache ===

impl Cache {
    /// An empty cache.
    pub fn new(times: CacheConfig, face: Face) -> Self {
        Cache { entries: moka::sync::Cache::new(times.capacity), times, face }
    }

    /// What there is on a question at `now`.
    pub fn look_up(&self, key: u128, now: Now) -> Lookup {
        match self.entries.get(&key) {
            Some(entry) => entry.at(now, key, &self.times, self.face),
            None => Lookup::Missing,
        }
    }

    /// What an entry of another tier is good for.
    pub fn judge(&self, entry: Entry, key: u128, now: Now) -> Lookup {
        entry.at(now, key, &self.times, self.face)
    }

    /// How long an entry is good for anything at all.
    pub fn lifetime(&self, answer: Option<&Answer>) -> Duration {
        match answer {
            Some(_) => self.times.ttl.saturating_add(self.times.stale_for),
            None => self.times.negative_ttl,
        }
    }

    /// Lets moka do the housekeeping that it otherwise does along with look-ups.
    pub fn settle(&self) {
        self.entries.run_pending_tasks();
    }

    /// Keeps an answer, "nothing known" included.
    pub fn keep(&self, key: u128, entry: Entry) {
        self.entries.insert(key, entry);
    }
}

// === impl Entry ===

impl Entry {
    /// An answer that was made at `made`.
    pub fn new(answer: Option<Answer>, made: Now) -> Self {
        Entry { answer, made }
    }

    /// The answer, whatever it is good for.
    pub fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// What it is good for at `now`.
    fn at(self, now: Now, key: u128, times: &CacheConfig, face: Face) -> Lookup {
        let age = self.age(now);
        let Some(mut answer) = self.answer else {
            // "Nothing known" is quickly outdated and cheap to ask again: it never stands in for a failed call.
            return if age < jittered(times.negative_ttl, key) { Lookup::Fresh(None) } else { Lookup::Missing };
        };
        if answer.has_ended(age) {
            match answer.at(age) {
                Some(rest) => answer = rest,
                None => return Lookup::Missing,
            }
        }
        let ttl = jittered(times.ttl, key);
        if age < ttl {
            Lookup::Fresh(Some(answer))
        } else if age >= ttl + times.stale_for {
            Lookup::Missing
        } else if face == Face::Sidecar && age < ttl + times.ttl.min(times.stale_for) {
            // Served at once while it is at most twice as old as it should be; older ones are asked for again first.
            Lookup::Revalidate(answer)
        } else {
            Lookup::Stale(answer, age)
        }
    }

    /// The greater of the ages by the two clocks: the monotonic one may have stood still in a freeze, the wall clock may have been set back.
    fn age(&self, now: Now) -> Duration {
        let mono = now.mono.saturating_duration_since(self.made.mono);
        let wall = Duration::try_from(now.wall.duration_since(self.made.wall)).unwrap_or_default();
        mono.max(wall)
    }
}

/// A time drawn forward by up to a tenth, the same for the same key.
fn jittered(time: Duration, key: u128) -> Duration {
    let share = f64::from((key >> 64) as u16) / f64::from(u16::MAX);
    time.mul_f64(1.0 - JITTER * share)
}

/// The moment now, with the wall clock of the sign-in moved on by what has passed since.
pub fn moment(received: Now) -> Now {
    moment_at(Instant::now(), received)
}

/// The same for a moment of the monotonic clock.
pub fn moment_at(mono: Instant, received: Now) -> Now {
    let passed = jiff::SignedDuration::try_from(mono.saturating_duration_since(received.mono)).unwrap_or_default();
    Now { wall: received.wall.checked_add(passed).unwrap_or(received.wall), mono }
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;

    use super::*;
    use crate::evidence::{Expiry, Risk};

    const TIMES: CacheConfig =
        CacheConfig { capacity: 100, ttl: Duration::from_secs(100), stale_for: Duration::from_secs(1000), negative_ttl: Duration::from_secs(10) };

    fn answer() -> Answer {
        Answer::new(Risk::Score(50.0), SmallVec::new())
    }

    fn later(now: Now, mono: f64, wall: f64) -> Now {
        let wall = now.wall + jiff::SignedDuration::from_secs_f64(wall);
        Now { wall, mono: now.mono + Duration::from_secs_f64(mono) }
    }

    #[track_caller]
    fn check(answer: Option<Answer>, face: Face, mono: f64, wall: f64, expected: &str) {
        let made = Now::read();
        // A key without jitter.
        let found = Entry::new(answer, made).at(later(made, mono, wall), 0, &TIMES, face);
        let name = match found {
            Lookup::Fresh(Some(_)) => "fresh",
            Lookup::Fresh(None) => "negative",
            Lookup::Revalidate(_) => "revalidate",
            Lookup::Stale(..) => "stale",
            Lookup::Missing => "missing",
        };
        assert_eq!(name, expected, "after {mono} s, by the wall {wall} s");
    }

    #[test]
    fn an_answer_is_fresh_then_stale_then_gone() {
        for (age, lambda, sidecar) in [
            (0.0, "fresh", "fresh"),
            (99.9, "fresh", "fresh"),
            (100.0, "stale", "revalidate"),
            (199.9, "stale", "revalidate"),
            (200.0, "stale", "stale"),
            (1099.9, "stale", "stale"),
            (1100.0, "missing", "missing"),
        ] {
            check(Some(answer()), Face::Lambda, age, age, lambda);
            check(Some(answer()), Face::Sidecar, age, age, sidecar);
        }
    }

    #[test]
    fn nothing_known_has_a_time_of_its_own_and_no_afterlife() {
        check(None, Face::Lambda, 9.9, 9.9, "negative");
        check(None, Face::Lambda, 10.0, 10.0, "missing");
    }

    #[test]
    fn an_answer_that_ends_is_not_served_afterwards() {
        let lasting = |after, then| Answer { expiry: Some(Box::new(Expiry { after: Duration::from_secs(after), then })), ..answer() };
        let review = Answer { risk: Risk::Review, ..lasting(500, None) };
        for face in [Face::Lambda, Face::Sidecar] {
            check(Some(lasting(30, None)), face, 29.9, 0.0, "fresh");
            check(Some(lasting(30, None)), face, 30.0, 0.0, "missing");
            check(Some(lasting(30, None)), face, 0.0, 30.0, "missing");
            check(Some(lasting(250, None)), face, 249.9, 0.0, "stale");
            check(Some(lasting(250, None)), face, 250.0, 0.0, "missing");
            check(Some(lasting(30, Some(review.clone()))), face, 30.0, 0.0, "fresh");
            check(Some(lasting(30, Some(review.clone()))), face, 499.9, 0.0, "stale");
            check(Some(lasting(30, Some(review.clone()))), face, 500.0, 0.0, "missing");
        }
        assert_eq!(lasting(30, Some(review)).at(Duration::from_secs(30)).map(|answer| answer.risk), Some(Risk::Review));
    }

    #[test]
    fn either_clock_can_end_it() {
        check(Some(answer()), Face::Lambda, 0.1, 3600.0, "missing");
        check(Some(answer()), Face::Lambda, 3600.0, 0.1, "missing");
        check(Some(answer()), Face::Lambda, 5.0, -3600.0, "fresh");
    }

    #[test]
    fn jitter_draws_forward_by_a_tenth_at_most() {
        for key in [0, 1 << 64, u128::MAX, 12_345 << 60] {
            let drawn = jittered(TIMES.ttl, key);
            assert!(drawn <= TIMES.ttl && drawn >= TIMES.ttl.mul_f64(0.9), "{drawn:?}");
        }
        assert!(jittered(TIMES.ttl, u128::MAX) < jittered(TIMES.ttl, 0));
    }

    #[test]
    fn memory_is_bounded() {
        let cache = Cache::new(TIMES, Face::Sidecar);
        for key in 0..10_000 {
            cache.keep(key, Entry::new(Some(answer()), Now::read()));
        }
        cache.settle();
        assert!(cache.entries.entry_count() <= TIMES.capacity);
    }
}
