//! Store calls whose results are reported: counted, logged and shown in `/readyz`.

use std::future::Future;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::repository::HistoryRepository;
use riskgate_engine::evidence::{FailureReason, store_parts::StorePart};
use riskgate_runtime::health::StoreHealth;

/// A call in progress. If a deadline cancels the call, it is reported as failed.
struct PendingCall<'a> {
    health: &'a StoreHealth,
    part: StorePart,
    is_answered: bool,
}

/// Reports the state of the lists when it is dropped.
struct ListsReport<'a>(&'a HistoryRepository);

impl HistoryRepository {
    /// Runs a call and reports its result.
    ///
    /// # Errors
    ///
    /// The error of the call.
    pub(super) async fn run_reported<T>(&self, part: StorePart, call: impl Future<Output = Result<T, FailureReason>>) -> Result<T, FailureReason> {
        let mut pending = PendingCall { health: &self.health.store, part, is_answered: false };
        let answer = call.await;
        pending.is_answered = true;
        self.health.store.report(part, answer.as_ref().err().copied(), Instant::now());
        answer
    }

    /// Runs a best-effort write and reports its result.
    pub(super) async fn report_write(&self, part: StorePart, write: impl Future<Output = Result<(), FailureReason>>) {
        // A failure needs no handling beyond the report.
        self.run_reported(part, write).await.unwrap_or_default();
    }

    /// Reports whether the decoy templates could be read. Unreadable entries are reported too, but do not make a sign-in degraded: the other
    /// entries replace them.
    pub fn report_templates(&self, cause: Option<FailureReason>, now: Instant) {
        let is_incomplete = self.templates.latest().unreadable() > 0;
        self.health.store.report(StorePart::Templates, cause.or(is_incomplete.then_some(FailureReason::BadAnswer)), now);
    }

    /// Reads the lists that are due at a trigger after the decision, and reports whether the reads failed.
    pub(super) async fn refresh_lists_and_report(&self, now: Timestamp) {
        // Reports on drop, because a deadline may cancel the reads.
        let _report = ListsReport(self);
        self.refresh_lists(now).await;
    }
}

impl Drop for ListsReport<'_> {
    fn drop(&mut self) {
        let (unread, now) = (self.0.unread_lists(), Instant::now());
        self.0.health.store.report(StorePart::BlockList, unread.cause(StorePart::BlockList), now);
        self.0.report_templates(unread.cause(StorePart::Templates), now);
    }
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.health.report(self.part, Some(FailureReason::Timeout), Instant::now());
        }
    }
}
