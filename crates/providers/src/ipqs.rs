//! The adapter of IPQualityScore's proxy detection.
//!
//! `fraud_score` is not a probability: 75 is suspicious, 85 is high risk, 90 is recent abuse. It is mapped in these bands. The key is
//! part of the path, so URLs are never printed. A refusal has status 200 and `success: false`.

use std::sync::Arc;

use percent_encoding::utf8_percent_encode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::{Adapter, CachePolicy, Provider, ProviderFuture, ProviderRequest, RequestFields, fields::Fields, risk_in_bands, template::RESERVED};
use riskgate_config::services::ServiceConfig;
use riskgate_engine::{
    evidence::{Answer, FailureReason},
    service::Service,
};
use riskgate_http_client::{Client, failure::Failure};

/// riskgate's score from each `fraud_score` on. Below the first band, the address is neutral.
const BANDS: [(f64, f64); 3] = [(75.0, 40.0), (85.0, 65.0), (90.0, 85.0)];

struct Ipqs {
    client: Client,
    origin: String,
    key: SecretString,
}

/// The flags that become reason codes.
const FLAGS: [&str; 9] = ["proxy", "vpn", "tor", "active_vpn", "active_tor", "recent_abuse", "frequent_abuser", "high_risk_attacks", "bot_status"];

/// Builds the adapter.
pub(super) fn adapter(config: &ServiceConfig, client: Client) -> Adapter {
    let ipqs = Ipqs { client, origin: config.url.clone(), key: config.key.clone().unwrap_or_default() };
    let request_fields = RequestFields { user_agent: true, accept_language: true, ..RequestFields::default() };
    Adapter { provider: Arc::new(ipqs), request_fields: request_fields.limited_to(config.send), cache_policy: CachePolicy::Configured }
}

impl Provider for Ipqs {
    fn query<'a>(&'a self, request: &'a ProviderRequest) -> ProviderFuture<'a> {
        Box::pin(async move {
            let url = self.url(request);
            let document: Value = self.client.send(request.received, |client| client.get(&url)).await?.require_ok().await?.json().await?;
            parse(&document).map(Some)
        })
    }
}

impl Ipqs {
    fn url(&self, request: &ProviderRequest) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let (key, ip) = (encoded(self.key.expose_secret()), encoded(&request.ip.expose().to_string()));
        let mut url = format!("{}/api/json/ip/{key}/{ip}?strictness=0&fast=true&allow_public_access_points=true", self.origin);
        for (name, text) in [("user_agent", &request.user_agent), ("user_language", &request.accept_language)] {
            if let Some(text) = text {
                url.push_str(&format!("&{name}={}", encoded(text.expose())));
            }
        }
        url
    }
}

fn parse(document: &Value) -> Result<Answer, Failure> {
    let fields = Fields::new(Service::Ipqs, document);
    if !fields.flag("/success")?.ok_or_else(|| fields.unreadable("/success"))? {
        return Err(refusal(fields.text("/message").unwrap_or_default()).into());
    }
    let score = fields.number("/fraud_score", 100.0)?;
    let mut set = Vec::new();
    for flag in FLAGS {
        if fields.flag(&format!("/{flag}"))? == Some(true) {
            set.push(flag);
        }
    }
    let events = fields.texts("/abuse_events", Value::as_str);
    Ok(Answer::new(risk_in_bands(score, &BANDS), fields.codes(set.into_iter().chain(events))))
}

/// Classifies a refusal by its message, because it has no code. An unknown message is a bad answer.
fn refusal(message: &str) -> FailureReason {
    let message = message.to_ascii_lowercase();
    if message.contains("quota") || message.contains("exceeded") {
        FailureReason::RateLimited
    } else if message.contains("credit") {
        FailureReason::NoCredit
    } else if message.contains("key") || message.contains("unauthorized") {
        FailureReason::KeyRefused
    } else {
        FailureReason::BadAnswer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riskgate_engine::evidence::Risk;

    #[test]
    fn refusals_are_classified_by_their_message() {
        for (message, expected) in [
            ("Invalid or unauthorized key. Please check the API key and try again.", FailureReason::KeyRefused),
            ("You have exceeded your request quota of 35 per day. Please upgrade to increase your request quota.", FailureReason::RateLimited),
            ("You have insufficient credits to make this query.", FailureReason::NoCredit),
            ("Invalid IPv4 address, IPv6 address or hostname.", FailureReason::BadAnswer),
            ("", FailureReason::BadAnswer),
        ] {
            assert_eq!(refusal(message), expected, "{message}");
        }
    }

    #[test]
    fn a_missing_score_is_not_zero() {
        let parse = |text: &str| parse(&serde_json::from_str(text).expect("JSON"));
        assert_eq!(parse(r#"{"success":true,"message":"Success"}"#), Err(FailureReason::BadAnswer.into()));
        assert_eq!(parse(r#"{"fraud_score":0}"#), Err(FailureReason::BadAnswer.into()), "`success` is required");
        let clean = parse(r#"{"success":true,"fraud_score":74.9,"ISP":"N/A"}"#).expect("an answer");
        assert_eq!(clean.risk, Risk::Neutral);
    }
}
