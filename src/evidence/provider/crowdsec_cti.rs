//! CrowdSec CTI, the `smoke` look-up of one address.
//!
//! Its verdict is a reputation with a confidence; `trust` among its scores is trust in the reports,
//! not in the address, and is not read. An address that it does not know is a 404: nothing known.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use percent_encoding::utf8_percent_encode;
use secrecy::ExposeSecret as _;
use serde::{
    Deserialize,
    de::{self, IntoDeserializer as _, value::StrDeserializer},
};
use serde_json::Value;

use super::{Adapter, Asking, Client, Failure, Keeping, Provider, Question, Sends, client::codes, fields::Fields, secret_header, template::RESERVED};
use crate::{
    config::{
        env::Fault,
        services::{Service, ServiceConfig},
    },
    evidence::{Answer, Risk},
};

struct CrowdsecCti {
    client: Client,
    origin: String,
    key: HeaderValue,
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
            let document: Value = exchange.accepted().await?.json().await?;
            let fields = Fields::of(Service::CrowdsecCti, &document);
            let Some(risk) = read(fields)? else { return Ok(None) };
            let names = fields.texts("/behaviors", name).chain(fields.texts("/classifications/classifications", name));
            Ok(Some(Answer::new(risk, codes(names))))
        })
    }
}

/// The name of a behaviour or classification.
fn name(named: &Value) -> Option<&str> {
    named.get("name")?.as_str()
}

fn read(fields: Fields<'_>) -> Result<Option<Risk>, Failure> {
    let reputation = fields.text("/reputation").ok_or_else(|| fields.unreadable("/reputation"))?;
    let reputation = word(reputation).unwrap_or(Reputation::Unknown);
    let confidence = fields.text("/confidence").and_then(word).unwrap_or_default();
    Ok(risk(reputation, confidence))
}

fn word<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    T::deserialize(text.into_deserializer() as StrDeserializer<'_, de::value::Error>).ok()
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
            let document = serde_json::from_str(text).expect("JSON");
            assert_eq!(read(Fields::of(Service::CrowdsecCti, &document)), Ok(expected), "{text}");
        }
        assert!(read(Fields::of(Service::CrowdsecCti, &Value::Null)).is_err(), "no reputation is no answer");
    }
}
