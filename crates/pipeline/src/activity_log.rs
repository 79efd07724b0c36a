//! Decisions and outcomes for `riskgate dashboard --store`, written to the activity table of a shared store.
//!
//! The answer to a sign-in never waits for them. The sidecar collects them for half a second and writes them together in the background. Lambda
//! writes them after its answer and before the next event is requested, like the audit line. A process writes at most a burst of rows and then
//! `ROWS_PER_SECOND`; decisions beyond that have no row, but are counted. A failed write is counted and logged, and is not repeated.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio::time::Instant;

use crate::enricher::Enricher;
use riskgate_config::pseudonym::Pseudonyms;
use riskgate_engine::{
    decision::Verdict,
    evidence::{FailureReason, store_parts::StorePart},
};
use riskgate_event::response::Assessment;
use riskgate_runtime::{deadline::Deadline, health::Health, mode::RuntimeMode, session_health::SessionEvent};
use riskgate_store::{
    Store,
    activity::{ActivityBatch, ActivityCounts, ActivityRow, RowOrder},
};
use riskgate_telemetry::{
    audit::{AuditLine, Part},
    outcome::{Members, OutcomeLine, SignInOutcome},
};

/// Rows that a process may write at once.
const MAX_BURST: f64 = 1000.0;

/// Rows that a process may write a second, once the burst is used up.
const ROWS_PER_SECOND: f64 = 50.0;

/// This share of the burst is for users with a history and for outcomes: a flood of invented names leaves it to them.
const RESERVED: f64 = 0.5;

/// The longest row in bytes. A longer one is counted as a decision without a row.
const MAX_ROW_BYTES: usize = 8 * 1024;

/// In Lambda, the counts of this many decisions without a row are written without waiting for the next row.
const MAX_COUNTED: u32 = 100;

/// How long the sidecar collects rows before it writes them.
const COLLECTED: Duration = Duration::from_millis(500);

/// How long a write in the background may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Collects decisions and outcomes, and writes them.
#[derive(Debug)]
pub struct ActivityLog {
    runtime_mode: RuntimeMode,
    ttl: Duration,
    pending: Arc<Mutex<Pending>>,
    is_writing: Arc<AtomicBool>,
}

/// What is not written yet.
#[derive(Debug)]
struct Pending {
    batch: ActivityBatch,
    /// Rows that may be written now.
    allowance: f64,
    renewed_at: Option<Instant>,
    /// Decisions without a row since the last row: by severity, then degraded ones.
    skipped: [u32; 5],
    rows: u64,
}

/// Whose row it is, for the allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowKind {
    /// A decision about a user with a history, or an outcome.
    Known,
    /// A decision about any other name.
    Unknown,
}

impl ActivityLog {
    /// A log for `ACTIVITY_TTL`; zero turns it off. A command writes none.
    pub fn new(ttl: Duration, runtime_mode: RuntimeMode) -> Self {
        let pending = Pending { batch: ActivityBatch::default(), allowance: MAX_BURST, renewed_at: None, skipped: [0; 5], rows: 0 };
        ActivityLog { runtime_mode, ttl, pending: Arc::new(Mutex::new(pending)), is_writing: Arc::default() }
    }

    /// Records a decision. In Lambda it waits until the row is written or the deadline has passed; otherwise it returns at once.
    pub async fn record_decision(&self, enricher: &Enricher, assessment: &Assessment, deadline: Deadline) {
        let Some(store) = self.store(enricher) else { return };
        let evidence = &assessment.decision.score.signals.evidence;
        self.lock().add_decision(assessment, &enricher.pseudonyms(), evidence.sign_in.received.mono.into());
        let unavailable = evidence.history_outcome.cause().filter(|_| self.runtime_mode == RuntimeMode::Lambda);
        match unavailable {
            // The store did not answer this sign-in, so the write would wait for nothing.
            Some(cause) => {
                self.lock().take();
                enricher.health().store.report(StorePart::Activity, Some(cause), Instant::now());
            }
            None => self.write(store, enricher, evidence.sign_in.received.wall, deadline).await,
        }
    }

    /// Records an outcome that a caller of the sidecar or an operator reported. `line` has more members of its line.
    pub async fn record_outcome(&self, enricher: &Enricher, outcome: &SignInOutcome<'_>, now: Timestamp, deadline: Deadline) {
        let (Some(store), Some(id)) = (self.store(enricher), outcome.id) else { return };
        let pseudonyms = enricher.pseudonyms();
        let line = OutcomeLine { outcome, pseudonyms: &pseudonyms, members: Members::Audit }.to_line();
        self.lock().add_outcome(id, &line, now, Instant::now());
        self.write(store, enricher, now, deadline).await;
    }

    /// Records that the session of a sign-in was judged, in a second row of the same decision.
    pub async fn record_session(&self, enricher: &Enricher, assessment: &Assessment, result: SessionEvent, now: Timestamp, deadline: Deadline) {
        let Some(store) = self.store(enricher) else { return };
        let sign_in = &assessment.decision.score.signals.evidence.sign_in;
        let pseudonyms = enricher.pseudonyms();
        let mut line = Vec::new();
        AuditLine { assessment, pseudonyms: &pseudonyms, part: Part::Session(result) }.write_to(&mut line);
        let user = if sign_in.user.key().is_empty() { SmolStr::default() } else { pseudonyms.audit_user(&sign_in.pool, &sign_in.user) };
        self.lock().add_row(user, &format!("{}-session", assessment.id), &line, now, Instant::now());
        self.write(store, enricher, now, deadline).await;
    }

    /// Writes what is pending, before the process ends.
    pub async fn flush(&self, enricher: &Enricher, now: Timestamp, deadline: Deadline) {
        if let Some(store) = self.store(enricher) {
            let batch = self.lock().take();
            write(&*store, enricher.health(), batch, (self.ttl, now), deadline).await;
        }
    }

    fn store(&self, enricher: &Enricher) -> Option<Arc<dyn Store>> {
        if self.ttl.is_zero() || self.runtime_mode == RuntimeMode::Command {
            return None;
        }
        let repository = enricher.repository()?;
        repository.store().has_activity().then(|| Arc::clone(repository.store()))
    }

    async fn write(&self, store: Arc<dyn Store>, enricher: &Enricher, now: Timestamp, deadline: Deadline) {
        if self.runtime_mode == RuntimeMode::Lambda {
            let Some(batch) = self.lock().take_due() else { return };
            let deadline = deadline.sooner(Instant::now(), enricher.store_timeout());
            return write(&*store, enricher.health(), batch, (self.ttl, now), deadline).await;
        }
        if self.is_writing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (pending, is_writing, ttl, health) = (Arc::clone(&self.pending), Arc::clone(&self.is_writing), self.ttl, Arc::clone(enricher.health()));
        tokio::spawn(async move {
            tokio::time::sleep(COLLECTED).await;
            // From here on, a new row starts another task.
            is_writing.store(false, Ordering::Release);
            let batch = lock(&pending).take();
            let now = now.checked_add(COLLECTED).unwrap_or(now);
            write(&*store, &health, batch, (ttl, now), Deadline::after(Instant::now(), WRITE_TIMEOUT)).await;
        });
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }
}

impl Pending {
    fn add_decision(&mut self, assessment: &Assessment, pseudonyms: &Pseudonyms, now: Instant) {
        let decision = &assessment.decision;
        let evidence = &decision.score.signals.evidence;
        let sign_in = &evidence.sign_in;
        let (severity, degraded) = (severity(decision.verdict), decision.is_degraded());
        let kind = if evidence.history.profile.successes > 0 { RowKind::Known } else { RowKind::Unknown };
        let mut counts = ActivityCounts { degraded: u64::from(degraded), ..ActivityCounts::default() };
        counts.decisions[severity] = 1;
        let mut line = Vec::new();
        if self.admit(kind, now) {
            AuditLine { assessment, pseudonyms, part: Part::Activity(self.skipped) }.write_to(&mut line);
        }
        match row_text(&line) {
            Some(what) => {
                let key = sign_in.user.key();
                let user = if key.is_empty() { SmolStr::default() } else { pseudonyms.user(&sign_in.pool, key) };
                self.batch.rows.push(ActivityRow { user, at: sign_in.received.wall, id: assessment.id.clone(), what, order: RowOrder::ByTime });
                self.skipped = [0; 5];
                counts.rows = 1;
            }
            None => {
                self.skipped[severity] += 1;
                self.skipped[4] += u32::from(degraded);
            }
        }
        self.batch.count(sign_in.received.wall, counts);
    }

    /// Adds the row of an outcome. It names no user.
    fn add_outcome(&mut self, id: &str, line: &[u8], at: Timestamp, now: Instant) {
        self.rows += 1;
        // Several outcomes of a decision may arrive in one millisecond.
        self.add_row(SmolStr::default(), &format!("{id}-{}", self.rows), line, at, now);
    }

    fn add_row(&mut self, user: SmolStr, id: &str, line: &[u8], at: Timestamp, now: Instant) {
        if self.admit(RowKind::Known, now)
            && let Some(what) = row_text(line)
        {
            self.batch.rows.push(ActivityRow { user, at, id: id.into(), what, order: RowOrder::ByTime });
        }
    }

    /// Takes a row from the allowance, unless too little is left.
    fn admit(&mut self, kind: RowKind, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.renewed_at.unwrap_or(now));
        self.renewed_at = Some(self.renewed_at.map_or(now, |renewed_at| renewed_at.max(now)));
        self.allowance = (self.allowance + elapsed.as_secs_f64() * ROWS_PER_SECOND).min(MAX_BURST);
        let reserve = if kind == RowKind::Known { 0.0 } else { MAX_BURST * RESERVED };
        let is_admitted = self.allowance - 1.0 >= reserve;
        if is_admitted {
            self.allowance -= 1.0;
        }
        is_admitted
    }

    /// What has to be written now. In a flood, counts wait for the next row, so the sign-ins' own writes have the capacity of the table.
    fn take_due(&mut self) -> Option<ActivityBatch> {
        let waiting: u32 = self.skipped[..4].iter().sum();
        let is_due = !self.batch.rows.is_empty() || (waiting > 0 && waiting.is_multiple_of(MAX_COUNTED));
        is_due.then(|| self.take())
    }

    fn take(&mut self) -> ActivityBatch {
        std::mem::take(&mut self.batch)
    }
}

/// Writes a batch by a deadline, and reports the result.
async fn write(store: &dyn Store, health: &Health, batch: ActivityBatch, (ttl, now): (Duration, Timestamp), deadline: Deadline) {
    if batch.is_empty() {
        return;
    }
    let written = deadline.run(store.put_activity(&batch, ttl, now)).await;
    let cause = written.unwrap_or(Err(FailureReason::Timeout)).err();
    health.store.report(StorePart::Activity, cause, Instant::now());
}

/// The text of a row without the line break; `None` if it is empty or too long.
fn row_text(line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?.trim_end();
    (!text.is_empty() && text.len() <= MAX_ROW_BYTES).then(|| text.to_owned())
}

fn severity(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Review => 1,
        Verdict::Challenge => 2,
        Verdict::Deny => 3,
    }
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Pending {
        Pending { batch: ActivityBatch::default(), allowance: MAX_BURST, renewed_at: None, skipped: [0; 5], rows: 0 }
    }

    #[test]
    fn a_flood_of_unknown_names_leaves_rows_to_known_users() {
        let (mut pending, start) = (pending(), Instant::now());
        let admitted = |pending: &mut Pending, kind, now| (0..5000).filter(|_| pending.admit(kind, now)).count();
        assert_eq!(admitted(&mut pending, RowKind::Unknown, start), 500);
        assert_eq!(admitted(&mut pending, RowKind::Known, start), 500);
        assert_eq!(admitted(&mut pending, RowKind::Known, start + Duration::from_secs(2)), 100);
        // A reading of the clock that is older than the last one renews nothing.
        assert_eq!(admitted(&mut pending, RowKind::Known, start), 0);
        assert_eq!(admitted(&mut pending, RowKind::Known, start + Duration::from_secs(3600)), 1000);
    }

    #[test]
    fn in_a_flood_counts_wait_for_the_next_row_but_not_for_ever() {
        let mut pending = pending();
        let count = |pending: &mut Pending| {
            pending.skipped[3] += 1;
            pending.batch.count(Timestamp::UNIX_EPOCH, ActivityCounts { decisions: [0, 0, 0, 1], ..ActivityCounts::default() });
            pending.take_due().map(|batch| batch.hours[&0].decisions[3])
        };
        let written: Vec<u64> = (0..250).filter_map(|_| count(&mut pending)).collect();
        assert_eq!(written, [100, 100]);
        pending.add_outcome("01X", b"{}\n", Timestamp::UNIX_EPOCH, Instant::now());
        assert_eq!(pending.take_due().map(|batch| batch.hours[&0].decisions[3]), Some(50));
    }

    #[test]
    fn outcomes_of_one_millisecond_have_separate_rows() {
        let mut pending = pending();
        let at = Timestamp::UNIX_EPOCH;
        (0..2).for_each(|_| pending.add_outcome("01X", b"{\"outcome\":\"fraud\"}\n", at, Instant::now()));
        let batch = pending.take();
        assert_eq!(batch.rows.len(), 2);
        assert_ne!(batch.rows[0].id, batch.rows[1].id);
        assert!(pending.take().is_empty());
    }
}
