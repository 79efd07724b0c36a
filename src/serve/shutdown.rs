//! The signals that end a process in order: SIGTERM and Ctrl-C.

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
