//! Calls of the store whose end is counted, logged and in `/readyz` (invariant 13: nothing fails open in silence).

use std::future::Future;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Ledger;
use crate::evidence::{Cause, health::StoreHealth, history::unread::Part};

/// A call under way. One that a deadline cuts off has failed too.
struct PendingCall<'a> {
    health: &'a StoreHealth,
    part: Part,
    is_answered: bool,
}

/// The lists of a trigger after the sign-in.
struct ReportLists<'a>(&'a Ledger);

impl Ledger {
    /// Makes a call and reports how it ended.
    ///
    /// # Errors
    ///
    /// Those of the call.
    pub(super) async fn reported<T>(&self, part: Part, call: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
        let mut pending = PendingCall { health: &self.health.store, part, is_answered: false };
        let answer = call.await;
        pending.is_answered = true;
        self.health.store.report(part, answer.as_ref().err().copied(), Instant::now());
        answer
    }

    /// Makes a write that the sign-in can do without, and reports how it ended.
    pub(super) async fn report_write(&self, part: Part, write: impl Future<Output = Result<(), Cause>>) {
        // The report is all that is left to do about a failure.
        self.reported(part, write).await.unwrap_or_default();
    }

    /// Reads the lists that are due for a trigger after the sign-in, and reports whether they are as the store has them.
    pub(super) async fn refresh_and_report(&self, now: Timestamp) {
        // Reports when it is dropped: a deadline may cut the reads off.
        let _report = ReportLists(self);
        self.refresh(now).await;
    }
}

// === impl ReportLists ===

impl Drop for ReportLists<'_> {
    fn drop(&mut self) {
        let (unread, now) = (self.0.unread_lists(), Instant::now());
        for part in [Part::BlockList, Part::Templates] {
            self.0.health.store.report(part, unread.cause(part), now);
        }
    }
}

// === impl PendingCall ===

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.health.report(self.part, Some(Cause::Timeout), Instant::now());
        }
    }
}
