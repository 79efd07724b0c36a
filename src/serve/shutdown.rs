//! The signals that end a process in order, SIGTERM and Ctrl-C, and SIGHUP, by which log files are opened again.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to end.
pub async fn requested() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        // Without handlers the default action ends the process anyway.
        (Err(_), _) | (_, Err(_)) => std::future::pending().await,
    }
}

/// Runs an action at each SIGHUP. From the first poll on the signal does not end the process.
pub async fn on_hangup(action: impl Fn()) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    while hangup.recv().await.is_some() {
        action();
    }
}

/// Resolves when the process is asked to end, or its terminal is closed.
pub async fn requested_or_hung_up() {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return requested().await };
    tokio::select! {
        () = requested() => {}
        _ = hangup.recv() => {}
    }
}
