//! Detection of attacks on whole pools, live: attempts are counted in the store, and each process reads the state of the detector.
//!
//! Counting is never in front of an answer. A count waits in memory until `PoolMonitor::flush` writes it: in the sidecar every two seconds, in
//! Lambda between the answer and the next event. The state is read in the background in the same way; a sign-in reads it in its own round only
//! if it is unknown. `riskgate-pool` decides what an attack is.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio::time::Instant;

use riskgate_calibration::{PoolScale, SuccessCell};
use riskgate_config::{history::CalibrationMode, pseudonym::Pseudonyms};
use riskgate_engine::{
    decision::Decision,
    evidence::{Evidence, FailureReason, Outcome, store_parts::StorePart},
    features::FeatureLevel,
    profile::day_of,
    score::reason::ReasonCode,
    sign_in::{SignIn, Trigger},
};
use riskgate_history::repository::learning::CountedSuccess;
use riskgate_pool::{
    AttackNotice, AttackSummary, Attempt, AttemptKind, Cell, Status,
    attempt::{self, Increments},
    cell::Cells,
};
use riskgate_runtime::health::Health;
use riskgate_store::{CounterBucket, Store};

use crate::pool_monitor::{
    pool::{Batch, Pool, REFRESH_SECONDS, minute_of},
    refresh::pool_hashes,
};

pub(crate) use crate::pool_monitor::calibration::CalibrationSettings;

mod calibration;

mod pool;

mod refresh;

/// The most pools that a process monitors.
const MAX_POOLS: usize = 64;

/// The pools of a process.
#[derive(Debug)]
pub struct PoolMonitor {
    pools: RwLock<HashMap<u32, Arc<Pool>>>,
    health: Arc<Health>,
    calibration: CalibrationSettings,
}

/// The state of one pool, to be shown.
#[derive(Debug, Clone)]
pub struct PoolStatus {
    /// The id of the pool; empty if its sign-ins name none.
    pub pool: SmolStr,
    /// Whether it is under attack.
    pub status: Status,
    /// The attack in progress.
    pub attack: Option<AttackSummary>,
    /// When this was read, in seconds since 1970.
    pub read_at: i64,
    /// The pool's scale; `None` if nothing was counted.
    pub scale: Option<Arc<PoolScale>>,
}

/// A sign-in's pool.
#[derive(Debug)]
pub(crate) struct SignInPool {
    pool: Arc<Pool>,
    now: i64,
    is_read_due: bool,
    /// Whether it is the judgement of a session, which is no other attempt: only the scale applies to it.
    is_session: bool,
    calibration: CalibrationSettings,
}

impl PoolMonitor {
    pub(crate) fn new(health: Arc<Health>, calibration: CalibrationSettings) -> Self {
        PoolMonitor { pools: RwLock::default(), health, calibration }
    }

    /// The pool of a sign-in; `None` when there are too many pools, and for the judgement of a session on the shipped scale.
    pub(crate) fn pool_of(&self, sign_in: &SignIn, pseudonyms: &Pseudonyms) -> Option<SignInPool> {
        let is_session = sign_in.trigger == Trigger::Session;
        if is_session && self.calibration.mode == CalibrationMode::Shipped {
            return None;
        }
        let now = sign_in.received.wall.as_second();
        let pool = self.find_or_add(pool_hashes(pseudonyms, &sign_in.pool).next()?, minute_of(now))?;
        pool.set_name(&sign_in.pool);
        let is_read_due = pool.is_read_due(now);
        Some(SignInPool { pool, now, is_read_due, is_session, calibration: self.calibration })
    }

    /// Counts a decided attempt. `is_success` is whether it counts as a success already, because no success will be reported.
    pub(crate) fn count_attempt(&self, decision: &Decision, pseudonyms: &Pseudonyms, is_success: bool) {
        let signals = &decision.score.signals;
        let evidence = &*signals.evidence;
        let sign_in = &evidence.sign_in;
        // Without its history, a sign-in looks like one of a stranger.
        if evidence.history_outcome != Outcome::Fresh {
            return;
        }
        let minute = minute_of(sign_in.received.wall.as_second());
        let Some(pool) = pool_hashes(pseudonyms, &sign_in.pool).next().and_then(|hash| self.find_or_add(hash, minute)) else { return };
        let kind = AttemptKind::of(signals);
        let cells = if kind == AttemptKind::Familiar { Cells::new() } else { Cell::of(evidence) };
        let user = pseudonyms.short_hash("account", &[sign_in.pool.as_bytes(), sign_in.user.key().as_bytes()]);
        let attempt = Attempt { user, network: evidence.features.at(FeatureLevel::Network), kind, cells };
        pool.count_attempt(minute, |level| attempt.increments(level));
        if is_success {
            let last = evidence.history.profile.last.map(|last| day_of(last.at));
            let cell = SuccessCell::counted(decision).filter(|_| last != Some(day_of(sign_in.received.wall)));
            self.count(&pool, minute, kind == AttemptKind::NoHistory, evidence.history.attack_wave.is_some(), cell);
        }
    }

    /// Counts a success that was reported after its attempt.
    pub(crate) fn count_success(&self, success: &CountedSuccess, now: Timestamp) {
        let minute = minute_of(now.as_second());
        if let Some(pool) = self.find_or_add(success.pool, minute) {
            let cell = success.decision.counted.filter(|_| success.is_first_of_day);
            self.count(&pool, minute, success.is_first, success.decision.reasons.contains(&wave_number()), cell);
        }
    }

    /// Takes back the count of a success that was labelled fraud.
    pub(crate) fn take_back(&self, pool: u32, cell: SuccessCell, now: Timestamp) {
        let minute = minute_of(now.as_second());
        let pool = self.find_or_add(pool, minute).filter(|_| self.calibration.mode != CalibrationMode::Shipped);
        if let Some(pool) = pool {
            pool.count(minute, Increments::from_iter([(cell.to_removal(), 1)]));
        }
    }

    fn count(&self, pool: &Pool, minute: i64, is_first: bool, is_in_wave: bool, cell: Option<SuccessCell>) {
        if let Some(cell) = cell.filter(|_| self.calibration.mode != CalibrationMode::Shipped) {
            pool.count(minute, Increments::from_iter([(cell.to_counter(), 1)]));
        }
        if is_first {
            pool.count(minute, attempt::first_success());
        }
        if is_in_wave {
            pool.count(minute, attempt::success_in_wave());
        }
    }

    /// Writes the counts that are not written yet: one write for each pool and minute. Best effort: counts whose write fails are lost.
    pub(crate) async fn flush(&self, store: &dyn Store, now: Timestamp) -> Result<(), FailureReason> {
        let batches: Vec<(Arc<Pool>, Batch)> =
            self.all().into_iter().flat_map(|pool| pool.take_counts().into_iter().map(move |batch| (Arc::clone(&pool), batch))).collect();
        if batches.is_empty() {
            return Ok(());
        }
        let writes = batches.iter().map(|(pool, batch)| async move {
            let key = Pool::key(pool.hash);
            let first = store.add_to_counters(CounterBucket { key: &key, number: batch.minute }, &batch.increments, batch.ttl, now).await?;
            if batch.increments.first().is_some_and(|(name, _)| name == "a") {
                pool.set_attempts(batch.minute, first);
            }
            Ok(())
        });
        let written: Result<(), FailureReason> = futures_util::future::join_all(writes).await.into_iter().collect();
        self.health.store.report(StorePart::PoolCounts, written.err(), Instant::now());
        written
    }

    /// Whether there are counts to write, or states to read.
    pub(crate) fn has_work(&self, now: Timestamp) -> bool {
        self.all().iter().any(|pool| pool.has_counts() || is_old(pool, now.as_second()))
    }

    /// Reads the states that are due, and takes up the minutes that are over. Returns what has to be reported, by this process only.
    pub(crate) async fn refresh(&self, store: &dyn Store, pseudonyms: &Pseudonyms, now: Timestamp) -> Result<Vec<AttackNotice>, FailureReason> {
        let due: Vec<Arc<Pool>> = self.all().into_iter().filter(|pool| is_old(pool, now.as_second())).collect();
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let refreshed = futures_util::future::join_all(due.iter().map(|pool| refresh::refresh(pool, store, pseudonyms, self.calibration, now))).await;
        let (mut notices, mut cause, mut scale_cause) = (Vec::new(), None, None);
        for (pool, refreshed) in due.iter().zip(refreshed) {
            match refreshed {
                Ok(refreshed) => {
                    if refreshed.is_damaged {
                        tracing::warn!("the stored state of a pool's attack detector is damaged or of another version; the pool is learned again");
                        cause = Some(FailureReason::BadAnswer);
                    }
                    if refreshed.is_scale_damaged {
                        tracing::warn!("the stored scale of a pool is damaged or of another version; the pool is calibrated again");
                        scale_cause = Some(FailureReason::BadAnswer);
                    }
                    notices.extend(refreshed.notices);
                }
                Err(failed) => {
                    pool.fail(failed);
                    cause = Some(failed);
                }
            }
        }
        self.report_read(cause);
        if self.calibration.mode != CalibrationMode::Shipped {
            self.health.store.report(StorePart::Calibration, scale_cause.or(cause), Instant::now());
        }
        match cause {
            // Pools whose state was read have their notices, whatever happened to the others.
            Some(cause) if notices.is_empty() => Err(cause),
            Some(_) | None => Ok(notices),
        }
    }

    /// Reads the states of these pools, for a process that decides no sign-ins. Nothing is counted, taken up or reported.
    pub(crate) async fn read(&self, names: &[SmolStr], store: &dyn Store, pseudonyms: &Pseudonyms, now: Timestamp) {
        let mut cause = None;
        for name in names {
            let hash = pool_hashes(pseudonyms, name).next();
            let Some(pool) = hash.and_then(|hash| self.find_or_add(hash, minute_of(now.as_second()))) else { continue };
            pool.set_name(name);
            if is_old(&pool, now.as_second())
                && let Err(failed) = refresh::read_state(&pool, store, pseudonyms, self.calibration, now).await
            {
                pool.fail(failed);
                cause = Some(failed);
            }
        }
        self.report_read(cause);
    }

    /// Records that the states could not be read in the background.
    pub(crate) fn fail_read(&self, cause: FailureReason) {
        self.all().iter().for_each(|pool| pool.fail(cause));
        self.report_read(Some(cause));
    }

    /// Records that counts could not be written.
    pub(crate) fn fail_write(&self, cause: FailureReason) {
        self.health.store.report(StorePart::PoolCounts, Some(cause), Instant::now());
    }

    /// Records whether states could be read, and updates what metrics show.
    pub(crate) fn report_read(&self, cause: Option<FailureReason>) {
        self.health.store.report(StorePart::AttackState, cause, Instant::now());
        self.publish();
    }

    /// The state of each pool that was read, the most severe first.
    pub fn statuses(&self) -> Vec<PoolStatus> {
        let shown = |pool: Arc<Pool>| {
            let view = pool.view();
            Some(PoolStatus { pool: pool.name(), status: view.status, attack: view.attack.clone(), read_at: view.read_at?, scale: view.scale.clone() })
        };
        let mut statuses: Vec<PoolStatus> = self.all().into_iter().filter_map(shown).collect();
        let excess = |status: &PoolStatus| status.attack.as_ref().map_or(0, |attack| attack.attempts);
        statuses.sort_by(|a, b| b.status.cmp(&a.status).then(excess(b).cmp(&excess(a))).then(a.pool.cmp(&b.pool)));
        statuses
    }

    /// Updates the health state, which metrics show: the most severe state, and the oldest read.
    fn publish(&self) {
        let views: Vec<_> = self.all().iter().map(|pool| pool.view()).filter(|view| view.read_at.is_some()).collect();
        let status = views.iter().map(|view| view.status).max().unwrap_or_default();
        let read_at = views.iter().filter_map(|view| view.read_at).min().unwrap_or_default();
        self.health.attacks.set(status as u8, read_at);
        let largest = views.iter().filter_map(|view| view.scale.as_deref()).max_by_key(|scale| scale.sign_ins());
        self.health.calibration.set(largest.map(calibration::rates_of).unwrap_or_default());
    }

    fn all(&self) -> Vec<Arc<Pool>> {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    fn find_or_add(&self, hash: u32, minute: i64) -> Option<Arc<Pool>> {
        if let Some(pool) = self.pools.read().unwrap_or_else(PoisonError::into_inner).get(&hash) {
            return Some(Arc::clone(pool));
        }
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        if pools.len() >= MAX_POOLS && !pools.contains_key(&hash) {
            pools.retain(|_, pool| !pool.is_idle(minute));
            if pools.len() >= MAX_POOLS {
                drop(pools);
                self.fail_write(FailureReason::OverQuota);
                return None;
            }
        }
        Some(Arc::clone(pools.entry(hash).or_insert_with(|| Arc::new(Pool::new(hash)))))
    }
}

impl SignInPool {
    /// Reads the state.
    pub(crate) async fn read_state(&self, store: &dyn Store, pseudonyms: &Pseudonyms, now: Timestamp) -> Result<(), FailureReason> {
        refresh::read_state(&self.pool, store, pseudonyms, self.calibration, now).await
    }

    /// Whether the state is unknown, so that this sign-in reads it in the round of its other reads.
    pub(crate) fn is_read_due(&self) -> bool {
        self.is_read_due
    }

    /// Records that the state could not be read.
    pub(crate) fn fail(&self, cause: FailureReason) {
        self.pool.fail(cause);
    }

    /// Returns the pool's scale. Adds what the sign-in has in common with an attack in progress, and which of both is unknown. A scale that is
    /// only shown changes no decision, so without it the sign-in is not degraded.
    pub(crate) fn add_state(&self, evidence: &mut Evidence) -> Option<Arc<PoolScale>> {
        // Without the history, no value can be familiar to the user.
        if evidence.history_outcome == Outcome::Fresh && !self.is_session {
            self.pool.add_wave(evidence, self.now);
        }
        let scale = if self.calibration.mode == CalibrationMode::Shipped { Ok(None) } else { self.pool.scale(self.now) };
        if self.calibration.mode == CalibrationMode::Auto {
            evidence.history.unread.set(StorePart::Calibration, scale.as_ref().err().copied());
        }
        scale.unwrap_or_default()
    }
}

fn is_old(pool: &Pool, now: i64) -> bool {
    pool.view().read_at.is_none_or(|at| now.abs_diff(at) >= REFRESH_SECONDS.unsigned_abs())
}

/// The number under which the reason `attack_wave` is stored with a decision.
fn wave_number() -> u8 {
    ReasonCode::BUILT_IN.iter().position(|code| *code == ReasonCode::AttackWave).and_then(|index| u8::try_from(index + 1).ok()).unwrap_or(u8::MAX)
}
