//! A limit for log messages that a persistent fault would repeat on every request.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The minimum time between two messages.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Allows one message a minute.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<Option<Instant>>);

impl LogLimit {
    /// A limit that has allowed no message yet.
    pub(crate) const fn new() -> Self {
        LogLimit(Mutex::new(None))
    }

    /// Whether a message may be logged at `now`. If so, it counts as logged.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged.is_none_or(|last| now.saturating_duration_since(last) >= LOG_INTERVAL);
        if is_due {
            *logged = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_a_minute_is_due() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        let due = (0..180).filter(|second| limit.is_due(start + Duration::from_secs(*second))).count();
        assert_eq!(due, 3);
    }
}
