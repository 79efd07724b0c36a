//! Ends the sessions of a user in the user pool. It cannot be undone: the user signs in again.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use riskgate_config::sessions::SessionSourceKind;
use riskgate_engine::evidence::FailureReason;
use riskgate_pipeline::{
    instance::Instance,
    sessions::{
        Sessions,
        source::{SessionEntry, SessionType, SourceError},
    },
};
use riskgate_runtime::clock;

/// How long the calls to the user pool may take.
const CALLS_TIMEOUT: Duration = Duration::from_secs(20);

/// How many sessions were ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revocation {
    /// Sessions that were ended, with those linked to them.
    pub revoked: usize,
    /// Sessions that may still exist.
    pub failed: usize,
}

/// The source by which sessions can be ended here; `None` without verified sessions.
pub fn revocable(instance: &Instance) -> Option<&Sessions> {
    instance.sessions.as_ref().filter(|sessions| sessions.config.source == SessionSourceKind::Sessions)
}

/// Ends all sessions of a user. `name` is the user's name in the pool.
///
/// # Errors
///
/// The sessions could not be listed, or none could be ended.
pub async fn revoke_all(sessions: &Sessions, pool: &str, name: &str) -> Result<Revocation, SourceError> {
    let end = Instant::now() + CALLS_TIMEOUT;
    let timed_out = SourceError::Failed(FailureReason::Timeout);
    let mut listed = timeout_at(end, sessions.source.list(pool, name, clock::read())).await.unwrap_or(Err(timed_out))?;
    // A managed-login session ends those that came through it, so it comes first.
    listed.sort_by_key(|session| session.kind != SessionType::ManagedLogin);
    let (mut revocation, mut last) = (Revocation::default(), None);
    for SessionEntry { id, .. } in &listed {
        match timeout_at(end, sessions.source.revoke(pool, name, id, clock::read())).await.unwrap_or(Err(timed_out)) {
            Ok(()) => revocation.revoked += 1,
            Err(error) => {
                revocation.failed += 1;
                last = Some(error);
            }
        }
    }
    match last {
        Some(error) if revocation.revoked == 0 => Err(error),
        Some(_) | None => Ok(revocation),
    }
}
