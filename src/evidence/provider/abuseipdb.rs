//! AbuseIPDB v2 `check`.
//!
//! `abuseConfidenceScore` is how sure its reporters are that the address is malicious; 0 means that
//! nobody reported it, not that it is good. It is read in bands. `isWhitelisted` is no verdict by
//! the service's own words and is not read.

use std::sync::Arc;

use http::HeaderValue;
use percent_encoding::utf8_percent_encode;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{Adapter, Asking, Client, Keeping, Provider, Question, Sends, client::codes, fields::Fields, in_bands, secret_header, template::RESERVED};
use crate::{
    config::{
        env::Fault,
        services::{Service, ServiceConfig},
    },
    evidence::Answer,
};

/// Reports older than this are not counted; the service's own default.
const MAX_AGE_DAYS: u8 = 30;

/// From which confidence on, which of riskgate's scores. Under the first it holds nothing against the address.
const BANDS: [(f64, f64); 3] = [(25.0, 40.0), (75.0, 65.0), (90.0, 85.0)];

struct AbuseIpdb {
    client: Client,
    origin: String,
    key: HeaderValue,
}

/// The adapter of a key.
///
/// # Errors
///
/// A key that fits no header.
pub(super) fn adapter(config: &ServiceConfig, client: Client) -> Result<Adapter, Fault> {
    let key = config.key.as_ref().map(|key| key.expose_secret()).unwrap_or_default();
    let abuseipdb = AbuseIpdb { client, origin: config.url.clone(), key: secret_header("RISKGATE_ABUSEIPDB_KEY", key)? };
    Ok(Adapter { provider: Arc::new(abuseipdb), sends: Sends::default(), keeping: Keeping::AsSet })
}

impl Provider for AbuseIpdb {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            let ip = question.ip.expose().to_string();
            let url = format!("{}/api/v2/check?ipAddress={}&maxAgeInDays={MAX_AGE_DAYS}", self.origin, utf8_percent_encode(&ip, RESERVED));
            let request = |client: &reqwest::Client| client.get(&url).header("Key", self.key.clone()).header(http::header::ACCEPT, "application/json");
            let document: Value = self.client.send(question.received, request).await?.accepted().await?.json().await?;
            let fields = Fields::of(Service::Abuseipdb, &document);
            let confidence = fields.number("/data/abuseConfidenceScore", 100.0)?;
            let tor = fields.flag("/data/isTor")?.unwrap_or_default();
            let stated = tor.then_some("tor").into_iter().chain(fields.text("/data/usageType"));
            Ok(Some(Answer::new(in_bands(confidence, &BANDS), codes(stated))))
        })
    }
}
