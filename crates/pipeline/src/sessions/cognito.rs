//! The two sources in Amazon Cognito: `AdminListUserSessions` and `AdminListUserAuthEvents`.

use jiff::Timestamp;

use super::source::{SessionEntry, SessionSource, SessionType, SourceAnswer, SourceError};
use riskgate_aws::{
    json_call::CallError,
    user_pools::{AuthEvent, UserPoolsClient, UserSession},
};
use riskgate_engine::{evidence::FailureReason, time::ClockReading};
use riskgate_runtime::session_health::SessionProblem;

/// The most pages of a user's sessions that are read. A pool allows at most 100 token sessions, which fit one page of 125.
const MAX_PAGES: usize = 4;

/// Sessions of a pool with session tracking (Essentials, Plus).
#[derive(Debug)]
pub struct TrackedSessions(pub UserPoolsClient);

/// Authentication events of a pool with threat protection (Plus). An event names no app client, so it matches by time alone.
#[derive(Debug)]
pub struct AuthEvents(pub UserPoolsClient);

impl SessionSource for TrackedSessions {
    fn list<'a>(&'a self, pool: &'a str, user: &'a str, now: ClockReading) -> SourceAnswer<'a, Vec<SessionEntry>> {
        Box::pin(async move {
            let listed = self.0.list_sessions(pool, user, MAX_PAGES, now).await.map_err(error_of)?;
            Ok(listed.sessions.into_iter().filter_map(session_entry).collect())
        })
    }

    fn revoke<'a>(&'a self, pool: &'a str, user: &'a str, session: &'a str, now: ClockReading) -> SourceAnswer<'a, ()> {
        Box::pin(async move {
            match self.0.revoke_session(pool, user, session, now).await {
                // It has ended already.
                Err(error) if error.name == "ResourceNotFoundException" => Ok(()),
                result => result.map_err(|error| revoke_error_of(error_of(error))),
            }
        })
    }
}

impl SessionSource for AuthEvents {
    fn list<'a>(&'a self, pool: &'a str, user: &'a str, now: ClockReading) -> SourceAnswer<'a, Vec<SessionEntry>> {
        Box::pin(async move {
            let events = self.0.list_auth_events(pool, user, now).await.map_err(error_of)?;
            Ok(events.into_iter().filter_map(event_entry).collect())
        })
    }

    fn revoke<'a>(&'a self, _pool: &'a str, _user: &'a str, _session: &'a str, _now: ClockReading) -> SourceAnswer<'a, ()> {
        Box::pin(std::future::ready(Err(SourceError::NotAllowed(SessionProblem::NotRevocable))))
    }
}

fn session_entry(session: UserSession) -> Option<SessionEntry> {
    let id = session.session_id?;
    let kind = match session.session_type.as_deref() {
        Some("SSO") => SessionType::ManagedLogin,
        Some(_) => SessionType::Token,
        None if id.starts_with("sso") => SessionType::ManagedLogin,
        None => SessionType::Token,
    };
    Some(SessionEntry {
        id,
        kind,
        client: session.client_id,
        created: session.create_date.and_then(timestamp),
        active: session.last_active_date.and_then(timestamp),
        address: session.last_ip_address,
        origin: session.origin_session_id,
    })
}

fn event_entry(event: AuthEvent) -> Option<SessionEntry> {
    let is_sign_in = event.event_type.as_deref() == Some("SignIn") && event.event_response.as_deref() == Some("Pass");
    let at = event.creation_date.and_then(timestamp);
    let entry = SessionEntry {
        id: event.event_id?,
        kind: SessionType::Token,
        client: None,
        created: at,
        active: at,
        address: event.event_context_data.and_then(|context| context.ip_address),
        origin: None,
    };
    is_sign_in.then_some(entry)
}

/// Seconds since 1970 with a fraction.
#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and the timestamp checks its range")]
fn timestamp(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_millisecond((seconds * 1e3).round() as i64).ok()
}

fn error_of(error: CallError) -> SourceError {
    match error.name.as_str() {
        "UserNotFoundException" => SourceError::NoUser,
        "OperationNotEnabledException" | "FeatureUnavailableInTierException" => SourceError::NotAllowed(SessionProblem::TrackingOff),
        "UserPoolAddOnNotEnabledException" => SourceError::NotAllowed(SessionProblem::ThreatProtectionOff),
        _ if error.cause == FailureReason::RateLimited => SourceError::Limited,
        _ if error.cause == FailureReason::KeyRefused => SourceError::NotAllowed(SessionProblem::NotPermitted),
        _ if error.cause == FailureReason::NoCredentials => SourceError::NotAllowed(SessionProblem::NoCredentials),
        _ => SourceError::Failed(error.cause),
    }
}

/// The error of a call that revokes: its permission is another one.
fn revoke_error_of(error: SourceError) -> SourceError {
    if error == SourceError::NotAllowed(SessionProblem::NotPermitted) { SourceError::NotAllowed(SessionProblem::RevokeNotPermitted) } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> Option<SessionEntry> {
        session_entry(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_field_but_the_id_is_optional() {
        let found = entry(r#"{"SessionId":"sso1","CreateDate":1.792454400117E9,"LastIPAddress":null,"LastLocation":{"City":null},"New":1}"#).unwrap();
        assert_eq!(
            (found.kind, found.created.unwrap().as_millisecond(), found.ip()),
            (SessionType::ManagedLogin, 1_792_454_400_117, riskgate_engine::client_ip::ClientIp::Missing)
        );
        assert!(entry("{}").is_none());
        assert!(entry(r#"{"SessionId":"tkn1","CreateDate":1e300}"#).unwrap().created.is_none());
        for (text, is_public) in
            [("192.0.2.1", false), ("84.208.20.110", true), ("84.208.20.110:443", true), ("[2a02:2121::1]:443", true), ("unknown", false), ("", false)]
        {
            let found = SessionEntry { address: Some(text.to_owned()), ..found.clone() };
            assert_eq!(found.ip().public().is_some(), is_public, "{text}");
        }
    }

    #[test]
    fn only_passed_sign_ins_are_events() {
        let event = |kind, response| {
            let json = format!(r#"{{"EventId":"e","EventType":"{kind}","EventResponse":"{response}","EventContextData":{{"IpAddress":"84.208.20.110"}}}}"#);
            event_entry(serde_json::from_str(&json).unwrap()).is_some()
        };
        assert!(event("SignIn", "Pass") && !event("SignIn", "Fail") && !event("ForgotPassword", "Pass"));
    }
}
