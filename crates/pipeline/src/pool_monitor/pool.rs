//! What a process knows about one pool, and the counts that it has not written yet.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use smol_str::SmolStr;

use riskgate_calibration::PoolScale;
use riskgate_engine::evidence::{Evidence, FailureReason, store_parts::StorePart};
use riskgate_pool::{
    AttackSummary, MINUTE, Status, Wave,
    attempt::{Increments, level_for},
};

/// Seconds after which the state is read again in the background.
pub(super) const REFRESH_SECONDS: i64 = 10;

/// Seconds after which a state that could not be read again is unknown.
const MAX_AGE_SECONDS: i64 = 60;

/// How long the counts of a minute are stored in a busy pool, which takes them up when the minute is over.
const BUSY_TTL: Duration = Duration::from_secs(15 * 60);

/// How long the counts of a minute are stored in a pool with so few sign-ins that no process may be there to take them up.
const QUIET_TTL: Duration = Duration::from_secs(6 * 3_600);

/// The most attempts in a minute of such a pool. More are stored for a shorter time, so that the minutes of a pool have less than a megabyte.
const QUIET_ATTEMPTS: u32 = 4;

/// The most minutes whose counts wait for a store that does not answer.
const MAX_MINUTES: usize = 10;

/// What a process knows about one pool.
#[derive(Debug)]
pub(super) struct Pool {
    /// The keyed hash of its id.
    pub(super) hash: u32,
    /// Its id. A reported outcome has the hash only.
    name: OnceLock<SmolStr>,
    view: ArcSwap<View>,
    /// When a sign-in last read the state, in seconds since 1970.
    queried_at: AtomicI64,
    buffer: Mutex<Buffer>,
}

/// The state of the detector as it was last read.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// When it was last read, in seconds since 1970; `None` before the first time.
    pub(super) read_at: Option<i64>,
    /// The first minute that was not taken up.
    pub(super) next: Option<i64>,
    /// Whether the pool is under attack.
    pub(super) status: Status,
    /// The attack in progress.
    pub(super) attack: Option<AttackSummary>,
    /// Its over-represented cells.
    pub(super) wave: Arc<Wave>,
    /// The pool's scale; `None` if nothing was counted, or if it cannot be used.
    pub(super) scale: Option<Arc<PoolScale>>,
    /// Whether the stored scale is damaged or of another version.
    pub(super) is_scale_damaged: bool,
    /// Why the last read failed; `None` if it succeeded.
    pub(super) cause: Option<FailureReason>,
}

/// Counts that are not written yet, and how busy the pool is.
#[derive(Debug, Default)]
struct Buffer {
    minutes: BTreeMap<i64, BTreeMap<SmolStr, u32>>,
    /// The minute of the last attempt.
    minute: i64,
    /// The attempts of that minute in this process.
    own: u32,
    /// The attempts of that minute in all processes, as far as known.
    all: u32,
    /// The attempts of the minute before.
    before: u32,
}

/// The counts of a minute, taken out to be written.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) minute: i64,
    /// The total is the first counter, if it is among them.
    pub(super) increments: Vec<(SmolStr, u32)>,
    pub(super) ttl: Duration,
}

impl Pool {
    pub(super) fn new(hash: u32) -> Self {
        Pool { hash, name: OnceLock::new(), view: ArcSwap::default(), queried_at: AtomicI64::new(i64::MIN), buffer: Mutex::default() }
    }

    pub(super) fn set_name(&self, name: &SmolStr) {
        if self.name.get().is_none() {
            // Another sign-in may have set the same name.
            let _ = self.name.set(name.clone());
        }
    }

    pub(super) fn name(&self) -> SmolStr {
        self.name.get().cloned().unwrap_or_default()
    }

    /// The key of its record and of its counters.
    pub(super) fn key(hash: u32) -> String {
        format!("p{hash:08x}")
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(super) fn set_view(&self, view: View) {
        self.view.store(Arc::new(view));
    }

    /// Records that the state could not be read. The last state stays in use until it is too old.
    pub(super) fn fail(&self, cause: FailureReason) {
        self.set_view(View { cause: Some(cause), ..View::clone(&self.view.load()) });
    }

    /// Whether a sign-in has to read the state. Once it has been read, one sign-in in each interval does so.
    pub(super) fn is_read_due(&self, now: i64) -> bool {
        let view = self.view.load();
        if view.is_known(now) {
            return false;
        }
        let last = self.queried_at.load(Ordering::Acquire);
        let is_due = view.read_at.is_none() || last == i64::MIN || now.abs_diff(last) >= REFRESH_SECONDS.unsigned_abs();
        is_due && (self.queried_at.compare_exchange(last, now, Ordering::AcqRel, Ordering::Relaxed).is_ok() || view.read_at.is_none())
    }

    /// Adds what a sign-in has in common with an attack in progress, or that the state is unknown.
    pub(super) fn add_wave(&self, evidence: &mut Evidence, now: i64) {
        let view = self.view.load();
        if !view.is_known(now) {
            evidence.history.unread.set(StorePart::AttackState, Some(view.cause.unwrap_or(FailureReason::Timeout)));
        } else if !view.wave.is_empty() {
            evidence.history.attack_wave = view.wave.matching(evidence);
        }
    }

    /// The pool's scale, or why it is unknown.
    pub(super) fn scale(&self, now: i64) -> Result<Option<Arc<PoolScale>>, FailureReason> {
        let view = self.view.load();
        if !view.is_known(now) {
            return Err(view.cause.unwrap_or(FailureReason::Timeout));
        }
        if view.is_scale_damaged { Err(FailureReason::BadAnswer) } else { Ok(view.scale.clone()) }
    }

    /// Counts an attempt with the counters that `increments` returns for a sampling level.
    pub(super) fn count_attempt(&self, minute: i64, increments: impl FnOnce(u8) -> Option<Increments>) {
        let mut buffer = self.buffer();
        let level = buffer.begin_attempt(minute);
        if let Some(increments) = increments(level) {
            buffer.add(minute, increments);
        }
    }

    pub(super) fn count(&self, minute: i64, increments: Increments) {
        self.buffer().add(minute, increments);
    }

    /// Takes out the counts that are not written yet.
    pub(super) fn take_counts(&self) -> Vec<Batch> {
        let mut buffer = self.buffer();
        let attempts = buffer.attempts().max(buffer.before);
        let ttl = if attempts > QUIET_ATTEMPTS { BUSY_TTL } else { QUIET_TTL };
        let minutes = std::mem::take(&mut buffer.minutes);
        drop(buffer);
        minutes.into_iter().map(|(minute, counters)| Batch { minute, increments: counters.into_iter().collect(), ttl }).collect()
    }

    pub(super) fn has_counts(&self) -> bool {
        !self.buffer().minutes.is_empty()
    }

    /// Whether nothing was counted lately and nothing waits to be written.
    pub(super) fn is_idle(&self, minute: i64) -> bool {
        let buffer = self.buffer();
        buffer.minutes.is_empty() && minute.abs_diff(buffer.minute) > 10
    }

    /// Records how many attempts all processes counted in a minute.
    pub(super) fn set_attempts(&self, minute: i64, attempts: u64) {
        let mut buffer = self.buffer();
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        if minute == buffer.minute {
            buffer.all = buffer.all.max(attempts);
        } else if minute + 1 == buffer.minute {
            buffer.before = buffer.before.max(attempts);
        }
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        // Consistent even after a panic under the lock, because each change is one step.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// Whether the state was read lately.
    pub(super) fn is_known(&self, now: i64) -> bool {
        self.read_at.is_some_and(|at| now.abs_diff(at) <= MAX_AGE_SECONDS.unsigned_abs())
    }
}

impl Buffer {
    fn attempts(&self) -> u32 {
        self.own.max(self.all)
    }

    /// Counts an attempt of this process. Returns the sampling level.
    fn begin_attempt(&mut self, minute: i64) -> u8 {
        if minute != self.minute {
            self.before = if minute == self.minute + 1 { self.attempts() } else { 0 };
            (self.minute, self.own, self.all) = (minute, 0, 0);
        }
        // The minute before counts from the start of a minute on: an attack does not pause there.
        let level = level_for(self.attempts().max(self.before));
        self.own = self.own.saturating_add(1);
        level
    }

    fn add(&mut self, minute: i64, increments: Increments) {
        let counters = self.minutes.entry(minute).or_default();
        for (name, value) in increments {
            let counter = counters.entry(name).or_default();
            *counter = counter.saturating_add(value);
        }
        while self.minutes.len() > MAX_MINUTES {
            self.minutes.pop_first();
        }
    }
}

/// The minute of a time in seconds since 1970.
pub(super) fn minute_of(second: i64) -> i64 {
    second.div_euclid(MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use riskgate_pool::attempt::{MAX_SAMPLED_PER_MINUTE, first_success};

    #[test]
    fn a_busy_minute_is_sampled_and_its_estimate_is_right() {
        let pool = Pool::new(7);
        let (mut counted, mut estimate) = (0, 0);
        for number in 0_u32..10_000 {
            pool.count_attempt(100, |level| {
                // Users are spread evenly over the hashes.
                let is_sampled = number.wrapping_mul(0x9e37_79b9) <= u32::MAX >> level;
                is_sampled.then(|| {
                    counted += 1;
                    estimate += 1_u32 << level;
                    Increments::from_iter([(SmolStr::new_static("a"), 1 << level)])
                })
            });
        }
        assert!(counted < 10 * MAX_SAMPLED_PER_MINUTE, "{counted} of 10,000 attempts were counted singly");
        assert!((9_000..11_000).contains(&estimate), "{estimate}");
        let batch = pool.take_counts().pop().expect("a minute");
        assert_eq!((batch.minute, batch.increments, batch.ttl), (100, vec![("a".into(), estimate)], BUSY_TTL));
        assert!(pool.take_counts().is_empty());
    }

    #[test]
    fn a_minute_after_a_busy_one_is_sampled_from_its_first_attempt() {
        let pool = Pool::new(7);
        pool.count_attempt(100, |_| None);
        pool.set_attempts(100, 1_000);
        let mut level = None;
        pool.count_attempt(101, |given| {
            level = Some(given);
            None
        });
        assert_eq!(level, Some(level_for(1_000)));
        pool.count_attempt(103, |given| {
            level = Some(given);
            None
        });
        assert_eq!(level, Some(0), "a minute passed without attempts");
    }

    #[test]
    fn a_state_is_unknown_a_minute_after_it_was_read_and_read_by_one_sign_in_at_a_time() {
        let pool = Pool::new(7);
        assert!(pool.is_read_due(1_000) && pool.is_read_due(1_000), "before the first read, each sign-in reads for itself");
        pool.set_view(View { read_at: Some(1_000), ..View::default() });
        assert!(!pool.is_read_due(1_060));
        assert!(pool.is_read_due(1_061) && !pool.is_read_due(1_061));
        pool.fail(FailureReason::Connect);
        assert!(!pool.is_read_due(1_070) && pool.is_read_due(1_071));
        assert!(!pool.view().is_known(1_061));
    }

    #[test]
    fn a_quiet_pool_stores_its_minutes_for_hours() {
        let pool = Pool::new(7);
        pool.count(5, first_success());
        let batch = pool.take_counts().pop().expect("a minute");
        assert_eq!((batch.minute, batch.ttl), (5, QUIET_TTL));
    }
}
