//! The adapter of AbuseIPDB's v2 `check`.
//!
//! `abuseConfidenceScore` is the confidence that the address is malicious. 0 means that it has no reports, not that it is good. It
//! is mapped in bands. `isWhitelisted` is ignored: the service's documentation says that it is not a verdict.

use std::sync::Arc;

use http::HeaderValue;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use crate::{Adapter, Provider, ProviderFuture, ProviderRequest, fields::Fields, key_header, risk_in_bands, template::RESERVED};
use riskgate_config::{env::ConfigError, services::ServiceConfig};
use riskgate_engine::{evidence::Answer, service::Service};
use riskgate_http_client::Client;

/// The maximum age of the reports that count. This is the service's default.
const MAX_AGE_DAYS: u8 = 30;

/// riskgate's score from each confidence on. Below the first band, the address is neutral.
const BANDS: [(f64, f64); 3] = [(25.0, 40.0), (75.0, 65.0), (90.0, 85.0)];

struct AbuseIpdb {
    client: Client,
    origin: String,
    key: HeaderValue,
}

/// Builds the adapter.
///
/// # Errors
///
/// The key is not a valid header value.
pub(super) fn adapter(config: &ServiceConfig, client: Client) -> Result<Adapter, ConfigError> {
    Ok(Adapter::for_address(Arc::new(AbuseIpdb { client, origin: config.url.clone(), key: key_header("RISKGATE_ABUSEIPDB_KEY", config)? })))
}

impl Provider for AbuseIpdb {
    fn query<'a>(&'a self, request: &'a ProviderRequest) -> ProviderFuture<'a> {
        Box::pin(async move {
            let ip = request.ip.expose().to_string();
            let url = format!("{}/api/v2/check?ipAddress={}&maxAgeInDays={MAX_AGE_DAYS}", self.origin, utf8_percent_encode(&ip, RESERVED));
            let build = |client: &reqwest::Client| client.get(&url).header("Key", self.key.clone()).header(http::header::ACCEPT, "application/json");
            let document: Value = self.client.send(request.received, build).await?.require_ok().await?.json().await?;
            let fields = Fields::new(Service::Abuseipdb, &document);
            let confidence = fields.number("/data/abuseConfidenceScore", 100.0)?;
            let tor = fields.flag("/data/isTor")?.unwrap_or_default();
            let reasons = tor.then_some("tor").into_iter().chain(fields.text("/data/usageType"));
            Ok(Some(Answer::new(risk_in_bands(confidence, &BANDS), fields.codes(reasons))))
        })
    }
}
