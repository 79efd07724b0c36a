//! `riskgate assess --provider NAME`: queries one service about one address and bypasses all caches. It tests a new key.

use serde_json::{Map, Value, json};

use riskgate_config::services::{ProviderOptions, ServiceConfig};
use riskgate_engine::{
    evidence::{FailureReason, Outcome, ProviderResult, Risk},
    service::Service,
};
use riskgate_http_client::RawResponse;
use riskgate_runtime::health::AccountFault;

/// The maximum number of characters of a response that are shown.
const MAX_SHOWN: usize = 2_000;

/// The result of querying one service.
pub struct ProviderCheck<'a> {
    /// The interpreted result.
    pub result: &'a ProviderResult,
    /// The settings of the service.
    pub config: &'a ServiceConfig,
    /// The raw response, if there is one.
    pub last_response: Option<RawResponse>,
}

/// Parses a service's name as `PROVIDERS` spells it.
///
/// # Errors
///
/// The name is unknown.
pub fn parse_service(name: &str) -> Result<Service, String> {
    let names = || Service::ALL.map(Service::as_label).join(", ");
    Service::ALL.into_iter().find(|service| service.as_label() == name).ok_or_else(|| format!("must be one of: {}", names()))
}

impl ProviderCheck<'_> {
    /// Formats the response and its interpretation as JSON.
    pub fn to_json(&self) -> String {
        let raw = self.raw();
        let fields: Map<String, Value> = self.risk_fields(raw.as_ref()).map(|(pointer, value)| (pointer.to_owned(), value.clone())).collect();
        let mut json = outcome_json(self.result);
        json["status"] = self.last_response.as_ref().map(|last_response| last_response.status).into();
        json["raw"] = raw.into();
        json["read"] = fields.into();
        json.to_string()
    }

    /// Formats the response and its interpretation for people.
    pub fn explain(&self) -> String {
        let mut lines =
            vec![format!("{}  {} in {:.1} ms", self.result.service.as_label(), self.result.outcome.as_label(), self.result.took.as_secs_f64() * 1e3)];
        let raw = self.raw();
        if let Some(last_response) = &self.last_response {
            let body = raw.as_ref().map(Value::to_string).unwrap_or_default();
            let cut = body.char_indices().nth(MAX_SHOWN).map_or(body.as_str(), |(at, _)| &body[..at]);
            lines.push(format!("  it answered {}: {cut}{}", last_response.status, if cut.len() < body.len() { " ..." } else { "" }));
        }
        lines.extend(self.risk_fields(raw.as_ref()).map(|(pointer, value)| format!("  {pointer} is {value}")));
        lines.extend(explain_risk(self.result));
        lines.extend(hint(self.result.outcome).map(|hint| format!("  {hint}")));
        lines.join("\n")
    }

    /// The response body as JSON, or as a string if it is not JSON. `None` without a body.
    fn raw(&self) -> Option<Value> {
        let body = &self.last_response.as_ref().filter(|last_response| !last_response.body.is_empty())?.body;
        // JSON escapes control characters, which must not reach a terminal.
        Some(serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into()))
    }

    /// The fields of the response that determine the risk.
    fn risk_fields<'a>(&'a self, raw: Option<&'a Value>) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let pointers: Vec<&str> = match &self.config.options {
            ProviderOptions::Minfraud { .. } => vec!["/risk_score"],
            ProviderOptions::Ipqs => vec!["/success", "/message", "/fraud_score"],
            ProviderOptions::Abuseipdb => vec!["/data/abuseConfidenceScore"],
            ProviderOptions::Crowdsec => vec!["/0/type", "/0/scenario"],
            ProviderOptions::CrowdsecCti => vec!["/reputation", "/confidence"],
            ProviderOptions::Http(options) => std::iter::once(options.score_pointer.as_str()).chain(options.reasons_pointer.as_deref()).collect(),
        };
        pointers.into_iter().filter_map(move |pointer| Some((pointer, raw?.pointer(pointer)?)))
    }
}

/// The outcome and the resulting risk as JSON.
fn outcome_json(result: &ProviderResult) -> Value {
    let risk = result.answer.as_ref().map(|answer| match answer.risk {
        Risk::Score(score) => json!(score),
        Risk::Neutral => json!("neutral"),
        Risk::Ban => json!("ban"),
        Risk::Review => json!("review"),
    });
    let codes: Vec<&str> = result.answer.iter().flat_map(|answer| &answer.codes).map(|code| code.as_str()).collect();
    let took = (result.took.as_secs_f64() * 1e4).round() / 10.0;
    json!({"service": result.service.as_label(), "outcome": result.outcome.as_label(), "risk": risk, "codes": codes, "took_ms": took})
}

/// Explains the resulting risk.
fn explain_risk(result: &ProviderResult) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(answer) = &result.answer {
        lines.push(match answer.risk {
            Risk::Score(score) => format!("  counts as {score:.1} of 100; alone, that is the sign-in's score"),
            Risk::Neutral => "  it reports no risk for the address, which does not change the score".to_owned(),
            Risk::Ban => "  a ban: the sign-in is denied".to_owned(),
            Risk::Review => "  a review: the sign-in is allowed and flagged".to_owned(),
        });
        if !answer.codes.is_empty() {
            lines.push(format!("  its own reasons: {}", answer.codes.join(", ")));
        }
    }
    lines
}

/// A hint to the operator about an outcome.
fn hint(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Fresh | Outcome::Hit | Outcome::Stale => None,
        Outcome::Negative => Some("it knows nothing about the address"),
        Outcome::NotCalled => Some("there is no public address to look up"),
        Outcome::Failed(cause) => match cause {
            FailureReason::KeyRefused | FailureReason::NoCredit | FailureReason::Tls | FailureReason::Redirect | FailureReason::AddressRefused => {
                AccountFault::of(cause).map(AccountFault::help)
            }
            FailureReason::RateLimited => Some("there were too many calls; the limit of the plan may be used up"),
            FailureReason::OverQuota => Some("the day's calls under DAILY_LIMIT are used up"),
            FailureReason::Connect => Some("no connection: check the URL, the name server and the firewall"),
            FailureReason::Timeout => Some("no answer within the timeout; see TIMEOUT and PROVIDER_TIMEOUT"),
            FailureReason::BadAnswer => Some("the answer does not have the expected format; for `http` check the pointer and the scale"),
            FailureReason::Reset
            | FailureReason::Http4xx
            | FailureReason::Http5xx
            | FailureReason::TooLarge
            | FailureReason::BreakerOpen
            | FailureReason::Shed
            | FailureReason::NoStore
            | FailureReason::NoCredentials
            | FailureReason::Panic => None,
        },
    }
}
