//! The deadline of a sign-in. It is set once, when the request has been read, and passed to every stage.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use futures_util::poll;
use tokio::time::Instant;

/// The time on the monotonic clock by which all work for a request must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// The deadline passed before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl Deadline {
    /// The deadline that is `budget` after `start`.
    pub fn after(start: impl Into<Instant>, budget: Duration) -> Self {
        Deadline(start.into() + budget)
    }

    /// The earlier of this deadline and `limit` from now.
    pub fn sooner(self, now: Instant, limit: Duration) -> Self {
        Deadline(self.0.min(now + limit))
    }

    /// This deadline moved earlier by `slice`, which is reserved for later work.
    pub fn reserving(self, slice: Duration) -> Self {
        Deadline(self.0.checked_sub(slice).unwrap_or(self.0))
    }

    /// The time that is left; zero when the deadline has passed.
    pub fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// The deadline as a time on the monotonic clock.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Runs a future until the deadline.
    ///
    /// # Errors
    ///
    /// `Elapsed` when the deadline passes first; the future is dropped.
    pub async fn run<F: Future>(self, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        // A result that is ready at once needs no timer, such as one from a store in memory.
        match poll!(future.as_mut()) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending => tokio::time::timeout_at(self.0, future).await.map_err(|_| Elapsed),
        }
    }
}
