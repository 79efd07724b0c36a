//! Which session belongs to a sign-in.

use jiff::Timestamp;
use riskgate_pipeline::sessions::{
    matching::{SessionMatch, match_session},
    message::SessionKind,
    source::{SessionEntry, SessionType},
};

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
