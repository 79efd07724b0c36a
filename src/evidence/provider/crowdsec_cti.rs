//! CrowdSec CTI, the `smoke` look-up of one address.
//!
//! Its verdict is a reputation with a confidence; `trust` among its scores is trust in the reports,
//! not in the address, and is not read. An address that it does not know is a 404: nothing known.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use percent_encoding::utf8_percent_encode;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::{Adapter, Asking, Client, Keeping, Provider, Question, Sends, client::codes, secret_header, template::RESERVED};
use crate::{
    config::{env::Fault, services::ServiceConfig},
    evidence::{Answer, Risk},
};

struct CrowdsecCti {
    client: Client,
    origin: String,
    key: HeaderValue,
}

#[derive(Deserialize)]
struct Wire {
    reputation: Reputation,
    #[serde(default)]
    confidence: Confidence,
    #[serde(default)]
    behaviors: Vec<Named>,
    #[serde(default)]
    classifications: Classifications,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Reputation {
    Malicious,
    Suspicious,
    Known,
    Safe,
    Benign,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
enum Confidence {
    High,
    Medium,
    Low,
    #[default]
    #[serde(other)]
    None,
}

#[derive(Deserialize, Default)]
struct Classifications {
    #[serde(default)]
    classifications: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

/// The adapter of a key.
///
/// # Errors
///
/// A key that fits no header.
pub(super) fn adapter(config: &ServiceConfig, client: Client) -> Result<Adapter, Fault> {
    let key = config.key.as_ref().map(|key| key.expose_secret()).unwrap_or_default();
    let cti = CrowdsecCti { client, origin: config.url.clone(), key: secret_header("RISKGATE_CROWDSEC_CTI_KEY", key)? };
    Ok(Adapter { provider: Arc::new(cti), sends: Sends::default(), keeping: Keeping::AsSet })
}

impl Provider for CrowdsecCti {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            let url = format!("{}/v2/smoke/{}", self.origin, utf8_percent_encode(&question.ip.expose().to_string(), RESERVED));
            let request = |client: &reqwest::Client| client.get(&url).header("x-api-key", self.key.clone());
            let exchange = self.client.send(question.received, request).await?;
            if exchange.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let wire: Wire = exchange.accepted().await?.json().await?;
            let Some(risk) = risk(wire.reputation, wire.confidence) else { return Ok(None) };
            let named = wire.behaviors.iter().chain(&wire.classifications.classifications);
            Ok(Some(Answer { risk, codes: codes(named.map(|named| named.name.as_str())) }))
        })
    }
}

/// The documented bands; `None` when it knows nothing.
fn risk(reputation: Reputation, confidence: Confidence) -> Option<Risk> {
    let score = match (reputation, confidence) {
        (Reputation::Malicious, Confidence::High) => 85.0,
        (Reputation::Malicious, Confidence::Medium | Confidence::Low | Confidence::None) | (Reputation::Suspicious, Confidence::High) => 65.0,
        (Reputation::Suspicious, Confidence::Medium | Confidence::Low | Confidence::None) => 40.0,
        (Reputation::Known | Reputation::Safe | Reputation::Benign, _) => return Some(Risk::Neutral),
        (Reputation::Unknown, _) => return None,
    };
    Some(Risk::Score(score))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reputations_fall_into_bands() {
        for (text, expected) in [
            (r#"{"reputation":"malicious","confidence":"high"}"#, Some(Risk::Score(85.0))),
            (r#"{"reputation":"malicious","confidence":"low"}"#, Some(Risk::Score(65.0))),
            (r#"{"reputation":"suspicious","confidence":"high"}"#, Some(Risk::Score(65.0))),
            (r#"{"reputation":"suspicious"}"#, Some(Risk::Score(40.0))),
            (r#"{"reputation":"safe","confidence":"high"}"#, Some(Risk::Neutral)),
            (r#"{"reputation":"unknown","confidence":"none"}"#, None),
            (r#"{"reputation":"something new","confidence":"absolute"}"#, None),
        ] {
            let wire: Wire = serde_json::from_str(text).expect("an answer");
            assert_eq!(risk(wire.reputation, wire.confidence), expected, "{text}");
        }
        assert!(serde_json::from_str::<Wire>("{}").is_err(), "no reputation is no answer");
    }
}
