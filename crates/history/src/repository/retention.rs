//! How long records are stored. Anyone can create a record with an invented name, so a record with attempts only expires when its attempts are
//! not needed any more, whether the name exists or not.

use std::time::Duration;

use jiff::Timestamp;

use riskgate_config::{Config, history::Learn};
use riskgate_engine::velocity::FAILURE_WINDOW_SECONDS;
use riskgate_store::Ttl;

/// Added to the TTL of records with more than attempts, such as a profile or a block.
pub(super) const SLACK: Duration = Duration::from_secs(86_400);

/// Added to the TTL of records with attempts only: for the time between an attempt and its decision, and differences between clocks.
const ATTEMPT_SLACK: Duration = Duration::from_secs(300);

/// Retention times, and the learning mode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    pub(super) history: Duration,
    /// How long rows of the activity table are stored; zero: none are.
    pub(super) activity: Duration,
    pub(super) pending: Duration,
    pub(super) nonce: Duration,
    pub(super) restriction: Duration,
    pub(super) challenge: Duration,
    pub(super) learn: Learn,
    /// Whether a success is learned from only after its session was looked up, or some minutes later.
    pub(super) awaits_session: bool,
    /// How often a session is looked up again at a refresh.
    pub(super) recheck: Duration,
}

impl Retention {
    pub(super) fn new(config: &Config) -> Self {
        Retention {
            history: config.history.ttl,
            activity: config.history.activity_ttl,
            pending: config.history.pending_ttl,
            nonce: riskgate_event::signed_context::nonce_ttl(config.trust.context_max_age),
            restriction: config.token.review_hold,
            challenge: config.token.challenge_hold,
            learn: config.history.learn,
            awaits_session: config.sessions.queue.is_some(),
            recheck: config.sessions.recheck,
        }
    }

    /// The minimum TTL of a record with history or a restriction, without [`SLACK`].
    pub(super) fn record(self) -> Duration {
        self.history.max(self.restriction).max(self.challenge)
    }

    /// The time for which an attempt is needed: for its post-authentication, and to be counted as a failure.
    fn attempt_needed(self) -> Duration {
        self.pending.max(Duration::from_secs(FAILURE_WINDOW_SECONDS.unsigned_abs()))
    }

    /// The minimum TTL of a record with an attempt.
    pub(super) fn attempt(self) -> Duration {
        self.attempt_needed() + ATTEMPT_SLACK
    }

    /// The TTL rule when an attempt's decision is recorded. If the store reports that the record expires too early, because an earlier attempt
    /// set its TTL and the store does not extend it, this write extends it.
    pub(super) fn decided_attempt(self, expires_at: Option<i64>, now: Timestamp) -> Ttl {
        let needed = now.as_second().saturating_add_unsigned((self.attempt_needed() + ATTEMPT_SLACK / 2).as_secs());
        match expires_at.filter(|expires_at| *expires_at < needed) {
            Some(from) => Ttl::Extend { from, ttl: self.attempt() },
            None => Ttl::AtLeast(self.attempt()),
        }
    }
}
