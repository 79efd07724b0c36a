//! The adapter of a custom risk service: the operator configures the URL, method, headers and body, and JSON pointers to the score and reasons.

use std::{str::FromStr as _, sync::Arc};

use ::http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::{Adapter, CachePolicy, Provider, ProviderFuture, ProviderRequest, fields::Fields, template::Template};
use riskgate_config::{
    env::ConfigError,
    services::{HttpMethod, HttpOptions, ServiceConfig},
};
use riskgate_engine::{
    evidence::{Answer, Risk},
    service::Service,
};
use riskgate_http_client::{Client, failure::Failure};

struct HttpProvider {
    client: Client,
    method: HttpMethod,
    url: Template,
    body: Template,
    headers: HeaderMap,
    score_pointer: String,
    score_scale: f64,
    reasons_pointer: Option<String>,
}

/// Builds the adapter from the settings.
///
/// # Errors
///
/// `HTTP_HEADERS` contains an invalid header.
pub(super) fn adapter(config: &ServiceConfig, options: &HttpOptions, client: Client) -> Result<Adapter, ConfigError> {
    let url = Template::parse(&config.url);
    let body = Template::parse(&options.body);
    let mut headers = HeaderMap::new();
    if options.method == HttpMethod::Post {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &options.headers {
        let (Ok(name), Ok(mut value)) = (HeaderName::from_str(name), HeaderValue::from_str(value.expose_secret())) else {
            return Err(ConfigError { variable: "RISKGATE_HTTP_HEADERS".to_owned(), problem: "contains a line that is not a header".to_owned() });
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let (in_url, in_body) = (url.request_fields(), body.request_fields());
    let request_fields = match options.method {
        HttpMethod::Get => in_url,
        HttpMethod::Post => in_url.union(in_body),
    };
    let provider = HttpProvider {
        client,
        method: options.method,
        url,
        body,
        headers,
        score_pointer: options.score_pointer.clone(),
        score_scale: options.score_scale,
        reasons_pointer: options.reasons_pointer.clone(),
    };
    Ok(Adapter { provider: Arc::new(provider), request_fields: request_fields.limited_to(config.send), cache_policy: CachePolicy::Configured })
}

impl Provider for HttpProvider {
    fn query<'a>(&'a self, request: &'a ProviderRequest) -> ProviderFuture<'a> {
        Box::pin(async move {
            let url = self.url.to_url(request);
            let build = |client: &reqwest::Client| {
                let builder = match self.method {
                    HttpMethod::Get => client.get(&url),
                    HttpMethod::Post => client.post(&url).body(self.body.to_json(request)),
                };
                builder.headers(self.headers.clone())
            };
            let document: Value = self.client.send(request.received, build).await?.require_ok().await?.json().await?;
            self.parse(&document).map(Some)
        })
    }
}

impl HttpProvider {
    fn parse(&self, document: &Value) -> Result<Answer, Failure> {
        let fields = Fields::new(Service::Http, document);
        let score = fields.number(&self.score_pointer, self.score_scale)?;
        let reasons = self.reasons_pointer.iter().flat_map(|pointer| fields.texts(pointer, Value::as_str));
        let codes = fields.codes(reasons);
        Ok(Answer::new(Risk::Score(score / self.score_scale * 100.0), codes))
    }
}
