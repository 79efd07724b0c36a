//! Leaving a store alone that does not answer: every sign-in would wait for it in vain.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row after which the store is left alone.
const RUN: u32 = 5;

/// For so long; then one sign-in tries again.
const PAUSE: Duration = Duration::from_secs(5);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub struct Patience {
    state: Mutex<State>,
}

/// The right to call the store once, and the generation in which it was given.
#[derive(Debug)]
pub struct StorePermit(u64);

#[derive(Debug, Default)]
struct State {
    run: u32,
    until: Option<Instant>,
    /// Grows each time the breaker opens, closes or admits a probe. A call of an earlier generation decides nothing.
    generation: u64,
}

impl Patience {
    /// Permits a call of the store. While the store is left alone, one caller in each pause may probe it.
    pub fn admit(&self, now: Instant) -> Option<StorePermit> {
        let mut state = self.locked();
        if let Some(until) = state.until {
            if now < until {
                return None;
            }
            state.until = Some(now + PAUSE);
            state.generation += 1;
        }
        Some(StorePermit(state.generation))
    }

    /// Records that a permitted call was answered.
    pub fn succeed(&self, permit: StorePermit) {
        let mut state = self.locked();
        if state.generation == permit.0 {
            let generation = state.generation + u64::from(state.until.is_some());
            *state = State { generation, ..State::default() };
        }
    }

    /// Records that a permitted call failed.
    pub fn fail(&self, permit: StorePermit, now: Instant) {
        let mut state = self.locked();
        if state.generation != permit.0 {
            return;
        }
        state.run = state.run.saturating_add(1);
        if state.run >= RUN {
            state.until = Some(now + PAUSE);
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

    fn permit(patience: &Patience, now: Instant) -> StorePermit {
        patience.admit(now).expect("a permit")
    }

    /// A breaker that has just opened.
    fn opened(now: Instant) -> Patience {
        let patience = Patience::default();
        (0..RUN).for_each(|_| patience.fail(permit(&patience, now), now));
        assert!(patience.admit(now).is_none());
        patience
    }

    #[test]
    fn after_five_failures_one_caller_in_five_seconds_asks() {
        let (patience, now) = (Patience::default(), Instant::now());
        (0..4).for_each(|_| patience.fail(permit(&patience, now), now));
        patience.fail(permit(&patience, now), now);
        assert!(patience.admit(now + PAUSE / 2).is_none());
        let probe = permit(&patience, now + PAUSE);
        assert!(patience.admit(now + PAUSE).is_none());
        patience.succeed(probe);
        permit(&patience, now + PAUSE);
        permit(&patience, now + PAUSE);
    }

    #[test]
    fn a_late_success_does_not_end_a_pause() {
        let (patience, now) = (Patience::default(), Instant::now());
        let (before, also_before) = (permit(&patience, now), permit(&patience, now));
        (0..RUN).for_each(|_| patience.fail(permit(&patience, now), now));
        patience.succeed(before);
        assert!(patience.admit(now).is_none(), "the pause goes on");
        let probe = permit(&patience, now + PAUSE);
        patience.succeed(also_before);
        assert!(patience.admit(now + PAUSE).is_none(), "only the probe decides");
        patience.succeed(probe);
        permit(&patience, now + PAUSE);
    }

    #[test]
    fn a_late_failure_neither_extends_a_pause_nor_ends_what_a_probe_showed() {
        let (patience, now) = (Patience::default(), Instant::now());
        let earlier: Vec<StorePermit> = (0..2 * RUN).map(|_| permit(&patience, now)).collect();
        let mut earlier = earlier.into_iter();
        (0..RUN).for_each(|_| patience.fail(permit(&patience, now), now));
        earlier.by_ref().take(5).for_each(|permit| patience.fail(permit, now + PAUSE / 2));
        let probe = permit(&patience, now + PAUSE);
        patience.succeed(probe);
        earlier.for_each(|permit| patience.fail(permit, now + PAUSE));
        permit(&patience, now + PAUSE);
    }

    #[test]
    fn a_failed_probe_begins_the_next_pause() {
        let now = Instant::now();
        let patience = opened(now);
        let probe = permit(&patience, now + PAUSE);
        patience.fail(probe, now + PAUSE * 3 / 2);
        assert!(patience.admit(now + PAUSE * 2).is_none());
        permit(&patience, now + PAUSE * 5 / 2);
    }
}
