//! The page at `/`: served from the program, live over server-sent events, for the sidecar, the demo and `riskgate watch`.
//!
//! It is fed with audit lines and with counts of what stands in them, so it can show no more of a person than they do. One
//! thread folds them into rings and writes one message a second, which every open page gets: a twentieth page costs a socket.

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
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use serde::Serialize;
use tokio::{sync::broadcast, time::Instant};

use self::board::Board;
use crate::{
    config::{Config, services::Service},
    event::Now,
    score::{Model, ReasonCode},
    telemetry::pulse::Pulse,
};

mod assets;

mod board;

mod entry;

/// Pages that may be open at once.
const MOST_PAGES: usize = 64;

/// Messages that a slow page may lag behind; then it gets the whole state anew.
const LAG: usize = 8;

/// Whether a path belongs to the page: what a browser asks for by itself.
pub fn is_page(path: &str) -> bool {
    path == "/" || path == "/events" || path.starts_with("/assets/")
}

/// How often a message is written.
const TICK: Duration = Duration::from_secs(1);

/// A second is looked at this long after its end.
const SETTLED: Duration = Duration::from_millis(20);

/// A line waits this long for others, so that a long log does not wake the page's thread for each.
const COMPANY: Duration = Duration::from_millis(20);

/// Lines between two looks at the clock.
const MOST_AT_ONCE: usize = 4096;

/// The page of one process.
#[derive(Debug)]
pub struct Dashboard {
    settings: Settings,
    board: Mutex<Board>,
    messages: Mutex<Option<broadcast::Sender<Bytes>>>,
    pages: AtomicUsize,
}

/// What the page is told once.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// riskgate's version.
    version: &'static str,
    /// Where the lines come from, for the page's header.
    source: String,
    /// `DENY_AT` for clients that are not set apart.
    deny_at: f64,
    /// `REVIEW_AT` likewise.
    review_at: f64,
    /// `MODE` likewise.
    mode: &'static str,
    /// `BUDGET` in milliseconds.
    budget_ms: u64,
    /// The services that are asked.
    services: Vec<&'static str>,
    /// The date of the model's tables.
    model: String,
    /// What each reason means.
    meanings: BTreeMap<&'static str, &'static str>,
}

/// What the page shows.
#[derive(Debug)]
pub enum Feed {
    /// This process's own sign-ins, as they are decided.
    Live(Arc<Pulse>),
    /// The lines of a log.
    Log(Receiver<Arc<str>>),
}

/// Which clock the rings turn by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The wall clock: lines come as they happen.
    Wall,
    /// The lines' own times, and the wall clock once they have caught up with it: a log that is read from its beginning.
    Lines,
}

/// One open page; leaves when it is dropped.
struct Page {
    dashboard: Arc<Dashboard>,
    messages: broadcast::Receiver<Bytes>,
    next: Option<Bytes>,
}

// === impl Settings ===

impl Settings {
    /// The settings that a configuration describes.
    pub fn new(config: &Config, model: &Model, source: String) -> Self {
        Settings {
            version: env!("CARGO_PKG_VERSION"),
            source,
            deny_at: config.decision.deny_at.default,
            review_at: config.decision.review_at.default,
            mode: config.decision.mode.default.as_label(),
            budget_ms: u64::try_from(config.budget.total.as_millis()).unwrap_or(u64::MAX),
            services: config.services.services.iter().map(|service| service.service.as_label()).collect(),
            model: model.date().to_owned(),
            meanings: ReasonCode::OWN.iter().copied().chain(Service::ALL.map(ReasonCode::Service)).map(|code| (code.as_label(), code.meaning())).collect(),
        }
    }
}

// === impl Dashboard ===

impl Dashboard {
    /// A page and the thread that feeds it until it is closed.
    pub fn start(settings: Settings, feed: Feed) -> Arc<Self> {
        let (messages, _) = broadcast::channel(LAG);
        let dashboard = Arc::new(Dashboard { settings, board: Mutex::default(), messages: Mutex::new(Some(messages)), pages: AtomicUsize::new(0) });
        let weak = Arc::downgrade(&dashboard);
        let spawned = std::thread::Builder::new().name("riskgate-page".to_owned()).spawn(move || match feed {
            Feed::Live(pulse) => show_live(&weak, &pulse),
            Feed::Log(lines) => show_log(&weak, &lines),
        });
        if let Err(error) = spawned {
            tracing::error!(error.kind = ?error.kind(), "the thread that feeds the page could not be started; the page stays empty");
        }
        dashboard
    }

    /// The page's routes.
    pub fn routes<S: Clone + Send + Sync + 'static>(self: &Arc<Self>) -> Router<S> {
        let mut router = Router::new().route("/events", get(events)).with_state(Arc::clone(self));
        for asset in assets::ALL {
            router = router.route(asset.path, get(|| async { assets::serve(asset) }));
        }
        router
    }

    /// Ends every open stream, so that the server can end.
    pub fn close(&self) {
        drop(self.messages.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Everything that a new page needs.
    fn state(&self) -> Bytes {
        let settings = serde_json::to_string(&self.settings).unwrap_or_default();
        let state = self.board().state();
        format!("event: settings\ndata: {settings}\n\nevent: state\ndata: {state}\n\n").into()
    }

    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self) -> Option<broadcast::Receiver<Bytes>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(broadcast::Sender::subscribe)
    }

    fn send(&self, message: Bytes) -> Result<(), Closed> {
        match self.messages.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(messages) => {
                // Sending to no page is no failure.
                let _ = messages.send(message);
                Ok(())
            }
            None => Err(Closed),
        }
    }
}

/// The page has been closed.
struct Closed;

/// Takes what was counted in each second of the clock and writes a message, until the dashboard is dropped or closed.
fn show_live(dashboard: &Weak<Dashboard>, pulse: &Pulse) {
    loop {
        let into = u64::try_from(Now::read().wall.subsec_nanosecond()).unwrap_or_default();
        std::thread::sleep(TICK.saturating_sub(Duration::from_nanos(into)) + SETTLED);
        let Some(dashboard) = dashboard.upgrade() else { return };
        let now = Now::read().wall;
        let beat = pulse.take(now);
        let message = {
            let mut board = dashboard.board();
            board.take(beat, now.as_second() - 1);
            board.tick(now, Clock::Wall)
        };
        if dashboard.send(format!("event: tick\ndata: {message}\n\n").into()).is_err() {
            return;
        }
    }
}

/// Folds lines into the board and writes a message a second, until the dashboard is dropped or closed.
fn show_log(dashboard: &Weak<Dashboard>, lines: &Receiver<Arc<str>>) {
    let mut next = Instant::now() + TICK;
    loop {
        let line = lines.recv_timeout(next.saturating_duration_since(Instant::now()));
        let Some(dashboard) = dashboard.upgrade() else { return };
        match line {
            Ok(first) => {
                std::thread::sleep(COMPANY);
                let (mut board, now) = (dashboard.board(), Now::read().wall);
                std::iter::once(first).chain(lines.try_iter().take(MOST_AT_ONCE)).for_each(|line| board.record(&line, now));
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The log has ended; what it told stays on show.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(next.saturating_duration_since(Instant::now())),
        }
        if Instant::now() >= next {
            next = Instant::now() + TICK;
            let message = dashboard.board().tick(Now::read().wall, Clock::Lines);
            if dashboard.send(format!("event: tick\ndata: {message}\n\n").into()).is_err() {
                return;
            }
        }
    }
}

async fn events(State(dashboard): State<Arc<Dashboard>>) -> Response {
    let Some(messages) = dashboard.subscribe() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    if dashboard.pages.fetch_add(1, Ordering::Relaxed) >= MOST_PAGES {
        dashboard.pages.fetch_sub(1, Ordering::Relaxed);
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let next = Some(dashboard.state());
    let page = Page { dashboard, messages, next };
    let body = Body::from_stream(stream::unfold(page, |mut page| async move {
        let message = page.message().await?;
        Some((Ok::<_, std::convert::Infallible>(message), page))
    }));
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))], body).into_response()
}

// === impl Page ===

impl Page {
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

impl Drop for Page {
    fn drop(&mut self) {
        self.dashboard.pages.fetch_sub(1, Ordering::Relaxed);
    }
}
