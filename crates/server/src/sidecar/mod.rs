//! The HTTP sidecar: listeners, connections and routes.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    routing::{get, post},
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, time::Instant};

use crate::dashboard::{Dashboard, Feed, Settings, access::Access};
use crate::problem;
use crate::sidecar::{connection_limit::ConnectionLimit, metrics_page::MetricsPage, request_filter::RequestFilter, service::SidecarService};
use riskgate_config::{env::ConfigError, sidecar::SidecarConfig};
use riskgate_engine::evidence::store_parts::StorePart;
use riskgate_pipeline::{
    instance::Instance,
    secrets::{self, RenewalReason},
};
use riskgate_runtime::clock;
use riskgate_runtime::deadline::Deadline;

mod connection_limit;

mod metrics_page;

mod probes;

mod request_filter;

mod routes;

mod service;

/// Longest time that a client may take to send the head of a request, or to start its next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// `EMFILE` and `ENFILE`: the process or the machine has no file descriptor left.
const NO_DESCRIPTOR: [i32; 2] = [24, 23];

/// How long requests in flight may take after the shutdown signal.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// How long the audit lines of the last requests may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(300);

/// The interval of background maintenance: aggregation of metric samples, and renewal of secrets that are due.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(5);

/// The interval in which counts of pools are written. Their states are read every ten seconds.
const POOL_INTERVAL: Duration = Duration::from_secs(2);

/// How long the store may take to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Selects the routes of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerRole {
    /// All routes: the main listener on a loopback address.
    Combined,
    /// The API without dashboard and `/metrics`: the main listener on another address.
    Main,
    /// The dashboard and `/metrics` only.
    Admin,
}

/// Checks the settings that only the sidecar needs: an address other than loopback requires a token.
///
/// # Errors
///
/// The token is missing.
pub fn check(instance: &Instance) -> Result<(), ConfigError> {
    let config = &instance.config.sidecar;
    if !config.listen.ip().is_loopback() && config.token.is_none() {
        let problem = "is needed because LISTEN is not a loopback address".to_owned();
        return Err(ConfigError { variable: "RISKGATE_TOKEN".to_owned(), problem });
    }
    Ok(())
}

/// Serves the main listener until `stop`, and the admin listener as well when the main one is not on loopback. Requests in flight complete.
///
/// # Errors
///
/// An address cannot be bound.
pub async fn run(instance: Arc<Instance>, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let served = listen(&instance, stop).await;
    // The counts of the last sign-ins.
    instance.update_pools(clock::read()).await;
    instance.flush(Deadline::after(Instant::now(), FLUSH_TIMEOUT)).await;
    served
}

async fn listen(instance: &Arc<Instance>, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let started = Arc::clone(instance);
    // In the background, because sign-ins do not wait for it.
    tokio::spawn(async move { probe_store(&started).await });
    let config = &instance.config.sidecar;
    let main = TcpListener::bind(config.listen).await?;
    let listening = main.local_addr()?;
    if listening.ip().is_loopback() {
        tracing::info!(address = %listening, "listening");
        instance.report_ready();
        return serve(main, ListenerRole::Combined, Arc::clone(instance), stop).await;
    }
    let admin = TcpListener::bind(config.admin_listen).await?;
    tracing::info!(address = %listening, "listening");
    tracing::info!(address = %admin.local_addr()?, "listening for dashboard and metrics");
    instance.report_ready();
    let (ended, ending) = tokio::sync::watch::channel(());
    let until_ended = |mut ending: tokio::sync::watch::Receiver<()>| async move {
        // No value is sent. The call returns when the sender is dropped.
        let _ = ending.changed().await;
    };
    let stopping = async {
        stop.await;
        drop(ended);
        std::future::pending::<()>().await;
    };
    let main = serve(main, ListenerRole::Main, Arc::clone(instance), until_ended(ending.clone()));
    let admin = serve(admin, ListenerRole::Admin, Arc::clone(instance), until_ended(ending));
    tokio::select! {
        () = stopping => Ok(()),
        served = async { tokio::try_join!(main, admin) } => served.map(|_| ()),
    }
}

/// Serves one listener until `stop`.
///
/// # Errors
///
/// The address of the listener cannot be read.
pub async fn serve(listener: TcpListener, role: ListenerRole, instance: Arc<Instance>, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let local = listener.local_addr()?;
    let dashboard = (role != ListenerRole::Main).then(|| start_dashboard(&instance, local));
    serve_with(listener, (role, local), instance, dashboard, stop).await;
    Ok(())
}

/// Serves the dashboard of the decisions in a shared store until `stop`, with `/metrics` and the probes, for `riskgate dashboard`.
///
/// # Errors
///
/// The address of the listener cannot be read.
pub async fn serve_store(listener: TcpListener, instance: Arc<Instance>, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let local = listener.local_addr()?;
    let store = instance.engine.enricher().repository().map_or("no", |repository| repository.store().name());
    let settings = Settings::new(&instance.config, instance.engine.model(), format!("{store} store"));
    let dashboard = Dashboard::start(settings, Feed::Store(Arc::clone(&instance)), Some(Arc::clone(&instance)));
    let flushed = Arc::clone(&instance);
    serve_with(listener, (ListenerRole::Admin, local), instance, Some(dashboard), stop).await;
    flushed.flush(Deadline::after(Instant::now(), FLUSH_TIMEOUT)).await;
    Ok(())
}

async fn serve_with(
    listener: TcpListener,
    (role, local): (ListenerRole, SocketAddr),
    instance: Arc<Instance>,
    dashboard: Option<Arc<Dashboard>>,
    stop: impl Future<Output = ()>,
) {
    let service = SidecarService::new(
        RequestFilter::new(&instance.config.sidecar, Arc::clone(&instance.token), Arc::clone(&instance.dashboard_access), local),
        router(&instance, role, local, dashboard.as_ref()),
    )
    .with_telemetry(&instance);
    let service = if role == ListenerRole::Admin { service } else { service.with_assessment(&instance) };
    let maintenance = dashboard.as_ref().map(|dashboard| {
        let maintained = run_maintenance(Arc::clone(&instance));
        // A dashboard of a store shows the detector's state and leaves it, and its reports, to the processes that decide.
        let monitored = (!dashboard.reads_store()).then(|| run_pool_monitor(Arc::clone(&instance)));
        tokio::spawn(futures_util::future::join(maintained, futures_util::future::OptionFuture::from(monitored)))
    });
    let close = || {
        if let Some(dashboard) = dashboard {
            dashboard.close();
        }
        if let Some(maintenance) = maintenance {
            maintenance.abort();
        }
    };
    serve_connections(listener, service, &instance.config.sidecar, stop, close).await;
}

/// Serves only the dashboard until `stop`, for `riskgate watch`.
///
/// # Errors
///
/// The address of the listener cannot be read.
pub async fn serve_dashboard(
    listener: TcpListener,
    dashboard: Arc<Dashboard>,
    (config, access): (&SidecarConfig, Access),
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let request_filter = RequestFilter::new(config, Arc::new(ArcSwapOption::from_pointee(config.token.clone())), access, listener.local_addr()?);
    let app = dashboard.routes().fallback(problem::not_found).method_not_allowed_fallback(problem::method_not_allowed);
    serve_connections(listener, SidecarService::new(request_filter, app), config, stop, || dashboard.close()).await;
    Ok(())
}

/// Serves connections until `stop`, then calls `close` and waits for requests in flight.
async fn serve_connections(listener: TcpListener, service: SidecarService, config: &SidecarConfig, stop: impl Future<Output = ()>, close: impl FnOnce()) {
    let (service, connection_limit) = (Arc::new(service), Arc::new(ConnectionLimit::new(connection_capacity(config.max_in_flight))));
    let mut last_logged: Option<Instant> = None;
    let graceful = hyper_util::server::graceful::GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => (stream, peer.ip()),
                Err(error) => {
                    // At most one line a second, because a flood of connections must not flood the log.
                    if last_logged.is_none_or(|last| last.elapsed() > Duration::from_secs(1)) {
                        last_logged = Some(Instant::now());
                        tracing::warn!(kind = %error.kind(), "could not accept a connection");
                    }
                    if error.raw_os_error().is_some_and(|code| NO_DESCRIPTOR.contains(&code)) {
                        connection_limit.evict_idle();
                    }
                    // The evicted connection needs some time to close.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let slot = connection_limit.acquire();
        let (service, request_slot) = (Arc::clone(&service), Arc::clone(&slot));
        let service = service_fn(move |request| Arc::clone(&service).answer(peer, request, Arc::clone(&request_slot)));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES).keep_alive(true);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        let connection_limit = Arc::clone(&connection_limit);
        tokio::spawn(async move {
            tokio::select! {
                // Errors of the client, such as a reset or invalid HTTP, are ignored.
                _ = connection => {}
                () = slot.evicted() => {}
            }
            connection_limit.release(&slot);
        });
    }
    drop(listener);
    close();
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
}

/// The limit on open connections. It exceeds the number of concurrent requests, to leave room for idle keep-alive connections.
/// It stays below the limit on open files, because providers and stores need descriptors too.
fn connection_capacity(max_in_flight: usize) -> usize {
    let wanted = max_in_flight + 512;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open_files = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse::<usize>().ok());
    open_files.map_or(wanted, |files| wanted.min(files.saturating_sub(files / 4).max(16)))
}

/// Runs the background maintenance. Metric samples are aggregated, because they would accumulate between two scrapes. A failing store is
/// probed, and secrets are renewed when due.
async fn run_maintenance(instance: Arc<Instance>) {
    let mut interval = tokio::time::interval(MAINTENANCE_INTERVAL);
    loop {
        interval.tick().await;
        instance.telemetry.upkeep();
        if instance.engine.health().store.is_failing(StorePart::Store) {
            probe_store(&instance).await;
        }
        for reason in [RenewalReason::Missing, RenewalReason::Stale] {
            instance.refresh_secrets(reason, secrets::WAIT_TIMEOUT, clock::read()).await;
        }
    }
}

/// Writes the counts of pools and reads the states of their attack detectors, in the background of the sign-ins.
async fn run_pool_monitor(instance: Arc<Instance>) {
    let mut interval = tokio::time::interval(POOL_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        instance.update_pools(clock::read()).await;
    }
}

/// Probes the store and records the result in the health state.
async fn probe_store(instance: &Instance) {
    let now = clock::read();
    instance.engine.enricher().probe_store(now, Deadline::after(now.mono, PROBE_TIMEOUT)).await;
}

/// Starts the dashboard with the sign-ins of this instance.
fn start_dashboard(instance: &Arc<Instance>, local: SocketAddr) -> Arc<Dashboard> {
    let settings = Settings::new(&instance.config, instance.engine.model(), format!("live on {local}"));
    Dashboard::start(settings, Feed::Live(instance.telemetry.live_stats()), Some(Arc::clone(instance)))
}

fn router(instance: &Arc<Instance>, role: ListenerRole, local: SocketAddr, dashboard: Option<&Arc<Dashboard>>) -> Router {
    let mut app = Router::new();
    if role != ListenerRole::Admin {
        // `SidecarService` handles POST itself. This route only answers other methods with 405.
        app = app.route(routes::ASSESS_PATH, post(problem::not_found)).route("/v1/outcome", post(routes::outcome)).route("/openapi.json", get(routes::openapi));
        app = app.route("/v1/step-up", post(routes::step_up));
        if local.ip().is_loopback() {
            app = app.route("/2015-03-31/functions/{name}/invocations", post(routes::invoke));
        }
    }
    if let Some(dashboard) = dashboard {
        let page = Arc::new(MetricsPage::new(Instant::now()));
        let metrics = async move |State(instance): State<Arc<Instance>>| page.answer(instance).await;
        app = app.merge(dashboard.routes()).route("/metrics", get(metrics));
    }
    app.route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(instance))
}
