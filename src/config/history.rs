//! The history store, what is learned, and which model judges it.

use std::{path::PathBuf, time::Duration};

use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};

use super::env::{Reader, duration, number_within};

/// Store, learning and the model.
#[derive(Debug, Clone)]
pub struct HistoryConfig {
    /// Where history is kept. `STORE`.
    pub store: StoreConfig,
    /// How long a value stays in a profile. `HISTORY_TTL`, default 180 days.
    pub ttl: Duration,
    /// How long an attempt waits for its post-authentication. `PENDING_TTL`, default 15 min.
    pub pending_ttl: Duration,
    /// When a sign-in is learned from. `LEARN`.
    pub learn: Learn,
    /// Keys of pseudonyms, newest first. `PSEUDONYM_KEY`; empty means a random key (memory store only).
    pub pseudonym_keys: Vec<PseudonymKey>,
    /// Directory of a learned model. `MODEL`.
    pub model: Option<PathBuf>,
    /// Which attackers to expect. `MIXTURE`.
    pub mixture: MixtureProfile,
    /// Share of sign-ins that are attacks. `PRIOR`, default 0.005.
    pub prior: f64,
}

/// A key of pseudonyms: at least 128 bits, with the id that is kept beside what it made.
#[derive(Debug, Clone)]
pub struct PseudonymKey {
    /// Key id, 1 to 16 letters, digits, `-` or `_`.
    pub kid: String,
    /// The key, base64url.
    pub key: SecretString,
}

/// Where history is kept.
#[derive(Debug, Clone, Default)]
pub enum StoreConfig {
    /// In this process, bounded, gone when it ends.
    #[default]
    Memory,
    /// Redis or Valkey, by URL (which may hold a password).
    Redis(SecretString),
    /// One DynamoDB table, by name.
    DynamoDb(String),
}

/// When a sign-in is learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Learn {
    /// When its post-authentication arrives: the password was right.
    #[default]
    PostAuth,
    /// When it is allowed. A thief who is let in teaches, so only for pools that cannot have the second trigger.
    Allow,
}

/// Which attackers the mixture expects (scoring model, step 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MixtureProfile {
    /// All published attackers.
    #[default]
    Balanced,
    /// Weighted towards attackers who copy the person's network and browser.
    Targeted,
}

impl HistoryConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let store = r.parsed("STORE", store).unwrap_or_default();
        let keys = r.secret("PSEUDONYM_KEY").map(|text| pseudonym_keys(r, &text)).unwrap_or_default();
        if keys.is_empty() && !r.awaits("PSEUDONYM_KEY") && !matches!(store, StoreConfig::Memory) {
            r.fault(
                "PSEUDONYM_KEY",
                "is needed because STORE is shared; make one with: printf 'k1:%s\\n' \"$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=')\"",
            );
        }
        HistoryConfig {
            store,
            ttl: r.parsed("HISTORY_TTL", duration).unwrap_or(Duration::from_secs(180 * 86_400)),
            pending_ttl: r.parsed("PENDING_TTL", duration).unwrap_or(Duration::from_secs(900)),
            learn: r.choice("LEARN", &[("post_auth", Learn::PostAuth), ("allow", Learn::Allow)]),
            pseudonym_keys: keys,
            model: r.text("MODEL").map(PathBuf::from),
            mixture: r.choice("MIXTURE", &[("balanced", MixtureProfile::Balanced), ("targeted", MixtureProfile::Targeted)]),
            prior: r.parsed("PRIOR", number_within(0.000_001, 0.5)).unwrap_or(0.005),
        }
    }
}

impl HistoryConfig {
    /// What an operator should know of these choices.
    pub fn notes(&self) -> Vec<&'static str> {
        let mut notes = Vec::new();
        if matches!(self.store, StoreConfig::Memory) {
            notes.push("STORE=memory: history ends with the process; in Lambda there is none, and the signals that need it stay silent");
        }
        if self.learn == Learn::Allow {
            notes.push("LEARN=allow: every sign-in that is let in teaches, a thief's too, and a wrong password as much as a right one");
        }
        notes
    }
}

/// How a URL of a Redis or Valkey server begins: TCP, TLS, and a Unix socket.
const REDIS_SCHEMES: [&str; 6] = ["redis://", "rediss://", "valkey://", "valkeys://", "redis+unix:///", "unix:///"];

fn store(value: &str) -> Result<StoreConfig, String> {
    if value == "memory" {
        Ok(StoreConfig::Memory)
    } else if REDIS_SCHEMES.iter().any(|scheme| value.starts_with(scheme)) {
        if cfg!(feature = "redis") {
            Ok(StoreConfig::Redis(SecretString::from(value.to_owned())))
        } else {
            Err("this build has no Redis (feature redis)".to_owned())
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

fn pseudonym_keys(r: &mut Reader<'_>, text: &SecretString) -> Vec<PseudonymKey> {
    let mut keys: Vec<PseudonymKey> = Vec::new();
    for (number, entry) in text.expose_secret().split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
        match entry.split_once(':') {
            Some((kid, key)) if is_kid(kid) && base64url(key).is_ok_and(|bytes| bytes.len() >= 16) && keys.iter().all(|known| known.kid != kid) => {
                keys.push(PseudonymKey { kid: kid.to_owned(), key: SecretString::from(key.to_owned()) });
            }
            Some(_) | None => r.fault("PSEUDONYM_KEY", format!("entry {} is not kid:base64url of at least 16 bytes under a kid of its own", number + 1)),
        }
    }
    keys
}

/// Whether a text can be a key id.
pub fn is_kid(kid: &str) -> bool {
    (1..=16).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Decodes base64url, padded or not.
///
/// # Errors
///
/// Any other text.
pub fn base64url(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text.trim_end_matches('='))
}
