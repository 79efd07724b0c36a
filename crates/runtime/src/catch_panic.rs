//! Catches panics at the boundary of a request: a panic is counted and becomes an error value.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt as _;

use crate::health::Health;

/// The code panicked; the panic has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// Awaits a future that may panic.
///
/// # Errors
///
/// `Panicked` when it does.
pub fn catch_panic<T>(health: &Health, future: impl Future<Output = T>) -> impl Future<Output = Result<T, Panicked>> {
    // Unwind safety: what the future owns is dropped, and what it shares is atomics, channels and locks. Every write under
    // those locks is a single assignment, so no partial change is visible and poisoning is ignored.
    AssertUnwindSafe(future).catch_unwind().map(|outcome| outcome.map_err(|_| count_panic(health)))
}

/// Runs code that may panic.
///
/// # Errors
///
/// `Panicked` when it does.
pub fn catch_panic_sync<T>(health: &Health, code: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|_| count_panic(health))
}

fn count_panic(health: &Health) -> Panicked {
    Health::count(&health.panics);
    Panicked
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_and_is_counted() {
        let health = Health::default();
        assert_eq!(catch_panic(&health, async { 1 }).await, Ok(1));
        assert_eq!(catch_panic(&health, async { std::panic::panic_any(1) }).await, Err::<(), _>(Panicked));
        assert_eq!(catch_panic_sync(&health, || std::panic::panic_any(1)), Err::<(), _>(Panicked));
        assert_eq!(health.panics.load(Ordering::Relaxed), 2);
    }
}
