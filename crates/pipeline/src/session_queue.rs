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

    /// Queues the token's session: always with managed login, and through the API only for clients whose successes are not reported. At a
    /// refresh, only if the last look-up is `SESSION_RECHECK` ago.
    pub async fn queue(self, instance: &Instance, facts: TokenSessionFacts, received: ClockReading, limit: Option<Duration>) {
        let is_due = match self.kind {
            SessionKind::ManagedLogin => true,
            SessionKind::SignIn => !facts.reports_success && facts.assessment.is_some(),
            SessionKind::Refresh => facts.is_recheck_due,
        };
        let Some(sessions) = instance.sessions.as_ref().filter(|_| is_due) else { return };
        // A refresh is not the sign-in that was assessed.
        let id = facts.assessment.filter(|_| self.kind != SessionKind::Refresh).unwrap_or_else(|| new_id(received));
        let priority = if self.kind == SessionKind::Refresh { Priority::Low } else { Priority::High };
        let identity = (&self.pool, &self.client, &self.user);
        let message = SessionMessage::new((id, self.kind, priority), identity, None, received.wall, &instance.engine.enricher().pseudonyms());
        send(instance, sessions, message, received, limit).await;
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
