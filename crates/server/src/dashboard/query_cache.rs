//! Answers of the dashboard's queries, cached for a second or longer. A query walks over all stored rows, so one runs at a time, on a thread of
//! its own, and pages that ask the same share its answer. An answer that took long is cached longer, so that they take at most a
//! twentieth of a core from the sign-ins.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use tokio::{sync::Semaphore, time::Instant};

/// How long an answer is cached at least, and at most.
const CACHED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// An answer is cached this many times as long as its computation took.
const REUSE: u32 = 20;

/// The most answers that are cached.
const MAX_ANSWERS: usize = 128;

/// Cached answers by query.
#[derive(Debug)]
pub struct QueryCache {
    /// Each with the time until which it is valid.
    answers: Mutex<HashMap<String, (Instant, Bytes)>>,
    running: Semaphore,
}

impl Default for QueryCache {
    fn default() -> Self {
        QueryCache { answers: Mutex::default(), running: Semaphore::new(1) }
    }
}

impl QueryCache {
    /// The answer to a query, from the cache or from `compute`. `None` when the computation failed.
    pub async fn answer(&self, query: String, compute: impl FnOnce() -> Bytes + Send + 'static) -> Option<Bytes> {
        if let Some(answer) = self.find(&query) {
            return Some(answer);
        }
        let _permit = self.running.acquire().await.ok()?;
        // Another page may have asked the same in the meantime.
        if let Some(answer) = self.find(&query) {
            return Some(answer);
        }
        let started = Instant::now();
        let answer = tokio::task::spawn_blocking(compute).await.ok()?;
        let now = Instant::now();
        let until = now + (now.duration_since(started) * REUSE).clamp(CACHED.0, CACHED.1);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, (until, _)| now < *until);
        }
        if answers.len() < MAX_ANSWERS {
            answers.insert(query, (until, answer.clone()));
        }
        Some(answer)
    }

    /// Forgets every answer, after an action has changed what they say.
    pub fn clear(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn find(&self, query: &str) -> Option<Bytes> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(query).filter(|(until, _)| Instant::now() < *until).map(|(_, answer)| answer.clone())
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
}
