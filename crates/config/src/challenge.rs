//! Settings of the codes that a custom challenge sends.

use std::{path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    env::{Reader, count_within, duration},
    services::parse_url,
};

/// The shortest and the longest `CHALLENGE_CODE_TTL`. Cognito's own session lasts at most 15 minutes.
const TTL_RANGE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(900));

/// The shortest `CHALLENGE_WEBHOOK_SECRET`, in characters.
const MIN_SECRET: usize = 32;

/// Settings of the codes that a custom challenge sends.
#[derive(Debug, Clone)]
pub struct ChallengeConfig {
    /// How codes reach people; `None` if they cannot.
    pub delivery: Option<DeliveryConfig>,
    /// What happens when a code cannot be delivered. `CHALLENGE_FALLBACK`.
    pub fallback: ChallengeFallback,
    /// Directory with texts that replace the built-in ones. `CHALLENGE_TEMPLATES`.
    pub templates: Option<PathBuf>,
    /// How long a code is valid. `CHALLENGE_CODE_TTL`, default 3 min, which is Cognito's default `AuthSessionValidity`.
    pub code_ttl: Duration,
    /// Codes an hour for one user from networks that are new to that user, and again as many from known ones. `CHALLENGE_CODES`.
    pub codes_per_user: u64,
    /// Codes an hour for one network, over all users to whom it is new. `CHALLENGE_NETWORK_CODES`.
    pub codes_per_network: u64,
}

/// How codes reach people.
#[derive(Debug, Clone)]
pub enum DeliveryConfig {
    /// E-mail through Amazon SES.
    Ses {
        /// The sender. `CHALLENGE_FROM`.
        from: String,
        /// The region of the sender's identity; the process's own if unset. `CHALLENGE_SES_REGION`.
        region: Option<String>,
    },
    /// A request to the operator's own service.
    Webhook {
        /// Its URL. `CHALLENGE_WEBHOOK`.
        url: String,
        /// The key of the request's signature; `None` until it is resolved. `CHALLENGE_WEBHOOK_SECRET`.
        secret: Option<SecretString>,
    },
}

/// What happens when a code cannot be delivered (`CHALLENGE_FALLBACK`). An exhausted limit is not such a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChallengeFallback {
    /// The sign-in fails.
    #[default]
    Deny,
    /// The password suffices. The tokens stay restricted, and nothing is learned.
    Allow,
}

impl ChallengeConfig {
    pub(super) fn read(r: &mut Reader<'_>, plain_origins: &[String]) -> Self {
        ChallengeConfig {
            delivery: read_delivery(r, plain_origins),
            templates: r.text("CHALLENGE_TEMPLATES").map(PathBuf::from),
            code_ttl: r.parsed("CHALLENGE_CODE_TTL", code_ttl).unwrap_or(Duration::from_secs(180)),
            codes_per_user: r.parsed("CHALLENGE_CODES", count_within(1, 100)).unwrap_or(5),
            codes_per_network: r.parsed("CHALLENGE_NETWORK_CODES", count_within(1, 1_000_000)).unwrap_or(20),
            fallback: r.choice("CHALLENGE_FALLBACK", &[("deny", ChallengeFallback::Deny), ("allow", ChallengeFallback::Allow)]),
        }
    }
}

fn read_delivery(r: &mut Reader<'_>, plain_origins: &[String]) -> Option<DeliveryConfig> {
    let from = r.parsed("CHALLENGE_FROM", sender);
    let region = r.parsed("CHALLENGE_SES_REGION", region);
    let url = r.parsed("CHALLENGE_WEBHOOK", |v| parse_url(v, plain_origins).map(|_| v.to_owned()));
    let secret = r.secret("CHALLENGE_WEBHOOK_SECRET");
    let is_short = secret.as_ref().is_some_and(|secret| secret.expose_secret().len() < MIN_SECRET);
    if is_short {
        r.add_fault("CHALLENGE_WEBHOOK_SECRET", format!("must be at least {MIN_SECRET} characters; make one with: openssl rand -hex 32"));
    }
    match (from, url) {
        (Some(_), Some(_)) => {
            r.add_fault("CHALLENGE_WEBHOOK", "set together with RISKGATE_CHALLENGE_FROM; unset one of them");
            None
        }
        (Some(_), None) if !cfg!(feature = "secrets") => {
            r.add_fault("CHALLENGE_FROM", "sends through SES, which this build cannot call (build with --features secrets)");
            None
        }
        (Some(from), None) => Some(DeliveryConfig::Ses { from, region }),
        (None, Some(url)) => {
            if secret.is_none() && !r.is_secret_pending("CHALLENGE_WEBHOOK_SECRET") {
                r.add_fault("CHALLENGE_WEBHOOK_SECRET", "is needed because CHALLENGE_WEBHOOK is set");
            }
            Some(DeliveryConfig::Webhook { url, secret: secret.filter(|_| !is_short) })
        }
        (None, None) => None,
    }
}

/// Parses the sender of an e-mail: an address, or a name and an address in angle brackets.
fn sender(value: &str) -> Result<String, String> {
    let address = match value.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => value,
    };
    let is_address = address.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.') && !domain.contains('@'));
    let is_plain = value.len() <= 320 && !value.chars().any(char::is_control) && !address.contains([' ', '<', '>', ',', ';', '"']);
    if is_address && is_plain {
        Ok(value.to_owned())
    } else {
        Err("must be one e-mail address, such as security@example.com or Example <security@example.com>".to_owned())
    }
}

fn region(value: &str) -> Result<String, String> {
    let is_region = value.split('-').count() >= 3 && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_region { Ok(value.to_owned()) } else { Err("must be an AWS region such as eu-west-1".to_owned()) }
}

fn code_ttl(value: &str) -> Result<Duration, String> {
    let ttl = duration(value)?;
    let (shortest, longest) = TTL_RANGE;
    if (shortest..=longest).contains(&ttl) { Ok(ttl) } else { Err("must be from 1m to 15m".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_one_address() {
        for good in ["security@example.com", "Example <security@example.com>", "Bank, Inc. <s+1@mail.example.co.uk>"] {
            assert!(sender(good).is_ok(), "{good}");
        }
        for bad in
            ["", "example.com", "a@b", "@example.com", "a@example.com,b@example.com", "A <a@example.com", "a@example.com\r\nBcc: b@c.de", "a b@example.com"]
        {
            assert!(sender(bad).is_err(), "{bad}");
        }
    }
}
