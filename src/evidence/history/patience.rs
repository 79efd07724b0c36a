//! Leaving a store alone that does not answer: every sign-in would wait for it in vain.

use std::{
    sync::{Mutex, PoisonError},
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

#[derive(Debug, Default)]
struct State {
    run: u32,
    until: Option<Instant>,
}

impl Patience {
    /// Whether the store may be asked. While it is being left alone, one caller in each pause may try.
    pub fn is_left(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.until {
            Some(until) if now < until => false,
            Some(_) => {
                state.until = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    /// It answered.
    pub fn answered(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// It did not.
    pub fn failed(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.run = state.run.saturating_add(1);
        if state.run >= RUN {
            state.until = Some(now + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_five_failures_one_caller_in_five_seconds_asks() {
        let (patience, now) = (Patience::default(), Instant::now());
        (0..4).for_each(|_| patience.failed(now));
        assert!(patience.is_left(now));
        patience.failed(now);
        assert!(!patience.is_left(now + PAUSE / 2));
        assert!(patience.is_left(now + PAUSE));
        assert!(!patience.is_left(now + PAUSE));
        patience.answered();
        assert!(patience.is_left(now));
    }
}
