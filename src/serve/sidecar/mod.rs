//! The HTTP face: routes, and the shell that stands before them.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, time::Instant};

use self::{door::Door, seats::Seats, shell::Shell};
use super::{
    Instance,
    dashboard::{Dashboard, Feed, Settings},
    secrets::{self, Need},
};
use crate::{
    config::{env::Fault, sidecar::SidecarConfig},
    event::Now,
    evidence::{history::unread::Part, resilience::deadline::Deadline},
};

mod door;

mod probes;

mod problem;

mod routes;

mod seats;

mod shell;

/// Longest time for a client to send its request's head, or to begin its next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest head of a request, in bytes.
const HEAD: usize = 16 * 1024;

/// `EMFILE` and `ENFILE`: the process, or the machine, has no file descriptor left.
const NO_DESCRIPTOR: [i32; 2] = [24, 23];

/// How long requests in flight may still take when the process is asked to end.
const DRAIN: Duration = Duration::from_secs(4);

/// And how long the lines of the last ones may still take to be written.
const LAST_LINES: Duration = Duration::from_millis(300);

/// How often the metrics' samples are folded, and it is looked whether secrets are to be asked for.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long the store may take to answer when it is tried.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Which routes a listener has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Everything: the main listener on loopback.
    Whole,
    /// Sign-ins only: the main listener on another address.
    Main,
    /// The dashboard and `/metrics` only.
    Admin,
}

/// Checks what only the sidecar needs: a public address needs a token.
pub fn check(instance: &Instance) -> Result<(), Fault> {
    let config = &instance.config.sidecar;
    if !config.listen.ip().is_loopback() && config.token.is_none() {
        let problem = "is needed because LISTEN is not a loopback address".to_owned();
        return Err(Fault { variable: "RISKGATE_TOKEN".to_owned(), problem });
    }
    Ok(())
}

/// Serves the main listener, and the admin listener where the main one is not loopback, until `stop`; then lets requests in flight end.
///
/// # Errors
///
/// An address that cannot be listened on.
pub async fn run(instance: Arc<Instance>, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let served = listen(&instance, stop).await;
    instance.telemetry.flush(Deadline::after(Instant::now(), LAST_LINES)).await;
    served
}

async fn listen(instance: &Arc<Instance>, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let started = Arc::clone(instance);
    // Sign-ins do not wait for it.
    tokio::spawn(async move { probe_store(&started).await });
    let config = &instance.config.sidecar;
    let main = TcpListener::bind(config.listen).await?;
    let listening = main.local_addr()?;
    if listening.ip().is_loopback() {
        tracing::info!(address = %listening, "listening");
        instance.report_ready();
        return serve(main, Side::Whole, Arc::clone(instance), stop).await;
    }
    let admin = TcpListener::bind(config.admin_listen).await?;
    tracing::info!(address = %listening, "listening");
    tracing::info!(address = %admin.local_addr()?, "dashboard and metrics");
    instance.report_ready();
    let (ended, ending) = tokio::sync::watch::channel(());
    let until_ended = |mut ending: tokio::sync::watch::Receiver<()>| async move {
        // Nothing is ever sent: the change is the sender's end.
        let _ = ending.changed().await;
    };
    let stopping = async {
        stop.await;
        drop(ended);
        std::future::pending::<()>().await;
    };
    let main = serve(main, Side::Main, Arc::clone(instance), until_ended(ending.clone()));
    let admin = serve(admin, Side::Admin, Arc::clone(instance), until_ended(ending));
    tokio::select! {
        () = stopping => Ok(()),
        served = async { tokio::try_join!(main, admin) } => served.map(|_| ()),
    }
}

/// Serves one listener until `stop`.
///
/// # Errors
///
/// A listener that has no address.
pub async fn serve(listener: TcpListener, side: Side, instance: Arc<Instance>, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let local = listener.local_addr()?;
    let page = (side != Side::Main).then(|| open_page(&instance, local));
    let door =
        Door::new(Shell::new(&instance.config.sidecar, Arc::clone(&instance.token), local), router(&instance, side, local, page.as_ref())).counting(&instance);
    let door = if side == Side::Admin { door } else { door.deciding(&instance) };
    let upkeep = page.as_ref().map(|_| tokio::spawn(keep_up(Arc::clone(&instance))));
    let close = || {
        if let Some(page) = page {
            page.close();
        }
        if let Some(upkeep) = upkeep {
            upkeep.abort();
        }
    };
    answer(listener, door, &instance.config.sidecar, stop, close).await;
    Ok(())
}

/// Serves nothing but a page until `stop`: for a log that is watched.
///
/// # Errors
///
/// A listener that has no address.
pub async fn serve_page(listener: TcpListener, page: Arc<Dashboard>, config: &SidecarConfig, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let shell = Shell::new(config, Arc::new(ArcSwapOption::from_pointee(config.token.clone())), listener.local_addr()?);
    let app = page.routes().fallback(problem::not_found).method_not_allowed_fallback(problem::method_not_allowed);
    answer(listener, Door::new(shell, app), config, stop, || page.close()).await;
    Ok(())
}

/// Answers connections until `stop`, then calls `close` and lets what is in flight end.
async fn answer(listener: TcpListener, door: Door, config: &SidecarConfig, stop: impl Future<Output = ()>, close: impl FnOnce()) {
    let (door, seats) = (Arc::new(door), Arc::new(Seats::new(capacity(config.max_in_flight))));
    let mut last_refusal: Option<Instant> = None;
    let graceful = hyper_util::server::graceful::GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Once a second: who floods the listener shall not flood the log.
                    if last_refusal.is_none_or(|last| last.elapsed() > Duration::from_secs(1)) {
                        last_refusal = Some(Instant::now());
                        tracing::warn!(kind = %error.kind(), "a connection could not be accepted");
                    }
                    if error.raw_os_error().is_some_and(|code| NO_DESCRIPTOR.contains(&code)) {
                        seats.dismiss();
                    }
                    // The one that gives way needs a moment to go; a client gone before it was greeted needs none.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let seat = seats.take();
        let seated = Arc::clone(&seat);
        let door = Arc::clone(&door);
        let service = service_fn(move |request| Arc::clone(&door).answer(request, Arc::clone(&seated)));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD).keep_alive(true);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        let seats = Arc::clone(&seats);
        tokio::spawn(async move {
            tokio::select! {
                // A client that breaks off or sends no HTTP is its own affair.
                _ = connection => {}
                () = seat.dismissed() => {}
            }
            seats.give_back(&seat);
        });
    }
    drop(listener);
    close();
    let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
}

/// How many connections are held: more than are worked on at once, for keep-alive connections that wait for their
/// client's next request, and fewer than the process has descriptors, so that services and stores find theirs.
fn capacity(max_in_flight: usize) -> usize {
    let wanted = max_in_flight + 512;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open_files = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse::<usize>().ok());
    open_files.map_or(wanted, |files| wanted.min(files.saturating_sub(files / 4).max(16)))
}

/// What is done every few seconds: metrics' samples are folded, which would pile up between two scrapes, and secrets asked for again.
async fn keep_up(instance: Arc<Instance>) {
    let mut every = tokio::time::interval(UPKEEP);
    loop {
        every.tick().await;
        instance.telemetry.upkeep();
        if instance.gate.health().store.is_failing(Part::Store) {
            probe_store(&instance).await;
        }
        for need in [Need::Missing, Need::Old] {
            instance.refresh(need, secrets::WAIT, Now::read()).await;
        }
    }
}

/// Tries the store, while sign-ins go on.
async fn probe_store(instance: &Instance) {
    let now = Now::read();
    instance.gate.sources().probe_store(now, Deadline::after(now.mono, PROBE_TIMEOUT)).await;
}

/// The page, fed by this instance's sign-ins.
fn open_page(instance: &Instance, local: SocketAddr) -> Arc<Dashboard> {
    let settings = Settings::new(&instance.config, instance.gate.model(), format!("live on {local}"));
    Dashboard::start(settings, Feed::Live(instance.telemetry.pulse()))
}

fn router(instance: &Arc<Instance>, side: Side, local: SocketAddr, page: Option<&Arc<Dashboard>>) -> Router {
    let mut app = Router::new();
    if side != Side::Admin {
        // The door leads posts to `assess` itself; the route says which method it wants.
        app = app.route(routes::ASSESS, post(problem::not_found)).route("/v1/outcome", post(routes::outcome)).route("/openapi.json", get(routes::openapi));
        if local.ip().is_loopback() {
            app = app.route("/2015-03-31/functions/{name}/invocations", post(routes::invoke));
        }
    }
    if let Some(page) = page {
        app = app.merge(page.routes()).route("/metrics", get(probes::metrics));
    }
    app.route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(instance))
}
