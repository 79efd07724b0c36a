//! The decisions of a shared store, for `riskgate dashboard --store`: the newest rows are read again and again, older ones when a page asks.
//!
//! A failure of the store is shown in the page, counted and logged. The rows that were read before stay visible.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use jiff::Timestamp;
use serde::Deserialize;
use smol_str::SmolStr;
use tokio::time::Instant;
use ulid::Ulid;

use crate::dashboard::{Dashboard, TimeBase};
use riskgate_activity::{Activity, Filter, MAX_ROWS, activity::Counting, rollup::Counts};
use riskgate_config::pseudonym::UserKeys;
use riskgate_engine::evidence::{FailureReason, store_parts::StorePart};
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::clock;
use riskgate_store::{
    Store,
    activity::{ActivityCounts, ActivityRange, ActivityRow},
};

/// The interval between two readings of new rows.
const POLL: Duration = Duration::from_secs(2);

/// How far back new rows are searched: a row is written up to some seconds after its time, and clocks differ.
const OVERLAP: Duration = Duration::from_secs(15);

/// Rows after the present are read up to this far, because clocks differ.
const AHEAD: Duration = Duration::from_secs(60);

/// The interval between two readings of the counts of the present hour, and of the attack detector.
const COUNTS_INTERVAL: Duration = Duration::from_secs(10);

/// Rows that are recorded between two pauses, so that pages are answered while many are read.
const ROWS_PER_TURN: usize = 250;

/// Older rows are shown in the charts of the last hour only.
const CHARTED_SECONDS: i64 = 3600;

/// How long the outcome of an older decision is searched for after it.
const OUTCOME_SEARCH: Duration = Duration::from_secs(600);

/// Rows that this search reads at most.
const MAX_SEARCHED: usize = 20_000;

/// How long rows of an earlier range that a page asked for stay in memory.
const CACHED: Duration = Duration::from_secs(60);

/// What is known about the store.
#[derive(Debug, Default)]
pub struct StoreSource {
    state: Mutex<State>,
    earlier: Mutex<Option<EarlierRows>>,
}

/// The state of reading.
#[derive(Debug, Default)]
struct State {
    /// Why the last reading failed.
    fault: Option<FailureReason>,
    is_loaded: bool,
    /// Whether the store has rows that are older than those in memory.
    has_older: bool,
}

/// Rows of an earlier range that a page shows, until they are read again.
#[derive(Debug)]
struct EarlierRows {
    range: ActivityRange,
    until: Instant,
    activity: Arc<Mutex<Activity>>,
}

/// The members of a row that name its user.
#[derive(Deserialize)]
struct RowUser {
    #[serde(default)]
    user: Option<SmolStr>,
    #[serde(default)]
    keys: Vec<SmolStr>,
}

/// Reads the store until the dashboard is dropped or closed.
pub async fn run(dashboard: Weak<Dashboard>, instance: Arc<Instance>) {
    let (mut newest, mut counts_due) = (None::<Timestamp>, None::<Instant>);
    loop {
        let Some(dashboard) = dashboard.upgrade() else { return };
        if let Some(store) = activity_store(&instance) {
            let read = dashboard.read_new(&*store, &instance, &mut newest, &mut counts_due).await;
            instance.engine.health().store.report(StorePart::Activity, read.err(), Instant::now());
            dashboard.set_fault(read.err());
        } else {
            dashboard.set_fault(Some(FailureReason::NoStore));
        }
        let message = dashboard.rolling_stats().tick(clock::read().wall, TimeBase::Wall);
        if dashboard.send(format!("event: tick\ndata: {message}\n\n").into()).is_err() {
            return;
        }
        drop(dashboard);
        tokio::time::sleep(POLL).await;
    }
}

/// The store, if other processes write rows to it.
fn activity_store(instance: &Instance) -> Option<Arc<dyn Store>> {
    let repository = instance.engine.enricher().repository()?;
    repository.store().has_activity().then(|| Arc::clone(repository.store()))
}

impl Dashboard {
    async fn read_new(
        &self,
        store: &dyn Store,
        instance: &Instance,
        newest: &mut Option<Timestamp>,
        counts_due: &mut Option<Instant>,
    ) -> Result<(), FailureReason> {
        let now = clock::read().wall;
        let retention = retention(instance);
        let from = newest.map_or_else(|| earlier(now, retention), |newest| earlier(newest, OVERLAP));
        let page = store.read_activity(ActivityRange { from, to: later(now, AHEAD) }, MAX_ROWS, now).await?;
        self.record_rows(&page.rows, now).await;
        let is_first = newest.is_none();
        *newest = page.rows.last().map(|row| row.at).max(*newest).or(Some(now));
        if is_first {
            self.set_loaded(!page.is_complete);
        }
        if counts_due.is_none_or(|due| Instant::now() >= due) {
            // All days at first, then the last two: an hour may end between two readings.
            let length = if counts_due.is_none() { retention } else { Duration::from_secs(3600) };
            for day in (ActivityRange { from: earlier(now, length), to: now }).days() {
                for (hour, counts) in store.read_activity_counts(day, now).await? {
                    self.activity().set_hour(hour, saturating(counts));
                }
            }
            *counts_due = Some(Instant::now() + COUNTS_INTERVAL);
            let pools = self.activity().pools();
            instance.engine.enricher().read_pools(&pools, now).await;
        }
        Ok(())
    }

    async fn record_rows(&self, rows: &[ActivityRow], now: Timestamp) {
        for turn in rows.chunks(ROWS_PER_TURN) {
            {
                let (mut rolling_stats, mut activity, mut subjects) = (self.rolling_stats(), self.activity(), self.subjects());
                for row in turn {
                    let is_new = activity.record_line(&row.what);
                    if is_new && now.as_second() - row.at.as_second() < CHARTED_SECONDS {
                        rolling_stats.record(&row.what, now);
                    }
                    if is_new && let Some((user, keys)) = user_of(row) {
                        subjects.insert(user, keys);
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// The rows of an earlier range, if this range is older than the rows in memory.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub(super) async fn earlier_rows(&self, filter: &Filter) -> Result<Option<Arc<Mutex<Activity>>>, FailureReason> {
        let (Some(source), Some(until), Some(instance)) = (&self.store_source, filter.until, &self.instance) else { return Ok(None) };
        let now = clock::read().wall;
        let (from, to) = filter.bounds(now.as_second());
        let oldest = self.activity().oldest_row().unwrap_or(i64::MAX).div_euclid(1000);
        if from >= oldest || until >= now.as_second() || !source.lock().has_older {
            return Ok(None);
        }
        let time = |second| Timestamp::from_second(second).unwrap_or(now);
        let range = ActivityRange { from: time(from), to: time(to) };
        let is_current = |earlier: &&EarlierRows| earlier.range == range && Instant::now() < earlier.until;
        if let Some(earlier) = source.earlier.lock().unwrap_or_else(PoisonError::into_inner).as_ref().filter(is_current) {
            return Ok(Some(Arc::clone(&earlier.activity)));
        }
        let Some(store) = activity_store(instance) else { return Ok(None) };
        let page = store.read_activity(range, MAX_ROWS, now).await?;
        let mut activity = self.collect(&page.rows);
        for day in range.days() {
            for (hour, counts) in store.read_activity_counts(day, now).await? {
                activity.set_hour(hour, saturating(counts));
            }
        }
        let activity = Arc::new(Mutex::new(activity));
        let earlier = EarlierRows { range, until: Instant::now() + CACHED, activity: Arc::clone(&activity) };
        *source.earlier.lock().unwrap_or_else(PoisonError::into_inner) = Some(earlier);
        Ok(Some(activity))
    }

    /// A decision that is not in memory, by the time in its id: an older one, or one that was made a moment ago.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub(super) async fn stored_decision(&self, id: &str) -> Result<Option<serde_json::Value>, FailureReason> {
        let (Some(_), Some(instance)) = (&self.store_source, &self.instance) else { return Ok(None) };
        let (Some(store), now) = (activity_store(instance), clock::read().wall) else { return Ok(None) };
        let Some(at) = Ulid::from_string(id).ok().and_then(|id| Timestamp::from_millisecond(i64::try_from(id.timestamp_ms()).ok()?).ok()) else {
            return Ok(None);
        };
        let found = store.read_activity(ActivityRange { from: at, to: at }, MAX_SEARCHED, now).await?;
        let mut rows: Vec<ActivityRow> = found.rows.into_iter().filter(|row| row.id == id).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let after = store.read_activity(ActivityRange { from: at, to: later(at, OUTCOME_SEARCH) }, MAX_SEARCHED, now).await?;
        rows.extend(after.rows.into_iter().filter(|row| row.id != id && row.what.contains(id)));
        Ok(self.collect(&rows).decision(id))
    }

    /// The timeline of a user from all rows of the store; `None` if those in memory are all, or there are none.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub(super) async fn stored_user(&self, user: &str) -> Result<Option<serde_json::Value>, FailureReason> {
        let (Some((store, now)), Some(instance)) = (self.store_with_more(), &self.instance) else { return Ok(None) };
        let range = ActivityRange { from: earlier(now, retention(instance)), to: later(now, AHEAD) };
        let rows = store.read_activity_of(user, range, now).await?;
        Ok(self.collect(&rows).user(user))
    }

    /// The store, if it has rows that are not in memory.
    fn store_with_more(&self) -> Option<(Arc<dyn Store>, Timestamp)> {
        let has_older = self.store_source.as_ref()?.lock().has_older || self.activity().has_dropped();
        has_older.then_some((activity_store(self.instance.as_ref()?)?, clock::read().wall))
    }

    fn collect(&self, rows: &[ActivityRow]) -> Activity {
        let mut activity = Activity::new(Counting::Rows);
        let mut subjects = self.subjects();
        for row in rows {
            activity.record(&row.what);
            if let Some((user, keys)) = user_of(row) {
                subjects.insert(user, keys);
            }
        }
        activity
    }

    fn set_fault(&self, fault: Option<FailureReason>) {
        if let Some(source) = &self.store_source {
            source.lock().fault = fault;
        }
    }

    fn set_loaded(&self, has_older: bool) {
        if let Some(source) = &self.store_source {
            let mut state = source.lock();
            (state.is_loaded, state.has_older) = (true, has_older);
        }
        self.query_cache.clear();
    }
}

impl StoreSource {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a page says about the source: why it fails, or that it is still being read.
    pub fn notice(&self) -> Option<String> {
        let state = self.lock();
        match state.fault {
            Some(fault) => Some(format!("The store did not answer ({}). The page shows what was read before.", fault.as_label())),
            None if !state.is_loaded => Some("The decisions are being read from the store.".to_owned()),
            None => None,
        }
    }
}

/// The pseudonym of a row's user and the keys of the user's records.
fn user_of(row: &ActivityRow) -> Option<(SmolStr, UserKeys)> {
    if row.user.is_empty() {
        return None;
    }
    let RowUser { user, keys } = serde_json::from_str(&row.what).ok()?;
    (!keys.is_empty()).then_some((user?, keys.into_iter().collect()))
}

/// How far back rows are read. The table may have rows from before `ACTIVITY_TTL` was turned off.
fn retention(instance: &Instance) -> Duration {
    const DEFAULT: Duration = Duration::from_secs(30 * 86_400);
    Some(instance.config.history.activity_ttl).filter(|ttl| !ttl.is_zero()).unwrap_or(DEFAULT)
}

fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

fn saturating(counts: ActivityCounts) -> Counts {
    let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    Counts { decisions: counts.decisions.map(small), degraded: small(counts.degraded) }
}
