//! The dashboard at `/`. The sidecar, the demo, `riskgate watch` and `riskgate dashboard` serve it.
//!
//! Its only inputs are audit lines and counts of their fields, so it shows no more about a person than the audit log does. One
//! thread aggregates them and writes one message a second with latency, services and scores. Every client receives the same message, so another
//! client costs only a socket. Decisions are queried over `/v1/activity`, by those who may see them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream;
use serde::Serialize;
use tokio::{sync::broadcast, time::Instant};

use crate::dashboard::{access::Identity, actions::Actions, query_cache::QueryCache, rolling_stats::RollingStats, store_feed::StoreSource, subjects::Subjects};
use riskgate_activity::{Activity, activity::Counting, changes::ChangeKind, decision::Outcome, rollup::Counts};
use riskgate_config::Config;
use riskgate_engine::{
    score::{model::Model, reason::ReasonCode},
    service::Service,
};
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::clock;
use riskgate_telemetry::live_stats::{LiveLine, LiveStats, Snapshot};

pub mod access;

mod action_command;

mod action_request;

mod action_routes;

mod actions;

mod assets;

mod calibration;

mod decision_row;

mod detector;

mod lookup;

mod queries;

mod query_cache;

mod rolling_stats;

mod session_revocation;

mod store_feed;

mod subjects;

/// Clients that may be connected at once.
const MAX_CLIENTS: usize = 64;

/// Messages that a slow client may lag behind. After that it receives the complete state again.
const MAX_LAG: usize = 8;

/// Whether a path belongs to the dashboard, so a browser may request it.
pub fn is_dashboard_path(path: &str) -> bool {
    is_page_path(path) || path == "/events" || path.starts_with("/assets/") || path.starts_with("/v1/activity") || path.starts_with("/v1/actions")
}

/// Whether a path is the page itself, where a browser may prompt for a password.
pub fn is_page_path(path: &str) -> bool {
    path == "/" || path.starts_with("/d/")
}

/// The interval between messages.
const TICK: Duration = Duration::from_secs(1);

/// Delay after the end of a second before its counts are read.
const SETTLE_DELAY: Duration = Duration::from_millis(20);

/// How long the thread waits for more lines after the first one, which avoids a wake-up for each line of a long log.
const BATCH_DELAY: Duration = Duration::from_millis(20);

/// Lines that are recorded between two readings of the clock.
const MAX_BATCH: usize = 4096;

/// Lines that are recorded before the thread pauses, so that a burst of decisions does not take a core from the sign-ins.
const LINES_PER_TURN: usize = 50;

/// The pause between two turns.
const TURN_PAUSE: Duration = Duration::from_millis(1);

/// A log whose newest line is at most this many seconds old is followed; an older one is shown at its own time.
const MAX_LOG_AGE: i64 = 120;

/// The dashboard of one process.
#[derive(Debug)]
pub struct Dashboard {
    settings: Settings,
    rolling_stats: Mutex<RollingStats>,
    activity: Mutex<Activity>,
    subjects: Mutex<Subjects>,
    actions: Actions,
    query_cache: QueryCache,
    is_log: bool,
    /// What is known about the store that the decisions are read from; `None` for another source.
    store_source: Option<StoreSource>,
    /// The instance that actions change; `None` for a log.
    instance: Option<Arc<Instance>>,
    messages: Mutex<Option<broadcast::Sender<Bytes>>>,
    clients: AtomicUsize,
}

/// The settings that a client receives once, when it connects.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// The version of riskgate.
    version: &'static str,
    /// Where the lines come from, shown in the header.
    source: String,
    /// `DENY_AT` for clients without their own setting.
    deny_at: f64,
    /// `CHALLENGE_AT` for clients without their own setting; null without challenges.
    challenge_at: Option<f64>,
    /// `REVIEW_AT` for clients without their own setting.
    review_at: f64,
    /// `MODE` for clients without their own setting.
    mode: &'static str,
    /// `BUDGET` in milliseconds.
    budget_ms: u64,
    /// The configured providers.
    services: Vec<&'static str>,
    /// The date of the model's tables.
    model: String,
    /// The meaning of each reason code.
    meanings: BTreeMap<&'static str, &'static str>,
}

/// The source of the data that the dashboard shows.
#[derive(Debug)]
pub enum Feed {
    /// The sign-ins that this process decides.
    Live(Arc<LiveStats>),
    /// The lines of a log.
    Log(Receiver<Arc<str>>),
    /// The decisions that other processes write to the store of this instance.
    Store(Arc<Instance>),
}

/// The clock that advances the ring buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeBase {
    /// The wall clock, for events that are shown as they happen.
    Wall,
    /// The times of the lines, and the wall clock once the lines have caught up with it. For a log that is read from its beginning.
    Lines,
}

/// One connected client. Dropping it ends the subscription.
struct Client {
    dashboard: Arc<Dashboard>,
    messages: broadcast::Receiver<Bytes>,
    next: Option<Bytes>,
}

impl Settings {
    /// Collects the settings from a configuration.
    pub fn new(config: &Config, model: &Model, source: String) -> Self {
        Settings {
            version: env!("CARGO_PKG_VERSION"),
            source,
            deny_at: config.decision.deny_at.default,
            challenge_at: config.decision.challenge_at.default,
            review_at: config.decision.review_at.default,
            mode: config.decision.mode.default.as_label(),
            budget_ms: u64::try_from(config.budget.total.as_millis()).unwrap_or(u64::MAX),
            services: config.services.services.iter().map(|service| service.service().as_label()).collect(),
            model: model.date().to_owned(),
            meanings: ReasonCode::BUILT_IN.iter().copied().chain(Service::ALL.map(ReasonCode::Service)).map(|code| (code.as_label(), code.meaning())).collect(),
        }
    }
}

impl Dashboard {
    /// Starts a dashboard and the thread that updates it until it is closed; for a store it is a task of the current runtime. `instance` is what
    /// actions change; `None` for a log.
    pub fn start(settings: Settings, feed: Feed, instance: Option<Arc<Instance>>) -> Arc<Self> {
        let (messages, _) = broadcast::channel(MAX_LAG);
        let is_log = matches!(feed, Feed::Log(_));
        let is_live = matches!(feed, Feed::Live(_));
        let mut activity = Activity::new(if is_live { Counting::Caller } else { Counting::Rows });
        if is_live {
            activity.mark(ChangeKind::Start, clock::read().wall.as_second(), format!("riskgate {} started", settings.version));
        }
        let dashboard = Arc::new(Dashboard {
            settings,
            rolling_stats: Mutex::default(),
            activity: Mutex::new(activity),
            subjects: Mutex::default(),
            actions: Actions::default(),
            query_cache: QueryCache::default(),
            is_log,
            store_source: matches!(feed, Feed::Store(_)).then(StoreSource::default),
            instance,
            messages: Mutex::new(Some(messages)),
            clients: AtomicUsize::new(0),
        });
        let weak = Arc::downgrade(&dashboard);
        let thread: Box<dyn FnOnce() + Send> = match feed {
            Feed::Live(live_stats) => Box::new(move || run_live(&weak, &live_stats)),
            Feed::Log(lines) => Box::new(move || run_log(&weak, &lines)),
            Feed::Store(instance) => {
                tokio::spawn(store_feed::run(weak, instance));
                return dashboard;
            }
        };
        let spawned = std::thread::Builder::new().name("riskgate-dashboard".to_owned()).spawn(thread);
        if let Err(error) = spawned {
            tracing::error!(error.kind = ?error.kind(), "could not start the dashboard thread; the dashboard stays empty");
        }
        dashboard
    }

    /// Whether the decisions are those in a shared store.
    pub fn reads_store(&self) -> bool {
        self.store_source.is_some()
    }

    /// Where the decisions come from: `live`, `log` or `store`.
    fn source_kind(&self) -> &'static str {
        match (self.is_log, &self.store_source) {
            (true, _) => "log",
            (false, Some(_)) => "store",
            (false, None) => "live",
        }
    }

    /// The routes of the dashboard.
    pub fn routes<S: Clone + Send + Sync + 'static>(self: &Arc<Self>) -> Router<S> {
        let mut router = Router::new()
            .route("/events", get(events))
            .route("/v1/activity", get(queries::overview))
            .route("/v1/activity/session", get(queries::session))
            .route("/v1/activity/decisions", get(queries::decisions))
            .route("/v1/activity/decisions/{id}", get(queries::decision))
            .route("/v1/activity/users", post(lookup::find_user))
            .route("/v1/activity/users/{user}", get(queries::user))
            .route("/v1/activity/find", post(lookup::find))
            .route("/v1/activity/values", get(lookup::values))
            .route("/v1/activity/findings", get(queries::findings))
            .route("/v1/activity/calibration", get(calibration::calibration))
            .route("/v1/actions", get(action_routes::list).post(action_routes::act))
            .route("/v1/actions/preview", post(action_routes::preview))
            .route("/v1/actions/affected", get(action_routes::affected))
            .route("/v1/actions/{id}/undo", post(action_routes::undo))
            .with_state(Arc::clone(self));
        for asset in assets::ALL {
            router = router.route(asset.path, get(|| async { assets::serve(asset) }));
        }
        router.route("/d/{id}", get(|| async { assets::serve_decision_page() })).layer(middleware::map_request(identify))
    }

    /// The date of the model's tables.
    fn model(&self) -> &str {
        &self.settings.model
    }

    /// Ends every open event stream. The server cannot shut down while one is open.
    pub fn close(&self) {
        drop(self.messages.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The first events to a new client: the settings and the complete state.
    fn state(&self) -> Bytes {
        let settings = serde_json::to_string(&self.settings).unwrap_or_default();
        let state = self.rolling_stats().state();
        format!("event: settings\ndata: {settings}\n\nevent: state\ndata: {state}\n\n").into()
    }

    fn rolling_stats(&self) -> std::sync::MutexGuard<'_, RollingStats> {
        self.rolling_stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn activity(&self) -> std::sync::MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subjects(&self) -> std::sync::MutexGuard<'_, Subjects> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time of the data in seconds since 1970, and whether it is the present: an old log is shown at the time of its newest line.
    fn now(&self, activity: &Activity) -> (i64, bool) {
        let wall = clock::read().wall.as_second();
        match activity.newest() {
            Some(newest) if self.is_log && (wall - newest).abs() > MAX_LOG_AGE => (newest, false),
            Some(_) | None => (wall, true),
        }
    }

    /// Records the decisions of a second. The lock is released between turns, and the thread pauses.
    fn record_live(&self, snapshot: &mut Snapshot, second: i64) {
        let lines = std::mem::take(&mut snapshot.lines);
        let counts = Counts { decisions: snapshot.verdicts, degraded: snapshot.degraded };
        let unsampled = u64::from(counts.total()).saturating_sub(lines.len() as u64);
        {
            let mut activity = self.activity();
            activity.count(second, counts, unsampled);
            snapshot.annotations.iter().for_each(|text| activity.mark(ChangeKind::Event, second, (*text).to_owned()));
        }
        for turn in lines.chunks(LINES_PER_TURN) {
            let (mut activity, mut subjects) = (self.activity(), self.subjects());
            for LiveLine { text, user, record_keys } in turn {
                activity.record(text);
                subjects.insert(user.clone(), record_keys.clone());
            }
            drop((activity, subjects));
            std::thread::sleep(TURN_PAUSE);
        }
        let mut activity = self.activity();
        for (id, report) in snapshot.reports.drain(..) {
            if let Some(outcome) = Outcome::from_label(report.as_label()) {
                activity.report(&id, outcome);
            }
        }
    }

    fn subscribe(&self) -> Option<broadcast::Receiver<Bytes>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(broadcast::Sender::subscribe)
    }

    fn send(&self, message: Bytes) -> Result<(), Closed> {
        match self.messages.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(messages) => {
                // An error only means that no client is connected.
                let _ = messages.send(message);
                Ok(())
            }
            None => Err(Closed),
        }
    }
}

/// The dashboard has been closed.
struct Closed;

/// Sends a message with the counts of each second until the dashboard is dropped or closed.
fn run_live(dashboard: &Weak<Dashboard>, live_stats: &LiveStats) {
    loop {
        let nanos = u64::try_from(clock::read().wall.subsec_nanosecond()).unwrap_or_default();
        std::thread::sleep(TICK.saturating_sub(Duration::from_nanos(nanos)) + SETTLE_DELAY);
        let Some(dashboard) = dashboard.upgrade() else { return };
        let now = clock::read().wall;
        let mut snapshot = live_stats.take(now);
        dashboard.record_live(&mut snapshot, now.as_second() - 1);
        let message = {
            let mut rolling_stats = dashboard.rolling_stats();
            rolling_stats.record_snapshot(snapshot, now.as_second() - 1);
            rolling_stats.tick(now, TimeBase::Wall)
        };
        if dashboard.send(format!("event: tick\ndata: {message}\n\n").into()).is_err() {
            return;
        }
    }
}

/// Records lines and sends a message a second until the dashboard is dropped or closed.
fn run_log(dashboard: &Weak<Dashboard>, lines: &Receiver<Arc<str>>) {
    let mut next = Instant::now() + TICK;
    loop {
        let line = lines.recv_timeout(next.saturating_duration_since(Instant::now()));
        let Some(dashboard) = dashboard.upgrade() else { return };
        match line {
            Ok(first) => {
                std::thread::sleep(BATCH_DELAY);
                let (mut rolling_stats, mut activity, now) = (dashboard.rolling_stats(), dashboard.activity(), clock::read().wall);
                for line in std::iter::once(first).chain(lines.try_iter().take(MAX_BATCH)) {
                    rolling_stats.record(&line, now);
                    activity.record(&line);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The log has ended. The last state stays visible.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(next.saturating_duration_since(Instant::now())),
        }
        if Instant::now() >= next {
            next = Instant::now() + TICK;
            let message = dashboard.rolling_stats().tick(clock::read().wall, TimeBase::Lines);
            if dashboard.send(format!("event: tick\ndata: {message}\n\n").into()).is_err() {
                return;
            }
        }
    }
}

/// A request that no filter has identified comes from nobody.
async fn identify(mut request: Request) -> Request {
    if request.extensions().get::<Identity>().is_none() {
        request.extensions_mut().insert(Identity::Anonymous);
    }
    request
}

async fn events(State(dashboard): State<Arc<Dashboard>>) -> Response {
    let Some(messages) = dashboard.subscribe() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    if dashboard.clients.fetch_add(1, Ordering::Relaxed) >= MAX_CLIENTS {
        dashboard.clients.fetch_sub(1, Ordering::Relaxed);
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let next = Some(dashboard.state());
    let client = Client { dashboard, messages, next };
    let body = Body::from_stream(stream::unfold(client, |mut client| async move {
        let message = client.message().await?;
        Some((Ok::<_, std::convert::Infallible>(message), client))
    }));
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))], body).into_response()
}

impl Client {
    async fn message(&mut self) -> Option<Bytes> {
        if let Some(first) = self.next.take() {
            return Some(first);
        }
        match self.messages.recv().await {
            Ok(message) => Some(message),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(self.dashboard.state()),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.dashboard.clients.fetch_sub(1, Ordering::Relaxed);
    }
}
