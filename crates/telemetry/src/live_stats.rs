//! Live counters for the dashboard, updated for each assessed sign-in under one lock, without parsing or allocation.
//!
//! The counters hold labels, times and scores. Personal values appear only as the pseudonyms in the audit lines.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use smol_str::SmolStr;

use crate::latency::Latency;
use riskgate_config::pseudonym::UserKeys;
use riskgate_engine::{
    decision::Verdict,
    evidence::{FailureReason, Outcome, ProviderResult, Tier},
    score::reason::ReasonCode,
};
use riskgate_event::response::Assessment;
use riskgate_history::repository::outcome::ReportedOutcome;

/// Steps of half a point in a score from 0 to 100.
pub const SCORE_STEPS: usize = 201;

/// The number of audit lines in a snapshot. More sign-ins in a second are counted, and only these are listed.
const MAX_LINES: usize = 1000;

/// The number of outcomes in a snapshot.
const MAX_OUTCOMES: usize = 2000;

/// The number of annotations in a snapshot.
const MAX_ANNOTATIONS: usize = 8;

/// Sign-ins that are this many seconds old are imported history and are not shown as current.
const IMPORT_AGE: i64 = 3600;

/// Counters since the last snapshot.
#[derive(Debug)]
pub struct LiveStats {
    snapshot: Mutex<Snapshot>,
    /// When the last snapshot was taken, in seconds since 1970.
    taken_at: AtomicI64,
}

/// The counts between two calls of `LiveStats::take`.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Assessed sign-ins, including imported history.
    pub decided: u64,
    /// Counts by verdict, in the order of [`Verdict::ALL`].
    pub verdicts: [u32; Verdict::ALL.len()],
    /// Sign-ins that were assessed in degraded mode.
    pub degraded: u32,
    /// Counts by half point of the score.
    pub scores: [u32; SCORE_STEPS],
    /// Milliseconds from the complete request to the verdict.
    pub total: Latency,
    /// Milliseconds of each part.
    pub parts: Counts<&'static str, Latency>,
    /// Failures by reason.
    pub causes: Counts<FailureReason, u32>,
    /// Outcomes by source.
    pub outcomes: Counts<(&'static str, Outcome), u32>,
    /// Answers by cache tier. `None` means that the service was called.
    pub tiers: Counts<Option<Tier>, u32>,
    /// Counts and sums of weights by reason.
    pub reasons: Counts<ReasonCode, (u32, f64)>,
    /// The first audit lines.
    pub lines: Vec<LiveLine>,
    /// The first outcomes: the id of the decision, and the outcome.
    pub reports: Vec<(SmolStr, ReportedOutcome)>,
    /// Events to mark on the charts, such as a phase of the demo.
    pub annotations: Vec<&'static str>,
}

/// An audit line, and what an operator's action needs to find its user.
#[derive(Debug, Clone)]
pub struct LiveLine {
    /// The audit line.
    pub text: Arc<str>,
    /// The pseudonym of the user in the line; empty without a user.
    pub user: SmolStr,
    /// The keys of the user's records in the store.
    pub record_keys: UserKeys,
}

/// Sums by label. A linear search is faster than hashing, because there are at most a few dozen labels.
#[derive(Debug, Clone)]
pub struct Counts<K, V>(Vec<(K, V)>);

impl LiveStats {
    /// Counts a sign-in. `line` is called only when the snapshot needs another line.
    pub(super) fn count(&self, assessment: &Assessment, line: impl FnOnce() -> LiveLine) {
        let is_imported = assessment.decision.score.signals.evidence.sign_in.received.wall.as_second() < self.taken_at.load(Ordering::Relaxed) - IMPORT_AGE;
        let mut snapshot = self.lock();
        snapshot.decided += 1;
        if is_imported {
            return;
        }
        snapshot.count(assessment);
        if snapshot.lines.len() < MAX_LINES {
            snapshot.lines.push(line());
        }
    }

    /// Lists the outcome of a decision.
    pub(super) fn report(&self, id: &str, outcome: ReportedOutcome) {
        let mut snapshot = self.lock();
        if snapshot.reports.len() < MAX_OUTCOMES {
            snapshot.reports.push((id.into(), outcome));
        }
    }

    /// Marks the present second on the charts. At most eight marks a second are stored.
    pub fn annotate(&self, text: &'static str) {
        let mut snapshot = self.lock();
        if snapshot.annotations.len() < MAX_ANNOTATIONS {
            snapshot.annotations.push(text);
        }
    }

    /// Returns the counts since the last call and starts again from zero.
    pub fn take(&self, now: jiff::Timestamp) -> Snapshot {
        self.taken_at.store(now.as_second(), Ordering::Relaxed);
        let mut snapshot = self.lock();
        // The labels stay, which avoids allocations later.
        let zeroed = snapshot.zeroed();
        std::mem::replace(&mut *snapshot, zeroed)
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        // After a panic under the lock one sign-in is counted incompletely, which is harmless.
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LiveStats {
    fn default() -> Self {
        LiveStats { snapshot: Mutex::default(), taken_at: AtomicI64::new(i64::MIN / 2) }
    }
}

impl Snapshot {
    fn count(&mut self, assessment: &Assessment) {
        let decision = &assessment.decision;
        let evidence = &decision.score.signals.evidence;
        self.verdicts[decision.verdict as usize] += 1;
        self.degraded += u32::from(decision.is_degraded());
        self.scores[score_step(decision.score.value)] += 1;
        self.total.record(assessment.elapsed.as_secs_f64() * 1e3);
        let (took, history) = (evidence.took, evidence.history_outcome);
        let parts = [("networks", took.networks, Outcome::Fresh), ("history", took.history, history), ("evidence", took.total, Outcome::Fresh)];
        let services = || evidence.services.iter().map(|result| (result.service, result));
        let results = services().map(|(service, result)| (service.as_label(), result.took, result.outcome));
        for (part, took, outcome) in parts.into_iter().chain([("judge", assessment.evaluation, Outcome::Fresh)]).chain(results) {
            // A source that was not queried took no time and would distort the percentiles.
            if outcome != Outcome::NotCalled {
                self.parts.entry(part).record(took.as_secs_f64() * 1e3);
            }
        }
        for cause in evidence.services.iter().filter_map(ProviderResult::degraded).chain(history.cause()) {
            *self.causes.entry(cause) += 1;
        }
        for (source, outcome) in services().map(|(service, result)| (service.as_label(), result.outcome)).chain([("history", history)]) {
            if outcome != Outcome::NotCalled {
                *self.outcomes.entry((source, outcome)) += 1;
            }
        }
        for (_, result) in services().filter(|(_, result)| result.outcome != Outcome::NotCalled) {
            *self.tiers.entry(result.tier) += 1;
        }
        for reason in &decision.score.reasons {
            let (count, weight) = self.reasons.entry(reason.code);
            *count += 1;
            *weight += reason.weight;
        }
    }

    /// The same labels with all counts at zero.
    fn zeroed(&self) -> Self {
        Snapshot {
            parts: self.parts.zeroed(),
            causes: self.causes.zeroed(),
            outcomes: self.outcomes.zeroed(),
            tiers: self.tiers.zeroed(),
            reasons: self.reasons.zeroed(),
            ..Snapshot::default()
        }
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Snapshot {
            decided: 0,
            verdicts: [0; Verdict::ALL.len()],
            degraded: 0,
            scores: [0; SCORE_STEPS],
            total: Latency::default(),
            parts: Counts::default(),
            causes: Counts::default(),
            outcomes: Counts::default(),
            tiers: Counts::default(),
            reasons: Counts::default(),
            lines: Vec::new(),
            reports: Vec::new(),
            annotations: Vec::new(),
        }
    }
}

/// The index of a score's half point.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the steps")]
pub fn score_step(score: f64) -> usize {
    (score.clamp(0.0, 100.0) * 2.0) as usize
}

impl<K, V> Counts<K, V> {
    /// All labels with their sums. A label that did not occur has the default sum.
    pub fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.0.into_iter()
    }
}

impl<K: PartialEq + Copy, V: Default> Counts<K, V> {
    fn entry(&mut self, key: K) -> &mut V {
        let at = self.0.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.0.push((key, V::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    fn zeroed(&self) -> Self {
        Counts(self.0.iter().map(|(key, _)| (*key, V::default())).collect())
    }
}

impl<K, V> Default for Counts<K, V> {
    fn default() -> Self {
        Counts(Vec::new())
    }
}
