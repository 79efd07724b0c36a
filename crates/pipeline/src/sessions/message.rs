//! The message about a sign-in whose session is looked up. The queue encrypts it, and the user's name is also sealed under the pseudonym key.
//!
//! The API needs the name. The history is found by pseudonyms, so the message has no sub.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use riskgate_config::pseudonym::Pseudonyms;
use riskgate_engine::{
    personal::Personal,
    sign_in::{User, UserPseudonyms},
};

/// The purpose under which the user is sealed, beside the members that do not change when the message is re-sent.
const PURPOSE: &str = "session message 3";

/// Seconds after which a message is not judged any more. The queue keeps it no longer.
const MAX_AGE: i64 = 900;

/// Why a session is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A sign-in through the API.
    SignIn,
    /// A sign-in through managed login.
    ManagedLogin,
    /// A token refresh.
    Refresh,
}

/// The risk of the sign-in, by which look-ups have precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// It may be skipped if there are more than can be looked up.
    Low,
    /// It is looked up first.
    High,
}

/// A sign-in whose session is looked up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionMessage {
    /// The assessment's id.
    pub id: SmolStr,
    /// Why it is looked up.
    pub kind: SessionKind,
    /// The user pool's id.
    pub pool: SmolStr,
    /// The app client's id.
    pub client: SmolStr,
    /// The user's name and pseudonyms, sealed.
    user: String,
    /// When the trigger received the event, in milliseconds since 1970.
    at: i64,
    /// Which look-ups have precedence.
    pub priority: Priority,
    /// The record field of the success that waits for the judgement.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sample: Option<SmolStr>,
    /// How often it was looked up before.
    #[serde(default)]
    pub tries: u8,
}

#[derive(Serialize, Deserialize)]
struct SealedUser {
    name: String,
    records: Vec<SmolStr>,
    audit: SmolStr,
    accounts: Vec<u32>,
}

impl SessionMessage {
    /// A message; `None` if the user cannot be sealed.
    pub fn new(
        (id, kind, priority): (SmolStr, SessionKind, Priority),
        (pool, client, user): (&SmolStr, &SmolStr, &User),
        sample: Option<SmolStr>,
        at: Timestamp,
        pseudonyms: &Pseudonyms,
    ) -> Option<Self> {
        let UserPseudonyms { records, audit, accounts } = pseudonyms.of_user(pool, user);
        let sealed = SealedUser { name: user.name.expose().to_string(), records: records.into_vec(), audit, accounts: accounts.into_vec() };
        let sealed = serde_json::to_string(&sealed).ok()?;
        let (pool, client, user) = (pool.clone(), client.clone(), String::new());
        let message = SessionMessage { id, kind, pool, client, user, at: at.as_millisecond(), priority, sample, tries: 0 };
        Some(SessionMessage { user: pseudonyms.seal(&message.purpose()?, &sealed)?, ..message })
    }

    /// The purpose of the seal: it opens in this message only.
    fn purpose(&self) -> Option<String> {
        serde_json::to_string(&(PURPOSE, &self.id, self.kind, &self.pool, &self.client, self.at, &self.sample)).ok()
    }

    /// The user, without the sub; `None` if the message was changed, or sealed under a key that is not configured.
    pub fn user(&self, pseudonyms: &Pseudonyms) -> Option<User> {
        let sealed: SealedUser = serde_json::from_str(&pseudonyms.unseal(&self.purpose()?, &self.user)?).ok()?;
        let is_complete = !sealed.records.is_empty() && !sealed.accounts.is_empty();
        let pseudonyms = UserPseudonyms { records: sealed.records.into(), audit: sealed.audit, accounts: sealed.accounts.into() };
        let user = User { name: Personal::new(sealed.name.into()), pseudonyms: Some(Box::new(pseudonyms)), ..User::default() };
        is_complete.then_some(user)
    }

    /// When the trigger received the event; `None` if that is out of range or too long ago.
    pub fn at(&self, now: Timestamp) -> Option<Timestamp> {
        let at = Timestamp::from_millisecond(self.at).ok()?;
        (0..=MAX_AGE).contains(&(now.as_second() - at.as_second()).max(0)).then_some(at)
    }

    /// The message for another look-up.
    #[must_use]
    pub fn again(mut self) -> Self {
        self.tries = self.tries.saturating_add(1);
        self
    }

    /// The name under which it is judged once.
    pub fn key(&self) -> String {
        let kind = match self.kind {
            SessionKind::SignIn | SessionKind::ManagedLogin => 's',
            SessionKind::Refresh => 'r',
        };
        format!("{kind}{}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_hides_the_user_and_opens_with_the_same_key() {
        let pseudonyms = Pseudonyms::random();
        let user = User { name: Personal::new("ada".into()), sub: Some(Personal::new("5c1a".into())), ..User::default() };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let about = ("01J0000000000000000000000A".into(), SessionKind::SignIn, Priority::Low);
        let message = SessionMessage::new(about, (&"p".into(), &"web".into(), &user), Some("vabc".into()), now, &pseudonyms).unwrap();
        let text = serde_json::to_string(&message).unwrap();
        assert!(!text.contains("ada") && !text.contains("5c1a"), "{text}");
        let read: SessionMessage = serde_json::from_str(&text).unwrap();
        let found = read.user(&pseudonyms).unwrap();
        assert_eq!((found.name.expose().as_str(), found.sub.is_none(), read.at(now)), ("ada", true, Some(now)));
        assert_eq!(pseudonyms.of_user("p", &found), pseudonyms.of_user("p", &user), "found by the sub's pseudonyms");
        assert!(!pseudonyms.unseal(&read.purpose().unwrap(), &read.user).unwrap().contains("5c1a"), "the sub is not in the message");
        assert!(read.clone().again().user(&pseudonyms).is_some());
        for (from, to) in
            [("0000A", "0000B"), ("sign_in", "refresh"), (r#""p""#, r#""q""#), ("web", "app"), ("1800000000000", "1800000001000"), ("vabc", "vabd")]
        {
            let changed: SessionMessage = serde_json::from_str(&text.replace(from, to)).unwrap();
            assert!(changed.user(&pseudonyms).is_none(), "{from} became {to}");
        }
        assert!(read.user(&Pseudonyms::random()).is_none());
        assert_eq!(read.at(now.checked_add(jiff::SignedDuration::from_secs(901)).unwrap()), None);
    }
}
