//! Settings of verified sessions: how the address that the user pool saw is looked up after a sign-in.

use std::time::Duration;

use crate::{
    env::{Reader, count_within, duration},
    services::parse_url,
};

/// The longest delay of a message of SQS.
const MAX_DELAY: Duration = Duration::from_secs(900);

/// Settings of verified sessions.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The URL of the SQS queue with the sign-ins to look up. `SESSION_QUEUE`; sessions are off when `None`.
    pub queue: Option<String>,
    /// Where the address is looked up. `SESSION_SOURCE`.
    pub source: SessionSourceKind,
    /// What happens to a session whose verified score is at least `DENY_AT`. `SESSION_ON_DENY`.
    pub on_deny: SessionOnDeny,
    /// How often a session is looked up again at a token refresh. `SESSION_RECHECK`, default 24 h.
    pub recheck: Duration,
    /// Look-ups in a second for one pool, over all processes. `SESSION_CALLS`, default 5.
    pub calls_per_second: u64,
    /// The time from the sign-in to the first look-up, in seconds, at most 900. `SESSION_DELAY`, default 10 s.
    pub delay: Duration,
}

/// Where the address of a sign-in is looked up (`SESSION_SOURCE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionSourceKind {
    /// `AdminListUserSessions`: Essentials or Plus, with session tracking.
    #[default]
    Sessions,
    /// `AdminListUserAuthEvents`: Plus, with threat protection. These sessions cannot be revoked one by one.
    AuthEvents,
}

/// What happens to a session whose verified score is at least `DENY_AT` (`SESSION_ON_DENY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionOnDeny {
    /// It is reported, and not learned from.
    #[default]
    Report,
    /// It is also revoked, with the managed-login session that it came through.
    Revoke,
}

impl SessionConfig {
    pub(super) fn read(r: &mut Reader<'_>, plain_origins: &[String]) -> Self {
        let queue = r.parsed("SESSION_QUEUE", |v| parse_url(v, plain_origins).map(|_| v.to_owned()));
        let config = SessionConfig {
            queue: queue.filter(|_| cfg!(feature = "secrets")),
            source: r.choice("SESSION_SOURCE", &[("sessions", SessionSourceKind::Sessions), ("auth_events", SessionSourceKind::AuthEvents)]),
            on_deny: r.choice("SESSION_ON_DENY", &[("report", SessionOnDeny::Report), ("revoke", SessionOnDeny::Revoke)]),
            recheck: r.parsed("SESSION_RECHECK", duration).unwrap_or(Duration::from_secs(24 * 3600)),
            calls_per_second: r.parsed("SESSION_CALLS", count_within(1, 1000)).unwrap_or(5),
            delay: r.parsed("SESSION_DELAY", delay).unwrap_or(Duration::from_secs(10)),
        };
        if r.text("SESSION_QUEUE").is_some() && !cfg!(feature = "secrets") {
            r.add_fault("SESSION_QUEUE", "needs signed calls, which this build cannot make (build with --features secrets)");
        }
        if config.on_deny == SessionOnDeny::Revoke && config.source == SessionSourceKind::AuthEvents {
            r.add_fault("SESSION_ON_DENY", "must be report with SESSION_SOURCE=auth_events, which names no session to revoke");
        }
        config
    }

    /// The region of the queue, by the host of its URL; `None` for another endpoint.
    pub fn queue_region(&self) -> Option<&str> {
        let host = self.queue.as_ref()?.split_once("://")?.1;
        host.strip_prefix("sqs.")?.split_once(".amazonaws.com").map(|(region, _)| region)
    }
}

fn delay(value: &str) -> Result<Duration, String> {
    let delay = duration(value)?;
    if delay.subsec_nanos() == 0 && delay <= MAX_DELAY { Ok(delay) } else { Err("must be whole seconds, at most 15m".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn read(variables: &[(&str, &str)]) -> (SessionConfig, Vec<String>) {
        let map: std::collections::BTreeMap<String, String> = variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
        let (config, faults) = Config::read(&map);
        (config.sessions, faults.into_iter().map(|fault| fault.variable).collect())
    }

    #[test]
    fn a_delay_is_whole_seconds_up_to_a_quarter_of_an_hour() {
        for (value, is_good) in [("1s", true), ("15m", true), ("16m", false), ("500ms", false), ("x", false)] {
            assert_eq!(read(&[("SESSION_DELAY", value)]).1.is_empty(), is_good, "{value}");
        }
    }

    #[test]
    fn auth_events_cannot_be_revoked() {
        assert_eq!(read(&[("SESSION_SOURCE", "auth_events"), ("SESSION_ON_DENY", "revoke")]).1, ["RISKGATE_SESSION_ON_DENY"]);
    }

    #[cfg(feature = "secrets")]
    #[test]
    fn a_queue_names_its_region_and_needs_a_shared_store() {
        let url = "https://sqs.eu-west-1.amazonaws.com/1/q";
        let (config, faults) = read(&[("SESSION_QUEUE", url)]);
        assert_eq!((config.queue_region(), faults.as_slice()), (Some("eu-west-1"), &["RISKGATE_SESSION_QUEUE".to_owned()][..]));
        assert_eq!(read(&[("SESSION_QUEUE", "http://192.0.2.1/q")]).0.queue, None);
    }
}
