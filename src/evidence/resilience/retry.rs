//! The one retry rule: a second attempt only where the first never reached the service, and only from a budget.
//!
//! Cognito may repeat a call that timed out, so riskgate tries at most twice, and paid calls are never hedged.

use std::sync::atomic::{AtomicU32, Ordering};

/// Tenths of a token that a success earns: retries stay under a tenth of the calls.
const EARNED: u32 = 1;

/// Tenths of a token that a retry costs.
const COST: u32 = 10;

/// Tenths of a token at the start and at most: ten retries in a row.
const MOST: u32 = 100;

/// A token bucket that successes fill and retries empty.
#[derive(Debug)]
pub struct RetryBudget(AtomicU32);

impl RetryBudget {
    /// Pays for one retry, if the budget allows it.
    pub fn spend(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(COST)).is_ok()
    }

    /// Counts a success.
    pub fn earn(&self) {
        // Full is the usual state: then nothing is written, and no cache line moves between cores.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left < MOST).then_some(left + EARNED));
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        RetryBudget(AtomicU32::new(MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stay_under_a_tenth_of_the_successes() {
        let budget = RetryBudget::default();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
        for _ in 0..99 {
            budget.earn();
        }
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 9);
    }
}
