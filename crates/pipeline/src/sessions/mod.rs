//! Sessions of the user pool: which sign-ins are looked up, through which queue, and where.
//!
//! Cognito stores the address that it saw, but the events of its triggers have none. After a success, the trigger queues a message. A separate
//! function looks the session up and judges the sign-in again; see `session_batch`.

use std::{sync::Arc, time::Duration};

use riskgate_config::{Config, sessions::SessionConfig};
use riskgate_engine::{evidence::FailureReason, time::ClockReading};
use riskgate_http_client::Tls;
use riskgate_runtime::mode::RuntimeMode;

use self::{message::SessionMessage, source::SessionSource};

#[cfg(feature = "secrets")]
pub mod cognito;

pub mod matching;

pub mod message;

pub mod source;

/// The times from one look-up to the next while a session is not listed yet. With the default delay: 10, 30 and 90 seconds after the sign-in.
pub const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(60)];

/// The queue of look-ups and their source.
#[derive(Debug)]
pub struct Sessions {
    /// The settings.
    pub config: SessionConfig,
    /// Where addresses are looked up.
    pub source: Arc<dyn SessionSource>,
    #[cfg(feature = "secrets")]
    queue: riskgate_aws::sqs::SqsClient,
}

impl Sessions {
    /// The configured queue and source; `None` if `SESSION_QUEUE` is not set. No connection is made yet.
    #[cfg(feature = "secrets")]
    pub fn open(config: &Config, runtime_mode: RuntimeMode, tls: &Tls) -> Option<Self> {
        use riskgate_aws::{sqs::SqsClient, user_pools::UserPoolsClient};
        use riskgate_config::sessions::SessionSourceKind;
        use riskgate_http_client::Client;

        let url = config.sessions.queue.clone()?;
        let client = || Client::new(config.budget.connect, runtime_mode, tls.clone());
        let queue = SqsClient::new(client(), url, config.sessions.queue_region().map(str::to_owned));
        let pools = UserPoolsClient::new(client());
        let source: Arc<dyn SessionSource> = match config.sessions.source {
            SessionSourceKind::Sessions => Arc::new(cognito::TrackedSessions(pools)),
            SessionSourceKind::AuthEvents => Arc::new(cognito::AuthEvents(pools)),
        };
        Some(Sessions { config: config.sessions.clone(), source, queue })
    }

    /// This build makes no signed calls, and the configuration reports that.
    #[cfg(not(feature = "secrets"))]
    pub fn open(_config: &Config, _runtime_mode: RuntimeMode, _tls: &Tls) -> Option<Self> {
        None
    }

    /// Queues a message, which is delivered after `delay`.
    ///
    /// # Errors
    ///
    /// The queue did not accept it. The caller sets the deadline.
    #[cfg(feature = "secrets")]
    pub async fn send(&self, message: &SessionMessage, delay: Duration, now: ClockReading) -> Result<(), FailureReason> {
        let body = serde_json::to_string(message).map_err(|_| FailureReason::BadAnswer)?;
        self.queue.send(&body, delay, now).await.map_err(|error| error.cause)
    }

    /// This build sends nothing.
    ///
    /// # Errors
    ///
    /// Always.
    #[cfg(not(feature = "secrets"))]
    pub async fn send(&self, _message: &SessionMessage, _delay: Duration, _now: ClockReading) -> Result<(), FailureReason> {
        Err(FailureReason::NoCredentials)
    }
}
