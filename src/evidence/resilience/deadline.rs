//! The one deadline of a sign-in: set when its request had been read, handed down, never restarted.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use futures_util::poll;
use tokio::time::Instant;

/// A moment on the monotonic clock by which everything must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// The deadline passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl Deadline {
    /// A deadline some time after a moment.
    pub fn after(start: Instant, budget: Duration) -> Self {
        Deadline(start + budget)
    }

    /// The earlier of this deadline and `limit` from now.
    pub fn sooner(self, now: Instant, limit: Duration) -> Self {
        Deadline(self.0.min(now + limit))
    }

    /// This deadline less a slice that is kept for later.
    pub fn reserving(self, slice: Duration) -> Self {
        Deadline(self.0.checked_sub(slice).unwrap_or(self.0))
    }

    /// What is left; zero when it has passed.
    pub fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// The moment itself.
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
        // What is there at once needs no timer: a store in memory, a body that came with its head.
        match poll!(future.as_mut()) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending => tokio::time::timeout_at(self.0, future).await.map_err(|_| Elapsed),
        }
    }
}
