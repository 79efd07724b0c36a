//! IPQualityScore proxy detection.
//!
//! `fraud_score` is no probability: from 75 suspicious, from 85 high risk, from 90 abuse in the last
//! days. It is read in those bands. The key stands in the path, so no URL of it is ever printed, and
//! a refusal is a 200 with `success: false`.

use std::sync::Arc;

use percent_encoding::utf8_percent_encode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{Adapter, Asking, Client, Failure, Keeping, Provider, Question, Sends, client::codes, fields::Fields, in_bands, template::RESERVED};
use crate::{
    config::services::{Service, ServiceConfig},
    evidence::{Answer, Cause},
};

/// From which `fraud_score` on, which of riskgate's scores. Under the first it holds nothing against the address.
const BANDS: [(f64, f64); 3] = [(75.0, 40.0), (85.0, 65.0), (90.0, 85.0)];

struct Ipqs {
    client: Client,
    origin: String,
    key: SecretString,
}

/// The flags that become reason codes.
const FLAGS: [&str; 9] = ["proxy", "vpn", "tor", "active_vpn", "active_tor", "recent_abuse", "frequent_abuser", "high_risk_attacks", "bot_status"];

/// The adapter of a key.
pub(super) fn adapter(config: &ServiceConfig, client: Client) -> Adapter {
    let ipqs = Ipqs { client, origin: config.url.clone(), key: config.key.clone().unwrap_or_default() };
    let sends = Sends { user_agent: true, accept_language: true, ..Sends::default() };
    Adapter { provider: Arc::new(ipqs), sends: sends.allowed(config.send), keeping: Keeping::AsSet }
}

impl Provider for Ipqs {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            let url = self.url(question);
            let document: Value = self.client.send(question.received, |client| client.get(&url)).await?.accepted().await?.json().await?;
            read(&document).map(Some)
        })
    }
}

impl Ipqs {
    fn url(&self, question: &Question) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let (key, ip) = (encoded(self.key.expose_secret()), encoded(&question.ip.expose().to_string()));
        let mut url = format!("{}/api/json/ip/{key}/{ip}?strictness=0&fast=true&allow_public_access_points=true", self.origin);
        for (name, text) in [("user_agent", &question.user_agent), ("user_language", &question.accept_language)] {
            if let Some(text) = text {
                url.push_str(&format!("&{name}={}", encoded(text.expose())));
            }
        }
        url
    }
}

fn read(document: &Value) -> Result<Answer, Failure> {
    let fields = Fields::of(Service::Ipqs, document);
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
    Ok(Answer::new(in_bands(score, &BANDS), codes(set.into_iter().chain(events))))
}

/// What a refusal's sentence means. There is no code to read, so unknown sentences are bad answers.
fn refusal(message: &str) -> Cause {
    let message = message.to_ascii_lowercase();
    if message.contains("quota") || message.contains("exceeded") {
        Cause::RateLimited
    } else if message.contains("credit") {
        Cause::NoCredit
    } else if message.contains("key") || message.contains("unauthorized") {
        Cause::KeyRefused
    } else {
        Cause::BadAnswer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Risk;

    #[test]
    fn refusals_are_told_by_their_sentence() {
        for (message, expected) in [
            ("Invalid or unauthorized key. Please check the API key and try again.", Cause::KeyRefused),
            ("You have exceeded your request quota of 35 per day. Please upgrade to increase your request quota.", Cause::RateLimited),
            ("You have insufficient credits to make this query.", Cause::NoCredit),
            ("Invalid IPv4 address, IPv6 address or hostname.", Cause::BadAnswer),
            ("", Cause::BadAnswer),
        ] {
            assert_eq!(refusal(message), expected, "{message}");
        }
    }

    #[test]
    fn a_missing_score_is_no_zero() {
        let read = |text: &str| read(&serde_json::from_str(text).expect("JSON"));
        assert_eq!(read(r#"{"success":true,"message":"Success"}"#), Err(Cause::BadAnswer.into()));
        assert_eq!(read(r#"{"fraud_score":0}"#), Err(Cause::BadAnswer.into()), "success has to be stated");
        let clean = read(r#"{"success":true,"fraud_score":74.9,"ISP":"N/A"}"#).expect("an answer");
        assert_eq!(clean.risk, Risk::Neutral);
    }
}
