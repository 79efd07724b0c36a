//! What the page counts of each sign-in, folded where it is decided: a lock for some dozen additions, and nothing parsed or allocated.
//!
//! It knows no more of a person than the audit line does: labels, times and scores, and for the table a few lines themselves.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use super::latency::Latency;
use crate::{
    decision::Verdict,
    evidence::{Cause, Consultation, Outcome, Tier},
    response::{Assessment, http::is_degraded},
    score::ReasonCode,
};

/// Half points of a score, 0 to 100.
pub const SCORE_STEPS: usize = 201;

/// Lines that are kept of one beat: what eyes can follow.
const LINES: usize = 20;

/// Sign-ins that their caller dates this many seconds back are history that is played in, and no part of what happens now.
const PLAYED_IN: i64 = 3600;

/// Counts until somebody looks.
#[derive(Debug)]
pub struct Pulse {
    beat: Mutex<Beat>,
    /// When somebody last looked, in seconds since 1970.
    looked: AtomicI64,
}

/// What was counted between two looks.
#[derive(Debug, Clone)]
pub struct Beat {
    /// Sign-ins decided, those that were played in among them.
    pub decided: u64,
    /// Allow, review, deny.
    pub verdicts: [u32; 3],
    /// Decided with something missing.
    pub degraded: u32,
    /// By half points.
    pub scores: [u32; SCORE_STEPS],
    /// Milliseconds from the whole request read to the verdict.
    pub whole: Latency,
    /// Milliseconds of each part.
    pub parts: Counts<&'static str, Latency>,
    /// Why something was missing.
    pub causes: Counts<Cause, u32>,
    /// How each source answered.
    pub outcomes: Counts<(&'static str, Outcome), u32>,
    /// Which cache tier answered; none where the service was asked.
    pub tiers: Counts<Option<Tier>, u32>,
    /// Reasons and the sums of their weights.
    pub reasons: Counts<ReasonCode, (u32, f64)>,
    /// The first audit lines.
    pub lines: Vec<Arc<str>>,
}

/// Sums by label; a few dozen at most, so that looking through them beats hashing.
#[derive(Debug, Clone)]
pub struct Counts<K, V>(Vec<(K, V)>);

// === impl Pulse ===

impl Pulse {
    /// Counts a sign-in; `line` is made only when it is to be kept.
    pub(super) fn count(&self, assessment: &Assessment, line: impl FnOnce() -> Arc<str>) {
        let played_in = assessment.decision.score.signals.evidence.sign_in.received.wall.as_second() < self.looked.load(Ordering::Relaxed) - PLAYED_IN;
        let mut beat = self.lock();
        beat.decided += 1;
        if played_in {
            return;
        }
        beat.count(assessment);
        if beat.lines.len() < LINES {
            beat.lines.push(line());
        }
    }

    /// What was counted since the last look; `now` is the moment of this one.
    pub fn take(&self, now: jiff::Timestamp) -> Beat {
        self.looked.store(now.as_second(), Ordering::Relaxed);
        let mut beat = self.lock();
        // The labels stay, so that what follows finds its place.
        let fresh = beat.emptied();
        std::mem::replace(&mut *beat, fresh)
    }

    fn lock(&self) -> MutexGuard<'_, Beat> {
        // A panic in between leaves a sign-in half counted, which harms nothing.
        self.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse { beat: Mutex::default(), looked: AtomicI64::new(i64::MIN / 2) }
    }
}

// === impl Beat ===

impl Beat {
    fn count(&mut self, assessment: &Assessment) {
        let decision = &assessment.decision;
        let evidence = &decision.score.signals.evidence;
        self.verdicts[match decision.verdict {
            Verdict::Allow => 0,
            Verdict::Review => 1,
            Verdict::Deny => 2,
        }] += 1;
        self.degraded += u32::from(is_degraded(decision));
        self.scores[score_step(decision.score.value)] += 1;
        self.whole.record(assessment.elapsed.as_secs_f64() * 1e3);
        let (took, history) = (evidence.took, evidence.history_outcome);
        let parts = [("networks", took.networks, Outcome::Fresh), ("history", took.history, history), ("evidence", took.total, Outcome::Fresh)];
        let services = || evidence.services.iter().map(|asked| (asked.service, asked));
        let asked = services().map(|(service, asked)| (service.as_label(), asked.took, asked.outcome));
        for (part, took, outcome) in parts.into_iter().chain([("judge", assessment.judging, Outcome::Fresh)]).chain(asked) {
            // What was not asked took no time, and would pull the percentiles to nothing.
            if outcome != Outcome::NotAsked {
                self.parts.of(part).record(took.as_secs_f64() * 1e3);
            }
        }
        for cause in evidence.services.iter().filter_map(Consultation::degraded).chain(history.cause()) {
            *self.causes.of(cause) += 1;
        }
        for (source, outcome) in services().map(|(service, asked)| (service.as_label(), asked.outcome)).chain([("history", history)]) {
            if outcome != Outcome::NotAsked {
                *self.outcomes.of((source, outcome)) += 1;
            }
        }
        for (_, asked) in services().filter(|(_, asked)| asked.outcome != Outcome::NotAsked) {
            *self.tiers.of(asked.tier) += 1;
        }
        for reason in &decision.score.reasons {
            let (count, weight) = self.reasons.of(reason.code);
            *count += 1;
            *weight += reason.weight;
        }
    }

    /// The same labels with nothing counted.
    fn emptied(&self) -> Self {
        Beat {
            parts: self.parts.emptied(),
            causes: self.causes.emptied(),
            outcomes: self.outcomes.emptied(),
            tiers: self.tiers.emptied(),
            reasons: self.reasons.emptied(),
            ..Beat::default()
        }
    }
}

impl Default for Beat {
    fn default() -> Self {
        Beat {
            decided: 0,
            verdicts: [0; 3],
            degraded: 0,
            scores: [0; SCORE_STEPS],
            whole: Latency::default(),
            parts: Counts::default(),
            causes: Counts::default(),
            outcomes: Counts::default(),
            tiers: Counts::default(),
            reasons: Counts::default(),
            lines: Vec::new(),
        }
    }
}

/// The half point of a score.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the steps")]
pub fn score_step(score: f64) -> usize {
    (score.clamp(0.0, 100.0) * 2.0) as usize
}

// === impl Counts ===

impl<K, V> Counts<K, V> {
    /// Each label with its sum, those among them that were not met this time.
    pub fn each(self) -> impl Iterator<Item = (K, V)> {
        self.0.into_iter()
    }
}

impl<K: PartialEq + Copy, V: Default> Counts<K, V> {
    fn of(&mut self, key: K) -> &mut V {
        let at = self.0.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.0.push((key, V::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    fn emptied(&self) -> Self {
        Counts(self.0.iter().map(|(key, _)| (*key, V::default())).collect())
    }
}

impl<K, V> Default for Counts<K, V> {
    fn default() -> Self {
        Counts(Vec::new())
    }
}
