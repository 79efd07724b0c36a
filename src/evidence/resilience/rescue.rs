//! The outermost layer: a panic becomes a value, and is counted (invariant 2).

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt as _;

use crate::evidence::health::Health;

/// The code panicked; the panic has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// Awaits a future that may panic.
///
/// # Errors
///
/// `Panicked` when it does.
pub fn rescue<T>(health: &Health, future: impl Future<Output = T>) -> impl Future<Output = Result<T, Panicked>> {
    // Nothing half-changed is seen afterwards: what the future owns is dropped, what it shares is atomics, channels and
    // locks whose poison is ignored because every write under them is a single assignment.
    AssertUnwindSafe(future).catch_unwind().map(|outcome| outcome.map_err(|_| counted(health)))
}

/// Runs code that may panic.
///
/// # Errors
///
/// `Panicked` when it does.
pub fn rescue_now<T>(health: &Health, code: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|_| counted(health))
}

fn counted(health: &Health) -> Panicked {
    Health::count(&health.panics);
    Panicked
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_value_and_is_counted() {
        let health = Health::default();
        assert_eq!(rescue(&health, async { 1 }).await, Ok(1));
        assert_eq!(rescue(&health, async { std::panic::panic_any(1) }).await, Err::<(), _>(Panicked));
        assert_eq!(rescue_now(&health, || std::panic::panic_any(1)), Err::<(), _>(Panicked));
        assert_eq!(health.panics.load(Ordering::Relaxed), 2);
    }
}
