//! The adapter of MaxMind minFraud v2.0, Score and Insights.
//!
//! `risk_score` is the probability of fraud in percent, 0.01 to 99, and is used unchanged. MaxMind may add fields and codes at any
//! time, so unknown ones are accepted. `SEND` decides whether the request contains only the address, or also the user agent, the
//! languages and the MD5 of the user name.

use std::sync::Arc;

use base64::Engine as _;
use md5::{Digest as _, Md5};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use crate::{Adapter, CachePolicy, Provider, ProviderFuture, ProviderRequest, RequestFields, fields::Fields, secret_header};
use riskgate_config::{
    env::ConfigError,
    services::{MinfraudProduct, ServiceConfig},
};
use riskgate_engine::{
    evidence::{Answer, Risk},
    service::Service,
};
use riskgate_http_client::{Client, failure::Failure};

/// With one of these warnings, the score has no meaning: the address is reserved or not in MaxMind's databases.
const UNSCORED: [&str; 2] = ["IP_ADDRESS_RESERVED", "IP_ADDRESS_NOT_FOUND"];

/// The results of the operator's custom rules at MaxMind. They become reason codes and do not change the score.
const DISPOSITIONS: [&str; 3] = ["reject", "manual_review", "test"];

struct Minfraud {
    client: Client,
    url: String,
    authorization: http::HeaderValue,
}

/// Builds the adapter.
///
/// # Errors
///
/// The account id or the key is not a valid header value.
pub(super) fn adapter(config: &ServiceConfig, account_id: &str, product: MinfraudProduct, client: Client) -> Result<Adapter, ConfigError> {
    let key = config.key.as_ref().map(|key| key.expose_secret()).unwrap_or_default();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{account_id}:{key}"));
    let path = match product {
        MinfraudProduct::Score => "score",
        MinfraudProduct::Insights => "insights",
    };
    let minfraud = Minfraud {
        client,
        url: format!("{}/minfraud/v2.0/{path}", config.url),
        authorization: secret_header("RISKGATE_MINFRAUD_LICENSE_KEY", &format!("Basic {basic}"))?,
    };
    let request_fields = RequestFields { user_agent: true, accept_language: true, user: true, ..RequestFields::default() };
    Ok(Adapter { provider: Arc::new(minfraud), request_fields: request_fields.limited_to(config.send), cache_policy: CachePolicy::Configured })
}

impl Provider for Minfraud {
    fn query<'a>(&'a self, request: &'a ProviderRequest) -> ProviderFuture<'a> {
        Box::pin(async move {
            let body = body(request).to_string();
            let build = |client: &reqwest::Client| {
                let builder = client.post(&self.url).header(http::header::AUTHORIZATION, self.authorization.clone());
                builder.header(http::header::CONTENT_TYPE, "application/json").header(http::header::ACCEPT, "application/json").body(body)
            };
            let document: Value = self.client.send(request.received, build).await?.require_ok().await?.json().await?;
            parse(&document)
        })
    }
}

fn parse(document: &Value) -> Result<Option<Answer>, Failure> {
    let fields = Fields::new(Service::Minfraud, document);
    if fields.texts("/warnings", code).any(|code| UNSCORED.contains(&code)) {
        return Ok(None);
    }
    let score = fields.number("/risk_score", 100.0)?;
    let disposition = fields.text("/disposition/action").filter(|action| DISPOSITIONS.contains(action));
    let reasons = fields.texts("/ip_address/risk_reasons", code);
    Ok(Some(Answer::new(Risk::Score(score), fields.codes(disposition.into_iter().chain(reasons)))))
}

/// The code of a warning or reason.
fn code(element: &Value) -> Option<&str> {
    element.get("code")?.as_str()
}

fn body(request: &ProviderRequest) -> Value {
    let mut device = Map::from_iter([("ip_address".to_owned(), Value::from(request.ip.expose().to_string()))]);
    for (name, text) in [("user_agent", &request.user_agent), ("accept_language", &request.accept_language)] {
        if let Some(text) = text {
            device.insert(name.to_owned(), text.expose().as_str().into());
        }
    }
    let mut body = json!({ "device": device });
    if let Some(user) = &request.user {
        body["event"] = json!({ "type": "account_login" });
        body["account"] = json!({ "username_md5": hex(&Md5::digest(user.expose().as_bytes())) });
    }
    body
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
