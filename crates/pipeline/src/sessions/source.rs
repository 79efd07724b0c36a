//! Where the address of a sign-in is looked up: sessions of the user pool, or its authentication events.

use std::{fmt, pin::Pin};

use jiff::Timestamp;

use riskgate_engine::{client_ip::ClientIp, evidence::FailureReason, time::ClockReading};
use riskgate_runtime::session_health::SessionProblem;

/// A session as a source reports it.
#[derive(Clone, PartialEq)]
pub struct SessionEntry {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: SessionType,
    /// The app client; `None` if the source does not state it.
    pub client: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it was last active. Its address is that of this time.
    pub active: Option<Timestamp>,
    /// The address as reported.
    pub address: Option<String>,
    /// The managed-login session that it came through.
    pub origin: Option<String>,
}

/// The type of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionType {
    /// The life of one refresh token.
    Token,
    /// A browser's managed-login sign-in.
    ManagedLogin,
}

/// Why a source has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceError {
    /// The pool has no such user any more.
    NoUser,
    /// The calls are limited; a later one may succeed.
    Limited,
    /// The operator must fix something.
    NotAllowed(SessionProblem),
    /// The call failed.
    Failed(FailureReason),
}

/// The answer of a source.
pub type SourceAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// Where the address of a sign-in is looked up.
pub trait SessionSource: Send + Sync + fmt::Debug {
    /// The sessions of a user, by the name in the pool.
    fn list<'a>(&'a self, pool: &'a str, user: &'a str, now: ClockReading) -> SourceAnswer<'a, Vec<SessionEntry>>;

    /// Revokes a session and those linked to it.
    fn revoke<'a>(&'a self, pool: &'a str, user: &'a str, session: &'a str, now: ClockReading) -> SourceAnswer<'a, ()>;
}

impl SessionEntry {
    /// The address, in any form that AWS may write.
    pub fn ip(&self) -> ClientIp {
        self.address.as_deref().map_or(ClientIp::Missing, ClientIp::parse)
    }
}

impl fmt::Debug for SessionEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEntry").field("kind", &self.kind).finish_non_exhaustive()
    }
}
