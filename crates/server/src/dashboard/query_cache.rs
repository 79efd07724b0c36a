//! Answers of the dashboard's queries, cached for a second or longer. A query walks over all stored rows, so one runs at a time, on a thread of
//! its own, and pages that ask the same share its answer.
//!
//! After each query the cache pauses for nineteen times as long as it took, so that open pages take at most a twentieth of a core from the
//! sign-ins, however many there are and whatever they ask. In a pause a page gets its last answer again, up to `MAX_AGE`. What was not asked
//! before, as after a click, is answered at once.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use tokio::{sync::Semaphore, time::Instant};

/// How long an answer counts as new.
const FRESH: Duration = Duration::from_secs(1);

/// How old an answer may become while the cache pauses.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The pause after a query, as a multiple of its duration.
const PAUSE: u32 = 19;

/// The longest pause after one query.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The most answers that are cached.
const MAX_ANSWERS: usize = 128;

/// Cached answers by query.
#[derive(Debug)]
pub struct QueryCache {
    state: Mutex<State>,
    running: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    /// Each with the time when its computation started.
    answers: HashMap<String, (Instant, Bytes)>,
    /// Until when known answers are not computed again, unless they are too old.
    paused_until: Option<Instant>,
    /// Increases when the answers are forgotten: an answer that was being computed then is not cached.
    generation: u64,
}

impl Default for QueryCache {
    fn default() -> Self {
        QueryCache { state: Mutex::default(), running: Semaphore::new(1) }
    }
}

impl QueryCache {
    /// The answer to a query, from the cache or from `compute`. `None` when the computation failed.
    pub async fn answer(&self, query: String, compute: impl FnOnce() -> Bytes + Send + 'static) -> Option<Bytes> {
        if let Some(answer) = self.lock().find(&query, Instant::now()) {
            return Some(answer);
        }
        let _permit = self.running.acquire().await.ok()?;
        // Another page may have asked the same in the meantime.
        if let Some(answer) = self.lock().find(&query, Instant::now()) {
            return Some(answer);
        }
        let (started, generation) = (Instant::now(), self.lock().generation);
        let answer = tokio::task::spawn_blocking(compute).await.ok()?;
        self.lock().insert(query, &answer, generation, (started, Instant::now()));
        Some(answer)
    }

    /// Forgets every answer, after an action has changed what they say.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.answers.clear();
        state.generation += 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// An answer that need not be computed again now.
    fn find(&self, query: &str, now: Instant) -> Option<Bytes> {
        let (at, answer) = self.answers.get(query)?;
        let longest = if self.paused_until.is_some_and(|until| now < until) { MAX_AGE } else { FRESH };
        (now.saturating_duration_since(*at) < longest).then(|| answer.clone())
    }

    fn insert(&mut self, query: String, answer: &Bytes, generation: u64, (started, now): (Instant, Instant)) {
        let pause = (now.saturating_duration_since(started) * PAUSE).min(MAX_PAUSE);
        // Queries that did not wait for the pause prolong it.
        self.paused_until = Some((self.paused_until.map_or(now, |until| until.max(now)) + pause).min(now + MAX_AGE));
        if self.generation != generation {
            return;
        }
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.retain(|_, (at, _)| now.saturating_duration_since(*at) < MAX_AGE);
        }
        if self.answers.len() < MAX_ANSWERS {
            self.answers.insert(query, (started, answer.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn pages_that_ask_the_same_share_one_computation() {
        let (cache, computed) = (QueryCache::default(), Arc::new(AtomicU32::new(0)));
        let ask = |query: &str| {
            let computed = Arc::clone(&computed);
            cache.answer(query.to_owned(), move || {
                computed.fetch_add(1, Ordering::Relaxed);
                Bytes::from_static(b"{}")
            })
        };
        let answers = futures_util::future::join_all((0..20).map(|_| ask("a"))).await;
        assert!(answers.iter().all(Option::is_some));
        assert_eq!(computed.load(Ordering::Relaxed), 1);
        ask("b").await;
        cache.clear();
        ask("a").await;
        assert_eq!(computed.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn pages_with_different_queries_take_a_twentieth_of_a_core_together() {
        let (mut state, start) = (State::default(), Instant::now());
        let (mut now, mut busy, mut oldest) = (start, Duration::ZERO, Duration::ZERO);
        let cost = Duration::from_millis(20);
        let mut computed: HashMap<String, Instant> = HashMap::new();
        // Twenty pages that ask every two seconds, for two minutes.
        for turn in 0..1200_u32 {
            now = now.max(start + Duration::from_millis(100) * turn);
            let query = format!("page {}", turn % 20);
            if state.find(&query, now).is_none() {
                let started = now;
                now += cost;
                busy += cost;
                computed.insert(query.clone(), started);
                state.insert(query.clone(), &Bytes::from_static(b"{}"), 0, (started, now));
            }
            oldest = oldest.max(now.saturating_duration_since(computed[&query]));
        }
        assert!(busy <= (now - start) / 19, "{busy:?} of {:?}", now - start);
        assert!(oldest < MAX_AGE, "{oldest:?}");
    }

    #[test]
    fn an_answer_from_before_an_action_is_not_cached() {
        let (mut state, now) = (State::default(), Instant::now());
        state.generation = 1;
        state.insert("a".to_owned(), &Bytes::from_static(b"{}"), 0, (now, now));
        assert_eq!(state.find("a", now), None);
        state.insert("a".to_owned(), &Bytes::from_static(b"{}"), 1, (now, now));
        assert!(state.find("a", now).is_some() && state.find("a", now + FRESH).is_none());
    }
}
