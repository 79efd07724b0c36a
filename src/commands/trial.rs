//! `riskgate assess --provider NAME`: one service is asked about one address, past every cache: the way to try a new key.

use serde_json::{Map, Value, json};

use crate::{
    config::services::{Own, Service, ServiceConfig},
    evidence::{Cause, Consultation, Outcome, Risk, health::AccountFault, provider::client::Heard},
};

/// The longest part of an answer that is shown to eyes, in characters.
const SHOWN: usize = 2_000;

/// What one service was asked and answered.
pub struct Trial<'a> {
    /// How it was read.
    pub asked: &'a Consultation,
    /// Its settings.
    pub config: &'a ServiceConfig,
    /// The answer word for word, where one came.
    pub heard: Option<Heard>,
}

/// Reads a service's name as `PROVIDERS` spells it.
///
/// # Errors
///
/// Another name.
pub fn service(name: &str) -> Result<Service, String> {
    let names = || Service::ALL.map(Service::as_label).join(", ");
    Service::ALL.into_iter().find(|service| service.as_label() == name).ok_or_else(|| format!("must be one of: {}", names()))
}

// === impl Trial ===

impl Trial<'_> {
    /// What the service said and what was made of it, for programs.
    pub fn as_json(&self) -> String {
        let raw = self.raw();
        let read: Map<String, Value> = self.read(raw.as_ref()).map(|(pointer, value)| (pointer.to_owned(), value.clone())).collect();
        let mut shown = outcome(self.asked);
        shown["status"] = self.heard.as_ref().map(|heard| heard.status).into();
        shown["raw"] = raw.into();
        shown["read"] = read.into();
        shown.to_string()
    }

    /// What the service said and what was made of it, for eyes.
    pub fn explain(&self) -> String {
        let mut lines = vec![format!("{}  {} in {:.1} ms", self.asked.service.as_label(), self.asked.outcome.as_label(), self.asked.took.as_secs_f64() * 1e3)];
        let raw = self.raw();
        if let Some(heard) = &self.heard {
            let body = raw.as_ref().map(Value::to_string).unwrap_or_default();
            let cut = body.char_indices().nth(SHOWN).map_or(body.as_str(), |(at, _)| &body[..at]);
            lines.push(format!("  it answered {}: {cut}{}", heard.status, if cut.len() < body.len() { " ..." } else { "" }));
        }
        lines.extend(self.read(raw.as_ref()).map(|(pointer, value)| format!("  {pointer} is {value}")));
        lines.extend(meaning(self.asked));
        lines.extend(hint(self.asked.outcome).map(|hint| format!("  {hint}")));
        lines.join("\n")
    }

    /// The answer's body: JSON, or a string where it is none. `None` where nothing came.
    fn raw(&self) -> Option<Value> {
        let body = &self.heard.as_ref().filter(|heard| !heard.body.is_empty())?.body;
        // Written as JSON, so that no control character of theirs reaches a terminal.
        Some(serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into()))
    }

    /// The fields that its risk is read from, as far as they are there.
    fn read<'a>(&'a self, raw: Option<&'a Value>) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let pointers: Vec<&str> = match (&self.config.own, self.asked.service) {
            (Own::Http(own), _) => std::iter::once(own.score_pointer.as_str()).chain(own.reasons_pointer.as_deref()).collect(),
            (_, Service::Minfraud) => vec!["/risk_score"],
            (_, Service::Ipqs) => vec!["/success", "/message", "/fraud_score"],
            (_, Service::Abuseipdb) => vec!["/data/abuseConfidenceScore"],
            (_, Service::Crowdsec) => vec!["/0/type", "/0/scenario"],
            (_, Service::CrowdsecCti) => vec!["/reputation", "/confidence"],
            (_, Service::Http) => Vec::new(),
        };
        pointers.into_iter().filter_map(move |pointer| Some((pointer, raw?.pointer(pointer)?)))
    }
}

/// How asking ended and what it counts as.
fn outcome(asked: &Consultation) -> Value {
    let risk = asked.answer.as_ref().map(|answer| match answer.risk {
        Risk::Score(score) => json!(score),
        Risk::Neutral => json!("neutral"),
        Risk::Ban => json!("ban"),
        Risk::Review => json!("review"),
    });
    let codes: Vec<&str> = asked.answer.iter().flat_map(|answer| &answer.codes).map(|code| code.as_str()).collect();
    let took = (asked.took.as_secs_f64() * 1e4).round() / 10.0;
    json!({"service": asked.service.as_label(), "outcome": asked.outcome.as_label(), "risk": risk, "codes": codes, "took_ms": took})
}

/// What an answer counts as, for eyes.
fn meaning(asked: &Consultation) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(answer) = &asked.answer {
        lines.push(match answer.risk {
            Risk::Score(score) => format!("  counts as {score:.1} of 100; alone, that is the sign-in's score"),
            Risk::Neutral => "  it holds nothing against the address, which speaks neither way".to_owned(),
            Risk::Ban => "  a ban: the sign-in is denied".to_owned(),
            Risk::Review => "  to be reviewed: the sign-in is let in, flagged".to_owned(),
        });
        if !answer.codes.is_empty() {
            lines.push(format!("  its own reasons: {}", answer.codes.join(", ")));
        }
    }
    lines
}

/// What an outcome asks of the operator.
fn hint(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Fresh | Outcome::Hit | Outcome::Stale => None,
        Outcome::Negative => Some("it knows nothing of the address"),
        Outcome::NotAsked => Some("there is no public address to ask about"),
        Outcome::Failed(cause) => match cause {
            Cause::KeyRefused | Cause::NoCredit | Cause::Tls | Cause::Redirect | Cause::AddressRefused => AccountFault::of(cause).map(AccountFault::help),
            Cause::RateLimited => Some("it is asked too often; the plan's limit may be used up"),
            Cause::OverQuota => Some("the day's calls under DAILY_LIMIT are used up"),
            Cause::Connect => Some("no connection: check the URL, the name server and the firewall"),
            Cause::Timeout => Some("no answer in its time; see TIMEOUT and PROVIDER_TIMEOUT"),
            Cause::BadAnswer => Some("the answer is not what the format promises; for `http` check the pointer and the scale"),
            Cause::Reset
            | Cause::Http4xx
            | Cause::Http5xx
            | Cause::TooLarge
            | Cause::BreakerOpen
            | Cause::Shed
            | Cause::NoStore
            | Cause::NoCredentials
            | Cause::Panic => None,
        },
    }
}
