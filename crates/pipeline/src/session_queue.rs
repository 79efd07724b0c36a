//! Queues the sign-ins whose session is looked up: after a success, after a managed-login token, and at some refreshes.

use std::{pin::pin, time::Duration};

use smol_str::SmolStr;
use tokio::time::Instant;

use riskgate_engine::{evidence::FailureReason, sign_in::User, time::ClockReading};
use riskgate_event::cognito::{PostAuthentication, PreTokenGeneration};
use riskgate_history::{
    attempt::RiskLevel,
    repository::{sessions::AwaitedSession, token::TokenSessionFacts},
};
use riskgate_runtime::session_health::SessionEvent;

use crate::{
    instance::Instance,
    risk_engine::new_id,
    sessions::{
        Sessions,
        message::{Priority, SessionKind, SessionMessage},
    },
};

/// The longest wait for the queue.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);

/// A token whose session may be looked up.
#[derive(Debug)]
pub struct TokenSession {
    kind: SessionKind,
    pool: SmolStr,
    client: SmolStr,
    user: User,
}

/// Queues a success, if its session is looked up. A failure is counted and changes nothing else.
pub async fn queue_success(
    instance: &Instance,
    event: &PostAuthentication,
    awaited: Option<(AwaitedSession, Option<SmolStr>)>,
    received: ClockReading,
    limit: Option<Duration>,
) {
    let (Some(sessions), Some((awaited, id))) = (&instance.sessions, awaited) else { return };
    let priority = if awaited.risk_level == RiskLevel::Low { Priority::Low } else { Priority::High };
    let about = (id.unwrap_or_else(|| new_id(received)), SessionKind::SignIn, priority);
    let identity = (&event.pool, &event.client, &event.user);
    let message = SessionMessage::new(about, identity, awaited.sample, received.wall, &instance.engine.enricher().pseudonyms());
    send(instance, sessions, message, received, limit).await;
}

impl TokenSession {
    /// The session of a user's token; `None` if sessions are not looked up, or the token is of another kind.
    pub fn of(instance: &Instance, event: &PreTokenGeneration) -> Option<Self> {
        instance.sessions.as_ref()?;
        let kind = match event.source.as_str() {
            "HostedAuth" => SessionKind::ManagedLogin,
            "Authentication" => SessionKind::SignIn,
            "RefreshTokens" => SessionKind::Refresh,
            _ => return None,
        };
        Some(TokenSession { kind, pool: event.pool.clone(), client: event.client.clone(), user: event.user.clone() })
    }

    /// Queues the token's session, if it is looked up.
    pub async fn queue(self, instance: &Instance, facts: TokenSessionFacts, received: ClockReading, limit: Option<Duration>) {
        let (Some(sessions), Some(kind)) = (&instance.sessions, due_kind(self.kind, &facts)) else { return };
        // A refresh is not the sign-in that was assessed.
        let id = facts.assessment.filter(|_| kind != SessionKind::Refresh).unwrap_or_else(|| new_id(received));
        let priority = if kind == SessionKind::Refresh { Priority::Low } else { Priority::High };
        let identity = (&self.pool, &self.client, &self.user);
        let message = SessionMessage::new((id, kind, priority), identity, None, received.wall, &instance.engine.enricher().pseudonyms());
        send(instance, sessions, message, received, limit).await;
    }
}

/// What is looked up at a token: with managed login each session, through the API only that of a sign-in whose success is not reported. At a
/// refresh, only if the last look-up is `SESSION_RECHECK` ago.
fn due_kind(kind: SessionKind, facts: &TokenSessionFacts) -> Option<SessionKind> {
    match kind {
        SessionKind::ManagedLogin => Some(kind),
        SessionKind::SignIn if !facts.reports_success && facts.assessment.is_some() => Some(kind),
        // The event of `GetTokensFromRefreshToken` is that of a sign-in.
        SessionKind::SignIn => (facts.is_recheck_due && !facts.has_recent_success).then_some(SessionKind::Refresh),
        SessionKind::Refresh => facts.is_recheck_due.then_some(kind),
    }
}

async fn send(instance: &Instance, sessions: &Sessions, message: Option<SessionMessage>, received: ClockReading, limit: Option<Duration>) {
    let deadline = instance.engine.deadline(received.mono, limit).sooner(Instant::now(), SEND_TIMEOUT);
    let sent = match &message {
        Some(message) => {
            let sending = pin!(sessions.send(message, sessions.config.delay, received));
            deadline.run(sending).await.unwrap_or(Err(FailureReason::Timeout))
        }
        None => Err(FailureReason::BadAnswer),
    };
    let event = if sent.is_ok() { SessionEvent::Queued } else { SessionEvent::QueueFailed };
    instance.engine.health().sessions.report(event, sent.err(), Instant::now());
    instance.telemetry.record_sessions(received.wall, deadline).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_that_looks_like_a_sign_in_is_looked_up_when_due() {
        let facts = |is_recheck_due, has_recent_success| TokenSessionFacts { is_recheck_due, has_recent_success, ..TokenSessionFacts::default() };
        assert_eq!(due_kind(SessionKind::SignIn, &facts(true, false)), Some(SessionKind::Refresh));
        assert_eq!(due_kind(SessionKind::SignIn, &facts(true, true)), None, "the token of a sign-in");
        assert_eq!(due_kind(SessionKind::SignIn, &facts(false, false)), None);
        let pending = TokenSessionFacts { assessment: Some("id".into()), ..facts(true, false) };
        assert_eq!(due_kind(SessionKind::SignIn, &pending), Some(SessionKind::SignIn), "its success is not reported");
        assert_eq!(due_kind(SessionKind::SignIn, &TokenSessionFacts { reports_success: true, ..pending }), Some(SessionKind::Refresh));
        assert_eq!(due_kind(SessionKind::Refresh, &facts(true, true)), Some(SessionKind::Refresh));
    }
}
