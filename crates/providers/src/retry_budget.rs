//! The retry budget: successes earn retries. Retries therefore stay under a tenth of the calls.

use std::sync::atomic::{AtomicU32, Ordering};

use tower::retry::budget::Budget;

/// Tenths of a token that a success earns.
const DEPOSIT: u32 = 1;

/// Tenths of a token that a retry costs.
const COST: u32 = 10;

/// Tenths of a token at the start and at most: ten retries in a row.
const MAX_BALANCE: u32 = 100;

/// A token bucket that successes fill and retries empty.
///
/// tower's `TpsBudget` does not fit: its deposits expire after a minute at most, and Lambda may make fewer calls than that.
#[derive(Debug)]
pub struct RetryBudget(AtomicU32);

impl Budget for RetryBudget {
    /// Counts a success.
    fn deposit(&self) {
        // A full bucket is the normal state. It is not written to, so its cache line does not move between cores.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| (balance < MAX_BALANCE).then_some(balance + DEPOSIT));
    }

    /// Pays for one retry if the budget allows it.
    fn withdraw(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| balance.checked_sub(COST)).is_ok()
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        RetryBudget(AtomicU32::new(MAX_BALANCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stay_under_a_tenth_of_the_successes() {
        let budget = RetryBudget::default();
        assert_eq!((0..100).filter(|_| budget.withdraw()).count(), 10);
        for _ in 0..99 {
            budget.deposit();
        }
        assert_eq!((0..100).filter(|_| budget.withdraw()).count(), 9);
    }
}
