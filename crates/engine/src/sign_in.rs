//! Stage 1 of 6: bytes -> SignIn.
//!
//! A sign-in as the caller sent it, as typed values with a redacting `Debug`. The wire formats are in `riskgate-event`.

use smallvec::SmallVec;
use smol_str::SmolStr;

pub use crate::{
    client_ip::{ClientIp, forwarded::forwarded_for},
    context::{BadContext, Context, Trust},
    ignored::{IgnoredInput, IgnoredInputs},
    personal::{Personal, RawEvent},
    time::{ClockReading, EventTime},
    user_agent::UserAgent,
};

/// A sign-in to assess: the user, the pool and app client, and the context that came with it.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The event exactly as received, which Cognito gets back; `null` over HTTP.
    pub raw: RawEvent,
    /// The interface through which it came.
    pub trigger: Trigger,
    /// When the complete request had been read. Every deadline, quota and expiry counts from here.
    pub received: ClockReading,
    /// When the sign-in happened: equal to `received` unless the caller stated another time.
    pub at: EventTime,
    /// The user pool's id, such as `eu-west-1_AbCdEf`; empty when the event has none.
    pub pool: SmolStr,
    /// The app client's id; empty when the event has none.
    pub client: SmolStr,
    /// The value of the attribute that `RISKGATE_TENANT_ATTRIBUTE` names.
    pub tenant: Option<Personal<SmolStr>>,
    /// The user who is signing in.
    pub user: User,
    /// What is claimed or known about the connection.
    pub context: Context,
}

/// The interface through which a sign-in came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// `PreAuthentication_Authentication`, or an event without `triggerSource`.
    PreAuthentication,
    /// `DefineAuthChallenge_Authentication`: the password is already known to be right.
    DefineAuthChallenge,
    /// `POST /v1/assess`, or the same JSON on the command line.
    Http,
    /// A record of a replayed log.
    Replay,
    /// A session of the user pool, after the sign-in.
    Session,
}

impl Trigger {
    /// The name in audit lines.
    pub fn as_label(self) -> &'static str {
        match self {
            Trigger::PreAuthentication => "pre_authentication",
            Trigger::DefineAuthChallenge => "define_auth_challenge",
            Trigger::Http => "http",
            Trigger::Replay => "replay",
            Trigger::Session => "session",
        }
    }
}

/// The user who is signing in, as identified by the caller.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// `userName`: the typed name, or the sub in pools that sign in by e-mail; empty when the event has none.
    pub name: Personal<SmolStr>,
    /// The `sub` attribute, which never changes for an account.
    pub sub: Option<Personal<SmolStr>>,
    /// Whether the pool has this account (`userNotFound`).
    pub existence: Existence,
    /// `email`, `phone_number` and `preferred_username`: names to which a signed context may be bound.
    pub aliases: Vec<Personal<SmolStr>>,
    /// The user's pseudonyms, in place of a sub that is not known here.
    pub pseudonyms: Option<Box<UserPseudonyms>>,
}

/// The pseudonyms of a user, as a process that knew the sub derived them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPseudonyms {
    /// The keys of the user's record, newest first.
    pub records: SmallVec<[SmolStr; 1]>,
    /// The name in audit lines.
    pub audit: SmolStr,
    /// The hashes in the windows of networks, newest first.
    pub accounts: SmallVec<[u32; 1]>,
}

impl User {
    /// The key under which history is stored: the sub, or the typed name if there is no sub.
    pub fn key(&self) -> &str {
        match (&self.sub, self.existence) {
            (Some(sub), Existence::Known) => sub.expose(),
            (None, _) | (_, Existence::NotFound) => self.name.expose(),
        }
    }
}

/// Whether the pool has the account. It must never change the code path, the response time or the response: that would reveal
/// which accounts exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existence {
    /// The pool has the account, or the caller did not report it.
    #[default]
    Known,
    /// `userNotFound` was true.
    NotFound,
}
