//! Counts of what happened to the codes of custom challenges.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

use riskgate_engine::evidence::FailureReason;

/// What happened to a code; the label of `riskgate_challenges_total{result}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeEvent {
    /// It was sent.
    Sent,
    /// It was not sent, because a limit is exhausted.
    Limited,
    /// It was not sent, because the user has no verified address.
    NoRecipient,
    /// It was not sent, because the transport failed.
    Undeliverable,
    /// It was not sent, and `CHALLENGE_FALLBACK=allow` lets the sign-in continue.
    Waived,
    /// It was answered with the right code.
    Right,
    /// It was answered with a wrong code, or too often.
    Wrong,
    /// It was answered after it had expired.
    Expired,
}

/// Counts of what happened to the codes of custom challenges.
#[derive(Debug, Default)]
pub struct ChallengeHealth {
    counts: [AtomicU64; ChallengeEvent::ALL.len()],
    /// The minute in which each event was last logged, counted from one.
    last_logged: [AtomicU64; ChallengeEvent::ALL.len()],
    first_report: OnceLock<Instant>,
}

impl ChallengeEvent {
    /// Every event.
    pub const ALL: [ChallengeEvent; 8] = [
        ChallengeEvent::Sent,
        ChallengeEvent::Limited,
        ChallengeEvent::NoRecipient,
        ChallengeEvent::Undeliverable,
        ChallengeEvent::Waived,
        ChallengeEvent::Right,
        ChallengeEvent::Wrong,
        ChallengeEvent::Expired,
    ];

    /// The label in metrics and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            ChallengeEvent::Sent => "sent",
            ChallengeEvent::Limited => "limited",
            ChallengeEvent::NoRecipient => "no_recipient",
            ChallengeEvent::Undeliverable => "undeliverable",
            ChallengeEvent::Waived => "waived",
            ChallengeEvent::Right => "right",
            ChallengeEvent::Wrong => "wrong",
            ChallengeEvent::Expired => "expired",
        }
    }

    /// Whether no code was sent although one was needed.
    pub fn is_failure(self) -> bool {
        match self {
            ChallengeEvent::Limited | ChallengeEvent::NoRecipient | ChallengeEvent::Undeliverable => true,
            ChallengeEvent::Sent | ChallengeEvent::Waived | ChallengeEvent::Right | ChallengeEvent::Wrong | ChallengeEvent::Expired => false,
        }
    }
}

impl ChallengeHealth {
    /// Counts an event. A failure, and a code that was waived, are logged at most once a minute for each event.
    pub fn report(&self, event: ChallengeEvent, cause: Option<FailureReason>, now: Instant) {
        self.counts[event as usize].fetch_add(1, Ordering::Relaxed);
        if !event.is_failure() && event != ChallengeEvent::Waived {
            return;
        }
        let minute = now.saturating_duration_since(*self.first_report.get_or_init(|| now)).as_secs() / 60 + 1;
        if self.last_logged[event as usize].swap(minute, Ordering::Relaxed) != minute {
            let cause = cause.map_or("none", FailureReason::as_label);
            tracing::warn!(result = event.as_label(), cause, "no code was sent for a challenge; not logged again for this result for a minute");
        }
    }

    /// How often an event happened.
    pub fn count(&self, event: ChallengeEvent) -> u64 {
        self.counts[event as usize].load(Ordering::Relaxed)
    }

    /// How often no code was sent although one was needed.
    pub fn failures(&self) -> u64 {
        ChallengeEvent::ALL.into_iter().filter(|event| event.is_failure()).map(|event| self.count(event)).sum()
    }
}
