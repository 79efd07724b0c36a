//! Process signals: SIGTERM and Ctrl-C for a graceful shutdown, SIGHUP to reopen the log files.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves on SIGTERM or Ctrl-C.
pub async fn requested() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        // Without a handler, the default action of the signal ends the process.
        (Err(_), _) | (_, Err(_)) => std::future::pending().await,
    }
}

/// Runs an action at each SIGHUP. After the first poll, the signal no longer ends the process.
pub async fn on_hangup(action: impl Fn()) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    while hangup.recv().await.is_some() {
        action();
    }
}

/// Resolves on SIGTERM or Ctrl-C, or when the terminal is closed.
pub async fn requested_or_hung_up() {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return requested().await };
    tokio::select! {
        () = requested() => {}
        _ = hangup.recv() => {}
    }
}
