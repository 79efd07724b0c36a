//! The adapter of CrowdSec CTI: the `smoke` look-up of one address.
//!
//! The result is a reputation with a confidence. `trust` is ignored: it is the trust in the reports, not in the address. Status 404
//! means that nothing is known about the address.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde::{
    Deserialize,
    de::{self, IntoDeserializer as _, value::StrDeserializer},
};
use serde_json::Value;

use crate::{Adapter, Provider, ProviderFuture, ProviderRequest, fields::Fields, key_header, template::RESERVED};
use riskgate_config::{env::ConfigError, services::ServiceConfig};
use riskgate_engine::{
    evidence::{Answer, Risk},
    service::Service,
};
use riskgate_http_client::{Client, failure::Failure};

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

/// Builds the adapter.
///
/// # Errors
///
/// The key is not a valid header value.
pub(super) fn adapter(config: &ServiceConfig, client: Client) -> Result<Adapter, ConfigError> {
    let cti = CrowdsecCti { client, origin: config.url.clone(), key: key_header("RISKGATE_CROWDSEC_CTI_KEY", config)? };
    Ok(Adapter::for_address(Arc::new(cti)))
}

impl Provider for CrowdsecCti {
    fn query<'a>(&'a self, request: &'a ProviderRequest) -> ProviderFuture<'a> {
        Box::pin(async move {
            let url = format!("{}/v2/smoke/{}", self.origin, utf8_percent_encode(&request.ip.expose().to_string(), RESERVED));
            let build = |client: &reqwest::Client| client.get(&url).header("x-api-key", self.key.clone());
            let response = self.client.send(request.received, build).await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let document: Value = response.require_ok().await?.json().await?;
            let fields = Fields::new(Service::CrowdsecCti, &document);
            let Some(risk) = parse(fields)? else { return Ok(None) };
            let names = fields.texts("/behaviors", name).chain(fields.texts("/classifications/classifications", name));
            Ok(Some(Answer::new(risk, fields.codes(names))))
        })
    }
}

/// The name of a behaviour or classification.
fn name(element: &Value) -> Option<&str> {
    element.get("name")?.as_str()
}

fn parse(fields: Fields<'_>) -> Result<Option<Risk>, Failure> {
    let reputation = fields.text("/reputation").ok_or_else(|| fields.unreadable("/reputation"))?;
    let reputation = variant(reputation).unwrap_or(Reputation::Unknown);
    let confidence = fields.text("/confidence").and_then(variant).unwrap_or_default();
    Ok(risk(reputation, confidence))
}

/// The variant of an enum with this serialized name.
fn variant<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    T::deserialize(text.into_deserializer() as StrDeserializer<'_, de::value::Error>).ok()
}

/// The score of each documented combination. `None` if the service knows nothing about the address.
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
    fn reputation_and_confidence_determine_the_score() {
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
            assert_eq!(parse(Fields::new(Service::CrowdsecCti, &document)), Ok(expected), "{text}");
        }
        assert!(parse(Fields::new(Service::CrowdsecCti, &Value::Null)).is_err(), "a reputation is required");
    }
}
