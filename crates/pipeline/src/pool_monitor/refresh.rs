//! Reading of a pool's state, and taking up of the minutes that are over.
//!
//! The state is in the pool's record. A process that finds minutes in the store that the state does not have yet takes them up and writes the
//! state, on condition that no other process was faster. Equal counts give equal states, so it does not matter which process does it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use riskgate_calibration::{Calibrator, PoolScale, SuccessCell};
use riskgate_config::{history::CalibrationMode, pseudonym::Pseudonyms};
use riskgate_engine::evidence::FailureReason;
use riskgate_pool::{Attack, AttackNotice, AttackSummary, Counts, MINUTE, PoolState, Reported, Wave};
use riskgate_store::{Change, Changed, Counters, MAX_BUCKETS, Record, Store, Ttl};

use crate::pool_monitor::{
    calibration::{CalibrationSettings, scale_of},
    pool::{Pool, View, minute_of},
};

/// The field of the detector's state.
const STATE: &str = "w";

/// The field of what was reported about the attack in progress.
const REPORTED: &str = "r";

/// The field of the counted successes, with the curves of the pool's scale.
const CALIBRATION: &str = "k";

/// How long a pool without sign-ins is remembered.
const RECORD_TTL: Duration = Duration::from_secs(60 * 86_400);

/// Seconds after the end of a minute in which its last counts arrive.
const GRACE_SECONDS: i64 = 5;

/// Minutes before the present one that are read before the state is known.
const RECENT_MINUTES: i64 = 3;

/// A pool's record, read.
struct PoolRecord {
    version: u64,
    state: PoolState,
    reported: Option<Reported>,
    /// Whether it has a state that cannot be read. The pool is then learned again.
    is_damaged: bool,
    /// The counted successes, with the curves.
    calibrator: Calibrator,
    /// Whether it has a calibration that cannot be read. The pool is then calibrated again.
    is_scale_damaged: bool,
}

/// The minutes from the store, and the first of them.
struct Minutes {
    counters: BTreeMap<i64, Counters>,
    from: i64,
}

/// The state after minutes were taken up.
struct TakenUp {
    state: PoolState,
    calibrator: Calibrator,
    notices: Vec<AttackNotice>,
    is_written: bool,
}

/// What a refresh found.
pub(super) struct Refreshed {
    /// What has to be reported, by this process only.
    pub(super) notices: Vec<AttackNotice>,
    /// Whether the stored state was damaged.
    pub(super) is_damaged: bool,
    /// Whether the stored scale was damaged.
    pub(super) is_scale_damaged: bool,
}

/// Reads the state for a sign-in: one read, of the record only. Minutes that were not taken up yet are left out.
///
/// # Errors
///
/// The store did not answer.
pub(super) async fn read_state(
    pool: &Pool,
    store: &dyn Store,
    pseudonyms: &Pseudonyms,
    calibration: CalibrationSettings,
    now: Timestamp,
) -> Result<(), FailureReason> {
    let PoolRecord { state, calibrator, is_scale_damaged, .. } = read_record(pool, store, pseudonyms, now).await?;
    let present = state.with_present(&BTreeMap::new(), minute_of(now.as_second()));
    pool.set_view(View { is_scale_damaged, ..view_of(&present, state.next, scale_of(&calibrator, calibration, pool.view().scale.as_ref()), now) });
    Ok(())
}

/// Reads the state and the minutes since, and takes up those that are over.
///
/// # Errors
///
/// The store did not answer.
pub(super) async fn refresh(
    pool: &Pool,
    store: &dyn Store,
    pseudonyms: &Pseudonyms,
    calibration: CalibrationSettings,
    now: Timestamp,
) -> Result<Refreshed, FailureReason> {
    let (key, this_minute) = (Pool::key(pool.hash), minute_of(now.as_second()));
    let from = pool.view().next.unwrap_or(this_minute - RECENT_MINUTES).min(this_minute);
    let (record, counters) =
        futures_util::future::try_join(read_record(pool, store, pseudonyms, now), store.read_counters(&key, from, this_minute, now)).await?;
    let mut minutes = Minutes { counters, from };
    // Before the first attempt of a pool, its last hours may have counts of other processes.
    let needed = record.state.next.unwrap_or(this_minute - MAX_BUCKETS + 1);
    if needed < minutes.from {
        let earlier = store.read_counters(&key, needed, minutes.from - 1, now).await?;
        minutes.counters.extend(earlier);
        minutes.from = needed;
    }
    for (minute, counters) in minutes.counters.range(this_minute - 1..) {
        let attempts = counters.iter().find(|(name, _)| name == "a").map_or(0, |(_, attempts)| *attempts);
        pool.set_attempts(*minute, attempts);
    }
    let end = minute_of(now.as_second() - GRACE_SECONDS);
    let (is_damaged, is_scale_damaged) = (record.is_damaged, record.is_scale_damaged);
    let TakenUp { state, calibrator, notices, is_written } = take_up(pool, store, record, &minutes, calibration, end, now).await?;
    let present: BTreeMap<i64, Counts> = minutes.counts(state.next.unwrap_or(end)..this_minute + 1);
    let shown = state.with_present(&present, this_minute + 1);
    let view = view_of(&shown, state.next, scale_of(&calibrator, calibration, pool.view().scale.as_ref()), now);
    pool.set_view(View { is_scale_damaged: is_scale_damaged && !is_written, ..view });
    Ok(Refreshed { notices, is_damaged, is_scale_damaged })
}

/// Takes up the minutes before `end`, and writes the state unless another process was faster.
async fn take_up(
    pool: &Pool,
    store: &dyn Store,
    record: PoolRecord,
    minutes: &Minutes,
    calibration: CalibrationSettings,
    end: i64,
    now: Timestamp,
) -> Result<TakenUp, FailureReason> {
    let PoolRecord { version, mut state, reported, mut calibrator, .. } = record;
    let before = state.next;
    if before.is_some_and(|next| next >= end) {
        return Ok(TakenUp { state, calibrator, notices: Vec::new(), is_written: false });
    }
    let over = minutes.counts(before.unwrap_or(minutes.from)..end);
    let ended: Vec<Attack> = state.advance(&over, end);
    if state.next.is_none() || state.next == before {
        return Ok(TakenUp { state, calibrator, notices: Vec::new(), is_written: false });
    }
    let summary = |attack: &Attack| AttackSummary::of(attack, &state);
    let (reported, notices) = Reported::update(reported, &ended.iter().map(summary).collect::<Vec<_>>(), state.attack.as_ref().map(summary), end, &pool.name());
    let mut change = Change { set: vec![(STATE.into(), state.to_bytes())], remove: Vec::new(), ttl: Ttl::Set(RECORD_TTL) };
    match reported {
        Some(reported) => change.set.push((REPORTED.into(), reported.to_bytes())),
        None => change.remove.push(REPORTED.into()),
    }
    if calibration.mode != CalibrationMode::Shipped {
        calibrator = calibrator.with_stop(calibration.thresholds.stopped_from, calibration.source());
        for (minute, counters) in minutes.counters.range(before.unwrap_or(minutes.from)..end) {
            let successes = counters.iter().filter_map(|(name, count)| Some((SuccessCell::from_counter(name)?, *count)));
            let removals = counters.iter().filter_map(|(name, count)| Some((SuccessCell::from_removal(name)?, *count)));
            calibrator.take_up(minute * MINUTE, successes, removals);
        }
        change.set.push((CALIBRATION.into(), calibrator.to_bytes()));
    }
    let is_written = match store.update_if_version(&Pool::key(pool.hash), version, change, now).await? {
        Changed::Done => true,
        Changed::Conflict(_) => false,
    };
    // If another process was faster, it reports.
    let notices = if is_written { notices } else { Vec::new() };
    Ok(TakenUp { state, calibrator, notices, is_written })
}

/// Reads a pool's record. After a rotation of the pseudonym key, the state is found under the older key until it is written under the newest.
async fn read_record(pool: &Pool, store: &dyn Store, pseudonyms: &Pseudonyms, now: Timestamp) -> Result<PoolRecord, FailureReason> {
    let record = store.get_record(&Pool::key(pool.hash), now).await?;
    if record.fields.contains_key(STATE) || !pseudonyms.has_older() {
        return Ok(PoolRecord::parse(&record, record.version));
    }
    for hash in pool_hashes(pseudonyms, &pool.name()).skip(1) {
        let older = store.get_record(&Pool::key(hash), now).await?;
        if older.fields.contains_key(STATE) {
            return Ok(PoolRecord::parse(&older, record.version));
        }
    }
    Ok(PoolRecord::parse(&record, record.version))
}

/// The hashes of a pool's id under each key, newest first.
pub(super) fn pool_hashes(pseudonyms: &Pseudonyms, pool: &str) -> impl Iterator<Item = u32> {
    pseudonyms.short_hashes("pool", &[pool.as_bytes()]).into_iter()
}

fn view_of(state: &PoolState, next: Option<i64>, scale: Option<Arc<PoolScale>>, now: Timestamp) -> View {
    View {
        read_at: Some(now.as_second()),
        next,
        status: state.status(),
        attack: state.attack.as_ref().map(|attack| AttackSummary::of(attack, state)),
        wave: Arc::new(Wave::of(state)),
        scale,
        is_scale_damaged: false,
        cause: None,
    }
}

impl PoolRecord {
    fn parse(record: &Record, version: u64) -> Self {
        let stored = record.fields.get(STATE);
        let state = stored.and_then(|bytes| PoolState::from_bytes(bytes));
        let reported = record.fields.get(REPORTED).and_then(|bytes| Reported::from_bytes(bytes));
        let counted = record.fields.get(CALIBRATION);
        let calibrator = counted.and_then(|bytes| Calibrator::from_bytes(bytes));
        PoolRecord {
            version,
            is_damaged: stored.is_some() && state.is_none(),
            state: state.unwrap_or_default(),
            reported,
            is_scale_damaged: counted.is_some() && calibrator.is_none(),
            calibrator: calibrator.unwrap_or_default(),
        }
    }
}

impl Minutes {
    fn counts(&self, range: std::ops::Range<i64>) -> BTreeMap<i64, Counts> {
        if range.is_empty() {
            return BTreeMap::new();
        }
        let minutes = self.counters.range(range);
        minutes.map(|(minute, counters)| (*minute, Counts::from_fields(counters.iter().map(|(name, value)| (name.as_str(), *value))))).collect()
    }
}
