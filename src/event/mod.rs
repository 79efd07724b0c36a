//! Stage 1 of 6: bytes -> SignIn.
//!
//! Everything that a caller sent, parsed once and never believed: wire structs stay private to
//! this folder, and what leaves it are typed values with a redacting `Debug`.

use smol_str::SmolStr;

mod automation;

pub mod client_ip;

pub mod cognito;

pub mod context;

mod forwarded;

pub mod http;

pub mod ignored;

pub mod json_fault;

pub mod now;

pub mod personal;

pub mod placeholder;

mod text;

pub mod user_agent;

pub use self::{
    client_ip::ClientIp,
    context::{BadContext, Context, Trust},
    forwarded::forwarded_for,
    ignored::{IgnoredInput, IgnoredInputs},
    json_fault::JsonFault,
    now::{EventTime, Now},
    personal::{Personal, RawEvent},
    text::{read_json, replace_lone_surrogates},
    user_agent::UserAgent,
};

/// A sign-in that is to be decided: who, through which pool and client, and the context that came with it.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The event exactly as it came, for the echo; `null` over HTTP.
    pub raw: RawEvent,
    /// Which door it came through.
    pub trigger: Trigger,
    /// When the whole request had been read: every deadline, quota and expiry counts from here.
    pub received: Now,
    /// When the sign-in happened: the same moment, unless the caller stated another.
    pub at: EventTime,
    /// The user pool's id, `eu-west-1_AbCdEf`; empty when the event names none.
    pub pool: SmolStr,
    /// The app client's id; empty when the event names none.
    pub client: SmolStr,
    /// The value of the attribute that `RISKGATE_TENANT_ATTRIBUTE` names.
    pub tenant: Option<Personal<SmolStr>>,
    /// The person who says that it is them.
    pub person: Person,
    /// What is claimed or known of the connection.
    pub context: Context,
}

/// The door through which a sign-in came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// `PreAuthentication_Authentication`, or an event without `triggerSource`.
    PreAuthentication,
    /// `POST /v1/assess`, or the same JSON on the command line.
    Http,
    /// A row of a log.
    Replay,
}

impl Trigger {
    /// The name in audit lines.
    pub fn as_label(self) -> &'static str {
        match self {
            Trigger::PreAuthentication => "pre_authentication",
            Trigger::Http => "http",
            Trigger::Replay => "replay",
        }
    }
}

/// The person who is signing in, as the caller names them.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// `userName`: what was typed, or the sub in pools that sign in by e-mail; empty when the event names none.
    pub name: Personal<SmolStr>,
    /// The `sub` attribute: stable for the life of the account.
    pub sub: Option<Personal<SmolStr>>,
    /// Whether the pool has this account (`userNotFound`).
    pub existence: Existence,
    /// `email`, `phone_number` and `preferred_username`: names to which a signed context may be bound.
    pub aliases: Vec<Personal<SmolStr>>,
}

impl Person {
    /// The key under which history is kept: the sub, or the typed name where there is no sub.
    pub fn key(&self) -> &str {
        match (&self.sub, self.existence) {
            (Some(sub), Existence::Known) => sub.expose(),
            (None, _) | (_, Existence::NotFound) => self.name.expose(),
        }
    }
}

/// Whether the pool has the account; never a reason for another path, time or answer (invariant 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existence {
    /// The pool has it, or the caller did not say.
    #[default]
    Known,
    /// `userNotFound` was true.
    NotFound,
}
