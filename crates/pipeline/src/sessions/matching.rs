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
