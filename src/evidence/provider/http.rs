//! A risk service of the operator's own: any URL, method, headers and body, a pointer to the score.

use std::{str::FromStr as _, sync::Arc};

use ::http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{Adapter, Asking, Client, Failure, Keeping, Provider, Question, client::codes, fields::Fields, template::Template};
use crate::{
    config::{
        env::Fault,
        services::{HttpMethod, HttpOwn, Service, ServiceConfig},
    },
    evidence::{Answer, Risk},
};

struct Http {
    client: Client,
    method: HttpMethod,
    url: Template,
    body: Template,
    headers: HeaderMap,
    score_pointer: String,
    score_scale: f64,
    reasons_pointer: Option<String>,
}

/// The adapter that the settings describe.
///
/// # Errors
///
/// `HTTP_URL` makes no URL.
pub(super) fn adapter(config: &ServiceConfig, own: &HttpOwn, client: Client) -> Result<Adapter, Fault> {
    let url = Template::parse(&config.url);
    let body = Template::parse(&own.body);
    let mut headers = HeaderMap::new();
    if own.method == HttpMethod::Post {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &own.headers {
        let (Ok(name), Ok(mut value)) = (HeaderName::from_str(name), HeaderValue::from_str(value.expose_secret())) else {
            return Err(Fault { variable: "RISKGATE_HTTP_HEADERS".to_owned(), problem: "holds a line that is no header".to_owned() });
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let (in_url, in_body) = (url.sends(), body.sends());
    let sends = match own.method {
        HttpMethod::Get => in_url,
        HttpMethod::Post => in_url.or(in_body),
    };
    let http = Http {
        client,
        method: own.method,
        url,
        body,
        headers,
        score_pointer: own.score_pointer.clone(),
        score_scale: own.score_scale,
        reasons_pointer: own.reasons_pointer.clone(),
    };
    Ok(Adapter { provider: Arc::new(http), sends: sends.allowed(config.send), keeping: Keeping::AsSet })
}

impl Provider for Http {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            let url = self.url.url(question);
            let request = |client: &reqwest::Client| {
                let request = match self.method {
                    HttpMethod::Get => client.get(&url),
                    HttpMethod::Post => client.post(&url).body(self.body.json(question)),
                };
                request.headers(self.headers.clone())
            };
            let document: Value = self.client.send(question.received, request).await?.accepted().await?.json().await?;
            self.read(&document).map(Some)
        })
    }
}

impl Http {
    fn read(&self, document: &Value) -> Result<Answer, Failure> {
        let fields = Fields::of(Service::Http, document);
        let score = fields.number(&self.score_pointer, self.score_scale)?;
        let reasons = self.reasons_pointer.iter().flat_map(|pointer| fields.texts(pointer, Value::as_str));
        let codes = codes(reasons);
        Ok(Answer::new(Risk::Score(score / self.score_scale * 100.0), codes))
    }
}
