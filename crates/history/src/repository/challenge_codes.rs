//! Codes of custom challenges: which challenge a code belongs to, how many codes were sent, and how often one was guessed.
//!
//! Cognito passes nothing from the decision to the trigger that makes the challenge. The decision is stored for it, under the user, the app
//! client and the metadata that both triggers received.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use crate::repository::{HistoryRepository, windows::format_ip};
use riskgate_engine::{
    client_ip::network_of,
    evidence::{Evidence, FailureReason, store_parts::StorePart},
    features::FeatureLevel,
    sign_in::SignIn,
};
use riskgate_store::{Change, Record, Ttl};

/// The number of fields in which the challenges of one user and app client are stored. More at once replace each other.
const SLOTS: u8 = 8;

/// The length of a window of sent codes, in seconds.
const WINDOW: i64 = 3600;

/// A challenge that was decided and for which no code was made yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingChallenge {
    /// The id of the assessment.
    #[serde(rename = "i")]
    pub id: SmolStr,
    /// The key of the network's count of codes; `None` without a public address.
    #[serde(rename = "n")]
    network: Option<SmolStr>,
    /// Whether the user has used this network or this device before.
    #[serde(rename = "k")]
    is_known: bool,
    /// The hash of the metadata.
    #[serde(rename = "m")]
    metadata: u32,
    /// When it was decided, in seconds since 1970.
    #[serde(rename = "t")]
    at: i64,
}

/// How many codes may be sent in an hour.
#[derive(Debug, Clone, Copy)]
pub struct CodeLimits {
    /// To one person from networks that are new to that person, and again as many from known ones.
    pub user: u64,
    /// For one network, over all users to whom it is new.
    pub network: u64,
}

/// Whether a code may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeAdmission {
    /// It may be sent. It is counted.
    Send,
    /// A code was made for this challenge before: the stored text belongs to it.
    Repeated(SmolStr),
    /// A limit is exhausted.
    Exhausted,
}

impl PendingChallenge {
    /// The challenge of an assessment. Only a trusted address, or a device id that the user has used before, makes it a known one: anybody
    /// can claim an address.
    pub fn of(id: &SmolStr, evidence: &Evidence) -> Self {
        let profile = &evidence.history.profile;
        let is_in_profile = |level| evidence.features.at(level).is_some_and(|hash| profile.entry(level, hash).is_some());
        let is_known = is_in_profile(FeatureLevel::Device) || (evidence.is_trusted() && is_in_profile(FeatureLevel::Network));
        PendingChallenge { id: id.clone(), network: None, is_known, metadata: 0, at: 0 }
    }
}

impl HistoryRepository {
    /// Stores a challenge for the trigger that makes the code.
    ///
    /// # Errors
    ///
    /// The store could not be written.
    pub async fn put_pending_challenge(
        &self,
        sign_in: &SignIn,
        metadata: &str,
        challenge: PendingChallenge,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<(), FailureReason> {
        let metadata = self.pseudonyms.short_hash("challenge metadata", &[metadata.as_bytes()]);
        let challenge = PendingChallenge { network: self.code_network(sign_in), metadata, at: now.as_second(), ..challenge };
        let Ok(value) = serde_json::to_vec(&challenge) else { return Err(FailureReason::BadAnswer) };
        let change = Change { set: vec![(slot(metadata), value)], remove: Vec::new(), ttl: Ttl::AtLeast(ttl) };
        let key = &self.challenge_keys(sign_in)[0];
        self.run_reported(StorePart::Challenge, async { self.store.update(key, change, now).await.map(|_| ()) }).await
    }

    /// The challenge that belongs to the metadata, or the only one if there is no metadata. `None` if it is not clear which one it is.
    ///
    /// # Errors
    ///
    /// The store could not be read.
    pub async fn read_pending_challenge(
        &self,
        sign_in: &SignIn,
        metadata: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<PendingChallenge>, FailureReason> {
        let keys = self.challenge_keys(sign_in);
        let read = async { futures_util::future::try_join_all(keys.iter().map(|key| self.store.get_record(key, now))).await };
        let records = self.run_reported(StorePart::Challenge, read).await?;
        let hashes = self.pseudonyms.short_hashes("challenge metadata", &[metadata.as_bytes()]);
        let recent: Vec<PendingChallenge> =
            records.iter().flat_map(|record| parse(record)).filter(|challenge| now.as_second() - challenge.at <= seconds(ttl)).collect();
        let of_metadata = recent.iter().filter(|challenge| hashes.contains(&challenge.metadata)).max_by_key(|challenge| challenge.at);
        Ok(match (of_metadata, recent.as_slice()) {
            (Some(challenge), _) => Some(challenge.clone()),
            (None, [only]) if metadata.is_empty() => Some(only.clone()),
            (None, _) => None,
        })
    }

    /// Counts a code before it is sent. `text` is stored for a repeated call of the trigger, which then sends nothing.
    ///
    /// # Errors
    ///
    /// The store could not be reached, so the limits are unknown and nothing may be sent.
    pub async fn admit_code(
        &self,
        sign_in: &SignIn,
        challenge: Option<&PendingChallenge>,
        (text, ttl): (&str, Duration),
        limits: CodeLimits,
        now: Timestamp,
    ) -> Result<CodeAdmission, FailureReason> {
        self.run_reported(StorePart::Challenge, async {
            if let Some(challenge) = challenge {
                let key = self.pseudonyms.records("code of challenge", &[challenge.id.as_bytes()])[0].clone();
                let stored = self.store.put_if_absent(&format_smolstr!("c#{key}"), text.as_bytes(), ttl, now).await?;
                if stored != text.as_bytes() {
                    return Ok(CodeAdmission::Repeated(String::from_utf8_lossy(&stored).into()));
                }
            }
            let is_known = challenge.is_some_and(|challenge| challenge.is_known);
            let user_count = self.user_count(sign_in, is_known);
            let user = self.count_code(&user_count, limits.user, now);
            let network = challenge.and_then(|challenge| challenge.network.as_ref()).filter(|_| !is_known);
            let network = async {
                match network {
                    Some(key) => self.count_code(key, limits.network, now).await,
                    None => Ok(true),
                }
            };
            let (user, network) = tokio::try_join!(user, network)?;
            Ok(if user && network { CodeAdmission::Send } else { CodeAdmission::Exhausted })
        })
        .await
    }

    /// Counts an answer to a code, and returns whether it may be compared.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn admit_answer(&self, hash: &[u8], limit: u64, ttl: Duration, now: Timestamp) -> Result<bool, FailureReason> {
        let key = format_smolstr!("c#{}", self.pseudonyms.records("answers to code", &[hash])[0]);
        self.run_reported(StorePart::Challenge, async { self.store.increment_up_to(&key, limit, ttl, now).await }).await
    }

    async fn count_code(&self, key: &str, limit: u64, now: Timestamp) -> Result<bool, FailureReason> {
        // The hour is part of the key: a counter that is renewed by each attempt would never end.
        let key = format_smolstr!("c#{key}#{}", now.as_second().div_euclid(WINDOW));
        self.store.increment_up_to(&key, limit, Duration::from_secs(WINDOW.unsigned_abs()), now).await
    }

    /// The key of a person's count of codes. Codes for known networks are counted apart: a stranger cannot use them up.
    fn user_count(&self, sign_in: &SignIn, is_known: bool) -> SmolStr {
        let purpose = if is_known { "codes to known" } else { "codes to new" };
        self.pseudonyms.records(purpose, &[sign_in.pool.as_bytes(), sign_in.user.key().as_bytes()])[0].clone()
    }

    /// The key of a network's count of codes. Trusted and claimed addresses are counted apart, because anybody can claim any address.
    fn code_network(&self, sign_in: &SignIn) -> Option<SmolStr> {
        let network = format_ip(network_of(sign_in.context.ip.public()?));
        let purpose = if sign_in.context.is_trusted() { "codes of network" } else { "codes of claimed network" };
        self.pseudonyms.records(purpose, &[network.as_bytes()]).first().cloned()
    }

    fn challenge_keys(&self, sign_in: &SignIn) -> riskgate_config::pseudonym::UserKeys {
        self.pseudonyms.records("challenge", &[sign_in.pool.as_bytes(), sign_in.client.as_bytes(), sign_in.user.key().as_bytes()])
    }
}

fn slot(metadata: u32) -> SmolStr {
    format_smolstr!("p{}", metadata % u32::from(SLOTS))
}

fn parse(record: &Record) -> impl Iterator<Item = PendingChallenge> + '_ {
    record.fields.values().filter_map(|value| serde_json::from_slice(value).ok())
}

fn seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)
}
