//! MaxMind minFraud v2.0, Score and Insights.
//!
//! Its `risk_score` is the chance of fraud in percent, 0.01 to 99, and is taken as it is. Fields and
//! codes may be added at any time and none is matched by its text. `SEND` widens what it is told
//! from the address to the user agent and languages, and to the MD5 of the name as its format has it.

use std::sync::Arc;

use base64::Engine as _;
use md5::{Digest as _, Md5};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::{Adapter, Asking, Client, Failure, Keeping, Provider, Question, Sends, client::codes, fields::Fields, secret_header};
use crate::{
    config::{
        env::Fault,
        services::{MinfraudProduct, Service, ServiceConfig},
    },
    evidence::{Answer, Risk},
};

/// An address that is reserved or not in MaxMind's databases gets a score like any other, with one of these warnings: the score says nothing about it.
const UNSCORED: [&str; 2] = ["IP_ADDRESS_RESERVED", "IP_ADDRESS_NOT_FOUND"];

/// What the operator's custom rules at MaxMind ask for. It becomes a reason code and decides nothing: the rules also see what riskgate does not.
const DISPOSITIONS: [&str; 3] = ["reject", "manual_review", "test"];

struct Minfraud {
    client: Client,
    url: String,
    authorization: http::HeaderValue,
}

/// The adapter of an account.
///
/// # Errors
///
/// An account id or key that fits no header.
pub(super) fn adapter(config: &ServiceConfig, account_id: &str, product: MinfraudProduct, client: Client) -> Result<Adapter, Fault> {
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
    let sends = Sends { user_agent: true, accept_language: true, user: true, ..Sends::default() };
    Ok(Adapter { provider: Arc::new(minfraud), sends: sends.allowed(config.send), keeping: Keeping::AsSet })
}

impl Provider for Minfraud {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            let body = body(question).to_string();
            let request = |client: &reqwest::Client| {
                let request = client.post(&self.url).header(http::header::AUTHORIZATION, self.authorization.clone());
                request.header(http::header::CONTENT_TYPE, "application/json").header(http::header::ACCEPT, "application/json").body(body)
            };
            let document: Value = self.client.send(question.received, request).await?.accepted().await?.json().await?;
            read(&document)
        })
    }
}

fn read(document: &Value) -> Result<Option<Answer>, Failure> {
    let fields = Fields::of(Service::Minfraud, document);
    if fields.texts("/warnings", code).any(|code| UNSCORED.contains(&code)) {
        return Ok(None);
    }
    let score = fields.number("/risk_score", 100.0)?;
    let disposition = fields.text("/disposition/action").filter(|action| DISPOSITIONS.contains(action));
    let reasons = fields.texts("/ip_address/risk_reasons", code);
    Ok(Some(Answer::new(Risk::Score(score), codes(disposition.into_iter().chain(reasons)))))
}

/// The code of a warning or reason.
fn code(coded: &Value) -> Option<&str> {
    coded.get("code")?.as_str()
}

fn body(question: &Question) -> Value {
    let mut device = Map::from_iter([("ip_address".to_owned(), Value::from(question.ip.expose().to_string()))]);
    for (name, text) in [("user_agent", &question.user_agent), ("accept_language", &question.accept_language)] {
        if let Some(text) = text {
            device.insert(name.to_owned(), text.expose().as_str().into());
        }
    }
    let mut body = json!({ "device": device });
    if let Some(user) = &question.user {
        body["event"] = json!({ "type": "account_login" });
        body["account"] = json!({ "username_md5": hex(&Md5::digest(user.expose().as_bytes())) });
    }
    body
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
