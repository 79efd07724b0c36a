//! A circuit breaker for the store. Without it, each sign-in would wait for the timeout of a store that does not answer.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Consecutive failures that open the breaker.
const MAX_FAILURES: u32 = 5;

/// How long the breaker stays open before one caller may probe the store.
const PAUSE: Duration = Duration::from_secs(5);

/// Opens after a number of consecutive failures.
#[derive(Debug, Default)]
pub struct StoreBreaker {
    state: Mutex<State>,
}

/// Permission for one call of the store, with the generation in which it was given.
#[derive(Debug)]
pub struct StorePermit(u64);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
    /// Incremented each time the breaker opens, closes or admits a probe. The result of a call from an earlier generation is ignored.
    generation: u64,
}

impl StoreBreaker {
    /// Permits a call of the store. While the breaker is open, one caller in each pause may probe the store.
    pub fn admit(&self, now: Instant) -> Option<StorePermit> {
        let mut state = self.locked();
        if let Some(until) = state.open_until {
            if now < until {
                return None;
            }
            state.open_until = Some(now + PAUSE);
            state.generation += 1;
        }
        Some(StorePermit(state.generation))
    }

    /// Whether a call would have to be the probe of a pause, or is not permitted at all.
    pub fn is_open(&self) -> bool {
        self.locked().open_until.is_some()
    }

    /// Records that a permitted call succeeded.
    pub fn succeed(&self, permit: StorePermit) {
        let mut state = self.locked();
        if state.generation == permit.0 {
            let generation = state.generation + u64::from(state.open_until.is_some());
            *state = State { generation, ..State::default() };
        }
    }

    /// Records that a permitted call failed.
    pub fn fail(&self, permit: StorePermit, now: Instant) {
        let mut state = self.locked();
        if state.generation != permit.0 {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= MAX_FAILURES {
            state.open_until = Some(now + PAUSE);
            state.generation += 1;
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(breaker: &StoreBreaker, now: Instant) -> StorePermit {
        breaker.admit(now).expect("a permit")
    }

    /// A breaker that has just opened.
    fn opened(now: Instant) -> StoreBreaker {
        let breaker = StoreBreaker::default();
        (0..MAX_FAILURES).for_each(|_| breaker.fail(permit(&breaker, now), now));
        assert!(breaker.admit(now).is_none());
        breaker
    }

    #[test]
    fn an_open_breaker_admits_one_probe_in_each_pause() {
        let (breaker, now) = (StoreBreaker::default(), Instant::now());
        (0..4).for_each(|_| breaker.fail(permit(&breaker, now), now));
        breaker.fail(permit(&breaker, now), now);
        assert!(breaker.admit(now + PAUSE / 2).is_none());
        let probe = permit(&breaker, now + PAUSE);
        assert!(breaker.admit(now + PAUSE).is_none());
        breaker.succeed(probe);
        permit(&breaker, now + PAUSE);
        permit(&breaker, now + PAUSE);
    }

    #[test]
    fn a_late_success_does_not_end_a_pause() {
        let (breaker, now) = (StoreBreaker::default(), Instant::now());
        let (before, also_before) = (permit(&breaker, now), permit(&breaker, now));
        (0..MAX_FAILURES).for_each(|_| breaker.fail(permit(&breaker, now), now));
        breaker.succeed(before);
        assert!(breaker.admit(now).is_none(), "the breaker stays open");
        let probe = permit(&breaker, now + PAUSE);
        breaker.succeed(also_before);
        assert!(breaker.admit(now + PAUSE).is_none(), "only the probe decides");
        breaker.succeed(probe);
        permit(&breaker, now + PAUSE);
    }

    #[test]
    fn a_late_failure_neither_extends_a_pause_nor_reopens_the_breaker() {
        let (breaker, now) = (StoreBreaker::default(), Instant::now());
        let earlier: Vec<StorePermit> = (0..2 * MAX_FAILURES).map(|_| permit(&breaker, now)).collect();
        let mut earlier = earlier.into_iter();
        (0..MAX_FAILURES).for_each(|_| breaker.fail(permit(&breaker, now), now));
        earlier.by_ref().take(5).for_each(|permit| breaker.fail(permit, now + PAUSE / 2));
        let probe = permit(&breaker, now + PAUSE);
        breaker.succeed(probe);
        earlier.for_each(|permit| breaker.fail(permit, now + PAUSE));
        permit(&breaker, now + PAUSE);
    }

    #[test]
    fn a_failed_probe_starts_the_next_pause() {
        let now = Instant::now();
        let breaker = opened(now);
        let probe = permit(&breaker, now + PAUSE);
        breaker.fail(probe, now + PAUSE * 3 / 2);
        assert!(breaker.admit(now + PAUSE * 2).is_none());
        permit(&breaker, now + PAUSE * 5 / 2);
    }
}
