//! Settings of the history store, of learning and of the model.

use std::{path::PathBuf, time::Duration};

use crate::pseudonym::{PseudonymKey, base64url};
use riskgate_engine::settings::{MixtureProfile, ModelConfig};
use secrecy::{ExposeSecret, SecretString};

use crate::env::{Reader, duration, number_within};

/// Settings of the history store, of learning and of the model.
#[derive(Debug, Clone)]
pub struct HistoryConfig {
    /// Where history is stored. `STORE`.
    pub store: StoreConfig,
    /// Pseudonym keys, newest first. `PSEUDONYM_KEY`. Empty means a random key, which only the memory store allows.
    pub pseudonym_keys: Vec<PseudonymKey>,
    /// How long a value stays in a profile. `HISTORY_TTL`, default 180 days.
    pub ttl: Duration,
    /// How long decisions stay in a shared store for the dashboard; zero: none are stored. `ACTIVITY_TTL`, default 30 days.
    pub activity_ttl: Duration,
    /// How long a pending attempt waits for its post-authentication event. `PENDING_TTL`, default 15 min.
    pub pending_ttl: Duration,
    /// When a sign-in is learned from. `LEARN`.
    pub learn: Learn,
    /// Which attackers to expect. `MIXTURE`.
    pub mixture: MixtureProfile,
    /// Expected share of attacks among sign-ins. `PRIOR`, default 0.005.
    pub prior: f64,
    /// Whether scores follow the pool's own traffic. `CALIBRATION`.
    pub calibration: CalibrationMode,
    /// Directory of a learned model. `MODEL`.
    pub model: Option<PathBuf>,
}

/// Where history is stored.
#[derive(Debug, Clone, Default)]
pub enum StoreConfig {
    /// In memory, bounded, and lost when the process ends.
    #[default]
    Memory,
    /// Redis or Valkey, by URL. The URL is a secret because it may contain a password.
    Redis(SecretString),
    /// One DynamoDB table, by name.
    DynamoDb(String),
}

/// When a sign-in is learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Learn {
    /// When its post-authentication event arrives, which means that the password was right.
    #[default]
    PostAuth,
    /// When it is allowed. An allowed attacker is then learned from, so this is only for pools that cannot have the second trigger.
    Allow,
}

/// Whether the score's scale follows the pool's own traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CalibrationMode {
    /// Successes are counted, and the scale that they give is only shown.
    #[default]
    Propose,
    /// Successes are counted, and the scale follows them, within a bound per day.
    Auto,
    /// Nothing is counted. Scores are on the shipped scale.
    Shipped,
}

impl HistoryConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let store = r.parsed("STORE", parse_store).unwrap_or_default();
        let keys = r.secret("PSEUDONYM_KEY").map(|text| parse_pseudonym_keys(r, &text)).unwrap_or_default();
        if keys.is_empty() && !r.is_secret_pending("PSEUDONYM_KEY") && !matches!(store, StoreConfig::Memory) {
            r.add_fault(
                "PSEUDONYM_KEY",
                "is needed because STORE is shared; make one with: printf 'k1:%s\\n' \"$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=')\"",
            );
        }
        HistoryConfig {
            store,
            ttl: r.parsed("HISTORY_TTL", duration).unwrap_or(Duration::from_secs(180 * 86_400)),
            activity_ttl: r.parsed("ACTIVITY_TTL", duration_or_off).unwrap_or(Duration::from_secs(30 * 86_400)),
            pending_ttl: r.parsed("PENDING_TTL", duration).unwrap_or(Duration::from_secs(900)),
            learn: r.choice("LEARN", &[("post_auth", Learn::PostAuth), ("allow", Learn::Allow)]),
            pseudonym_keys: keys,
            model: r.text("MODEL").map(PathBuf::from),
            mixture: r.choice("MIXTURE", &[("balanced", MixtureProfile::Balanced), ("targeted", MixtureProfile::Targeted)]),
            calibration: r
                .choice("CALIBRATION", &[("propose", CalibrationMode::Propose), ("auto", CalibrationMode::Auto), ("shipped", CalibrationMode::Shipped)]),
            prior: r.parsed("PRIOR", number_within(0.000_001, 0.5)).unwrap_or(0.005),
        }
    }
}

impl HistoryConfig {
    /// The settings of the model.
    pub fn model_config(&self) -> ModelConfig {
        ModelConfig { mixture: self.mixture, prior: self.prior }
    }

    /// Consequences of these settings that the operator should know about.
    pub fn notes(&self) -> Vec<&'static str> {
        let mut notes = Vec::new();
        if matches!(self.store, StoreConfig::Memory) {
            notes.push("STORE=memory: history is lost when the process ends; in Lambda there is no history, and the signals that need it never fire");
        }
        if self.learn == Learn::Allow {
            notes.push("LEARN=allow: riskgate learns from every allowed sign-in, including attacks and wrong passwords");
        }
        notes
    }
}

/// Parses a duration, or `off` as zero.
fn duration_or_off(value: &str) -> Result<Duration, String> {
    if value == "off" { Ok(Duration::ZERO) } else { duration(value).map_err(|problem| format!("{problem}, or off")) }
}

/// The prefixes of URLs of Redis and Valkey servers: TCP, TLS and Unix sockets.
const REDIS_SCHEMES: [&str; 6] = ["redis://", "rediss://", "valkey://", "valkeys://", "redis+unix:///", "unix:///"];

/// Parses the value of `STORE`.
fn parse_store(value: &str) -> Result<StoreConfig, String> {
    if value == "memory" {
        Ok(StoreConfig::Memory)
    } else if REDIS_SCHEMES.iter().any(|scheme| value.starts_with(scheme)) {
        if cfg!(feature = "redis") {
            Ok(StoreConfig::Redis(SecretString::from(value.to_owned())))
        } else {
            Err("this build has no Redis (build with --features redis)".to_owned())
        }
    } else if let Some(table) = value.strip_prefix("dynamodb://") {
        if table.is_empty() {
            Err("must name a table: dynamodb://TABLE".to_owned())
        } else if cfg!(feature = "dynamodb") {
            Ok(StoreConfig::DynamoDb(table.to_owned()))
        } else {
            Err("this build has no DynamoDB (build with --features dynamodb)".to_owned())
        }
    } else {
        Err("must be memory, redis://HOST:PORT/DB, rediss://.., redis+unix:///PATH?db=DB or dynamodb://TABLE".to_owned())
    }
}

/// Parses `kid:base64url` entries separated by commas or line breaks.
fn parse_pseudonym_keys(r: &mut Reader<'_>, text: &SecretString) -> Vec<PseudonymKey> {
    let mut keys: Vec<PseudonymKey> = Vec::new();
    for (number, entry) in text.expose_secret().split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
        match entry.split_once(':') {
            Some((kid, key)) if is_kid(kid) && base64url(key).is_ok_and(|bytes| bytes.len() >= 16) && keys.iter().all(|known| known.kid != kid) => {
                keys.push(PseudonymKey { kid: kid.to_owned(), key: SecretString::from(key.to_owned()) });
            }
            Some(_) | None => r.add_fault("PSEUDONYM_KEY", format!("entry {} is not kid:base64url with at least 16 bytes and a unique kid", number + 1)),
        }
    }
    keys
}

/// Whether a text is a valid key id: 1 to 16 letters, digits, `-` or `_`.
pub fn is_kid(kid: &str) -> bool {
    (1..=16).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
