//! Which session belongs to a sign-in: by app client and time of creation, because an event names no session.

use jiff::Timestamp;

use super::{
    message::SessionKind,
    source::{SessionEntry, SessionType},
};

/// How much earlier than the trigger a token session may be created, in milliseconds: the difference between two clocks.
const EARLY: i64 = 5_000;

/// How much later than the trigger a session may be created, in milliseconds.
const LATE: i64 = 30_000;

/// How much earlier than the token a managed-login session may be created, in milliseconds: a code is valid for five minutes.
const EARLY_MANAGED: i64 = 305_000;

/// The session of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SessionMatch<'a> {
    /// None is listed.
    None,
    /// One is.
    One {
        /// The session with the address: with managed login the browser's, else that of the tokens.
        seen: &'a SessionEntry,
        /// The session to revoke, which ends the linked ones too.
        revoke: &'a SessionEntry,
    },
    /// Several are, and nothing distinguishes them.
    Ambiguous,
}

/// Finds the session of a sign-in at `at` through an app client.
pub fn match_session<'a>(sessions: &'a [SessionEntry], client: &str, kind: SessionKind, at: Timestamp) -> SessionMatch<'a> {
    let is_client = |session: &&SessionEntry| session.client.as_deref().is_none_or(|of| of == client);
    let is_created = |session: &&SessionEntry, early: i64| {
        session.created.is_some_and(|created| (-early..=LATE).contains(&(created.as_millisecond() - at.as_millisecond())))
    };
    let of = |kind: SessionType| sessions.iter().filter(move |session| session.kind == kind).filter(is_client);
    let parent = |token: &SessionEntry| {
        let origin = token.origin.as_deref()?;
        sessions.iter().find(|session| session.kind == SessionType::ManagedLogin && session.id == origin)
    };
    let mut tokens = of(SessionType::Token).filter(|session| is_created(session, EARLY));
    match (tokens.next(), tokens.next()) {
        (Some(_), Some(_)) => return SessionMatch::Ambiguous,
        (Some(token), None) => {
            let browser = parent(token);
            // A server may exchange the code, so the token session may have the server's address. The browser's session was at the sign-in.
            let seen = browser.filter(|_| kind == SessionKind::ManagedLogin).unwrap_or(token);
            return SessionMatch::One { seen, revoke: browser.unwrap_or(token) };
        }
        (None, _) => {}
    }
    if kind != SessionKind::ManagedLogin {
        return SessionMatch::None;
    }
    let mut browsers = of(SessionType::ManagedLogin).filter(|session| is_created(session, EARLY_MANAGED));
    match (browsers.next(), browsers.next()) {
        (Some(_), Some(_)) => SessionMatch::Ambiguous,
        (Some(browser), None) => SessionMatch::One { seen: browser, revoke: browser },
        (None, _) => SessionMatch::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_800_000_000_000;

    fn entry(id: &str, client: &str, after: i64, origin: Option<&str>) -> SessionEntry {
        let kind = if id.starts_with("sso") { SessionType::ManagedLogin } else { SessionType::Token };
        let created = Timestamp::from_millisecond(AT + after).ok();
        SessionEntry { id: id.into(), kind, client: Some(client.into()), created, active: created, address: None, origin: origin.map(Into::into) }
    }

    #[track_caller]
    fn check(sessions: &[SessionEntry], kind: SessionKind, expected: Option<(&str, &str)>) {
        let found = match match_session(sessions, "web", kind, Timestamp::from_millisecond(AT).unwrap()) {
            SessionMatch::One { seen, revoke } => Some((seen.id.as_str(), revoke.id.as_str())),
            SessionMatch::Ambiguous => Some(("ambiguous", "")),
            SessionMatch::None => None,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_session_matches_by_client_and_time() {
        let own = entry("tkn1", "web", 800, None);
        check(std::slice::from_ref(&own), SessionKind::SignIn, Some(("tkn1", "tkn1")));
        check(&[entry("tkn2", "ios", 800, None), entry("tkn3", "web", -60_000, None), entry("tkn4", "web", 31_000, None)], SessionKind::SignIn, None);
        check(&[own.clone(), entry("tkn2", "web", 900, None)], SessionKind::SignIn, Some(("ambiguous", "")));
        check(&[SessionEntry { created: None, ..own.clone() }], SessionKind::SignIn, None);
        check(&[SessionEntry { client: None, ..own }], SessionKind::SignIn, Some(("tkn1", "tkn1")));
        check(&[], SessionKind::ManagedLogin, None);
    }

    #[test]
    fn the_browsers_session_comes_first_with_managed_login() {
        let (token, browser) = (entry("tkn1", "web", 500, Some("sso1")), entry("sso1", "other", -90_000_000, None));
        check(&[token.clone(), browser.clone()], SessionKind::ManagedLogin, Some(("sso1", "sso1")));
        check(&[token.clone(), browser], SessionKind::SignIn, Some(("tkn1", "sso1")));
        check(&[token], SessionKind::ManagedLogin, Some(("tkn1", "tkn1")));
        check(&[entry("sso1", "web", -120_000, None)], SessionKind::ManagedLogin, Some(("sso1", "sso1")));
        check(&[entry("sso1", "web", -120_000, None)], SessionKind::SignIn, None);
        check(&[entry("sso1", "web", -1, None), entry("sso2", "web", -2, None)], SessionKind::ManagedLogin, Some(("ambiguous", "")));
    }
}
