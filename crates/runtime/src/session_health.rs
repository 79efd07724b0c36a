//! Counts of what happened to the look-ups of sessions.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::time::Instant;

use riskgate_engine::evidence::FailureReason;

/// What happened to a sign-in whose session is looked up; the label of `riskgate_sessions_total{result}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEvent {
    /// It was queued.
    Queued,
    /// It could not be queued, so it is never looked up.
    QueueFailed,
    /// The session was judged and is confirmed.
    Confirmed,
    /// The session was judged as a sign-in to challenge.
    Challenged,
    /// The session was judged as a sign-in to deny.
    Denied,
    /// A denied session was revoked.
    Revoked,
    /// A denied session could not be revoked.
    RevokeFailed,
    /// The claimed address contradicts the session's. Counted beside the judgement.
    Contradicted,
    /// The session moved too fast since it was first seen. Counted beside the judgement.
    Moved,
    /// A token refresh from where the session was first seen, or near it.
    Rechecked,
    /// Several sessions match.
    Ambiguous,
    /// No session matches, or it has no public address.
    Unmatched,
    /// The address belongs to many users of the pool: a backend, a proxy or an office.
    SharedEgress,
    /// It was not looked up, because the limit of calls was reached.
    Skipped,
    /// It was judged before: the queue delivered its message twice.
    Duplicate,
    /// The user's data was erased in the meantime.
    Forgotten,
    /// The user pool does not answer the call: tracking is off, the tier is Lite, or the role lacks the permission.
    NotAllowed,
    /// The look-up, the judgement or the store failed; the queue delivers the message again.
    Failed,
    /// The message could not be read.
    Unreadable,
}

/// What the operator must fix before sessions can be looked up or revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionProblem {
    /// Session tracking is off in the user pool, or its tier has none.
    TrackingOff,
    /// Threat protection is off in the user pool, so there are no authentication events.
    ThreatProtectionOff,
    /// The role of the session function lacks a permission.
    NotPermitted,
    /// There are no AWS credentials, or no region.
    NoCredentials,
    /// The role of the session function may not revoke.
    RevokeNotPermitted,
    /// The source names no session to revoke.
    NotRevocable,
}

impl SessionProblem {
    /// Every problem.
    pub const ALL: [SessionProblem; 6] = [
        SessionProblem::TrackingOff,
        SessionProblem::ThreatProtectionOff,
        SessionProblem::NotPermitted,
        SessionProblem::NoCredentials,
        SessionProblem::RevokeNotPermitted,
        SessionProblem::NotRevocable,
    ];

    /// The label in the store and in `/readyz`.
    pub fn as_label(self) -> &'static str {
        match self {
            SessionProblem::TrackingOff => "tracking_off",
            SessionProblem::ThreatProtectionOff => "threat_protection_off",
            SessionProblem::NotPermitted => "not_permitted",
            SessionProblem::NoCredentials => "no_credentials",
            SessionProblem::RevokeNotPermitted => "revoke_not_permitted",
            SessionProblem::NotRevocable => "not_revocable",
        }
    }

    /// The problem of a label; `None` for a label of another version.
    pub fn from_label(label: &str) -> Option<Self> {
        SessionProblem::ALL.into_iter().find(|problem| problem.as_label() == label)
    }

    /// Whether sessions can be looked up, but not revoked.
    pub fn concerns_revoking(self) -> bool {
        matches!(self, SessionProblem::RevokeNotPermitted | SessionProblem::NotRevocable)
    }

    /// What the operator can do.
    pub fn help(self) -> &'static str {
        match self {
            SessionProblem::TrackingOff => {
                "session tracking is off in this user pool, or its tier (Lite) has none: turn it on with deploy/attach apply --session-tracking"
            }
            SessionProblem::ThreatProtectionOff => "threat protection is off in this user pool: authentication events need the Plus tier",
            SessionProblem::NotPermitted => {
                "the session function may not list sessions: allow cognito-idp:AdminListUserSessions (with SESSION_SOURCE=auth_events: \
                 AdminListUserAuthEvents) on the pool"
            }
            SessionProblem::NoCredentials => "there are no AWS credentials or no region to sign calls to Cognito",
            SessionProblem::RevokeNotPermitted => "the session function may not revoke sessions: allow cognito-idp:AdminRevokeUserSession on the pool",
            SessionProblem::NotRevocable => "authentication events name no session to revoke: set SESSION_ON_DENY=report",
        }
    }
}

/// Counts of what happened to the look-ups of sessions, and what the operator must fix.
#[derive(Debug, Default)]
pub struct SessionHealth {
    counts: [AtomicU64; SessionEvent::ALL.len()],
    /// The minute in which each event was last logged, counted from one.
    last_logged: [AtomicU64; SessionEvent::ALL.len()],
    first_report: OnceLock<Instant>,
    problem: Mutex<Option<SessionProblem>>,
    /// The longest lag that was not read yet, in milliseconds.
    lag: AtomicU64,
}

impl SessionEvent {
    /// Every event.
    pub const ALL: [SessionEvent; 19] = [
        SessionEvent::Queued,
        SessionEvent::QueueFailed,
        SessionEvent::Confirmed,
        SessionEvent::Challenged,
        SessionEvent::Denied,
        SessionEvent::Revoked,
        SessionEvent::RevokeFailed,
        SessionEvent::Contradicted,
        SessionEvent::Moved,
        SessionEvent::Rechecked,
        SessionEvent::Ambiguous,
        SessionEvent::Unmatched,
        SessionEvent::SharedEgress,
        SessionEvent::Skipped,
        SessionEvent::Duplicate,
        SessionEvent::Forgotten,
        SessionEvent::NotAllowed,
        SessionEvent::Failed,
        SessionEvent::Unreadable,
    ];

    /// The label in metrics and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            SessionEvent::Queued => "queued",
            SessionEvent::QueueFailed => "queue_failed",
            SessionEvent::Confirmed => "confirmed",
            SessionEvent::Challenged => "challenged",
            SessionEvent::Denied => "denied",
            SessionEvent::Revoked => "revoked",
            SessionEvent::RevokeFailed => "revoke_failed",
            SessionEvent::Contradicted => "contradicted",
            SessionEvent::Moved => "moved",
            SessionEvent::Rechecked => "rechecked",
            SessionEvent::Ambiguous => "ambiguous",
            SessionEvent::Unmatched => "unmatched",
            SessionEvent::SharedEgress => "shared_egress",
            SessionEvent::Skipped => "skipped",
            SessionEvent::Duplicate => "duplicate",
            SessionEvent::Forgotten => "forgotten",
            SessionEvent::NotAllowed => "not_allowed",
            SessionEvent::Failed => "failed",
            SessionEvent::Unreadable => "unreadable",
        }
    }

    /// Whether a sign-in that should have been judged was not, because something failed.
    pub fn is_failure(self) -> bool {
        matches!(self, SessionEvent::QueueFailed | SessionEvent::RevokeFailed | SessionEvent::NotAllowed | SessionEvent::Failed | SessionEvent::Unreadable)
    }
}

impl SessionHealth {
    /// Counts an event. A failure is logged at most once a minute for each event.
    pub fn report(&self, event: SessionEvent, cause: Option<FailureReason>, now: Instant) {
        self.counts[event as usize].fetch_add(1, Ordering::Relaxed);
        if !event.is_failure() {
            return;
        }
        let minute = now.saturating_duration_since(*self.first_report.get_or_init(|| now)).as_secs() / 60 + 1;
        if self.last_logged[event as usize].swap(minute, Ordering::Relaxed) != minute {
            let cause = cause.map_or("none", FailureReason::as_label);
            tracing::warn!(result = event.as_label(), cause, "a session was not looked up; not logged again for this result for a minute");
        }
    }

    /// How often an event happened.
    pub fn count(&self, event: SessionEvent) -> u64 {
        self.counts[event as usize].load(Ordering::Relaxed)
    }

    /// How often something failed.
    pub fn failures(&self) -> u64 {
        SessionEvent::ALL.into_iter().filter(|event| event.is_failure()).map(|event| self.count(event)).sum()
    }

    /// Records the time in milliseconds from a sign-in to the judgement of its session.
    pub fn observe_lag(&self, millis: u64) {
        self.lag.fetch_max(millis, Ordering::Relaxed);
    }

    /// The longest lag in milliseconds since the last call; 0 if nothing was judged.
    pub fn take_lag(&self) -> u64 {
        self.lag.swap(0, Ordering::Relaxed)
    }

    /// The longest lag in milliseconds that was not taken yet.
    pub fn lag(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
    }

    /// Sets what the operator must fix; `None` once a call succeeds.
    pub fn set_problem(&self, problem: Option<SessionProblem>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// What the operator must fix, if known.
    pub fn problem(&self) -> Option<SessionProblem> {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
