//! The adapter of a CrowdSec Local API. A `ban` is a deny-list hit, a `captcha` a review.
//!
//! A decision is in force until its own end and never longer. While the Local API cannot be reached, the last decisions stay in
//! force for `MAX_AGE` and are reported as stale.
//!
//! Lambda queries each address. The sidecar has all decisions in memory and refreshes them by deltas (`stream`). Lambda cannot: the
//! Local API tracks the deltas by key and address, so instances behind one address would take each other's.

use std::{sync::Arc, time::Duration};

use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use smol_str::SmolStr;

use crate::{
    Adapter, CachePolicy, Provider, ProviderFuture, ProviderRequest, RequestFields,
    fields::{Fields, codes, log_unreadable},
    key_header,
    template::RESERVED,
};
use riskgate_config::{env::ConfigError, services::ServiceConfig};
use riskgate_engine::{
    evidence::{Answer, Expiry, Risk},
    service::Service,
    time::ClockReading,
};
use riskgate_http_client::{Client, failure::Failure};
use riskgate_runtime::mode::RuntimeMode;

use crate::crowdsec::stream::Stream;

mod decisions;

mod duration;

mod stream;

/// How long decisions are fresh without another request.
const FRESH: Duration = Duration::from_secs(60);

/// How long the last decisions stay in force while the Local API cannot be reached. It bounds how long a lifted ban has an effect.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The HTTP client of a Local API.
struct LocalApi {
    client: Client,
    origin: String,
    key: http::HeaderValue,
}

/// One decision in the API's format.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ApiDecision {
    id: i64,
    kind: SmolStr,
    scope: SmolStr,
    value: SmolStr,
    /// A Go duration such as `3h51m57.36s`. Negative if the decision has ended.
    duration: SmolStr,
    scenario: SmolStr,
}

/// Builds the adapter.
///
/// # Errors
///
/// The bouncer key is not a valid header value.
pub(super) fn adapter(config: &ServiceConfig, client: Client, runtime_mode: RuntimeMode) -> Result<Adapter, ConfigError> {
    let local_api = Arc::new(LocalApi { client, origin: config.url.clone(), key: key_header("RISKGATE_CROWDSEC_KEY", config)? });
    let request_fields = RequestFields::default();
    Ok(match runtime_mode {
        RuntimeMode::Sidecar => Adapter { provider: Arc::new(Stream::new(local_api, config.timeout)), request_fields, cache_policy: CachePolicy::Bypass },
        RuntimeMode::Lambda | RuntimeMode::Command => {
            Adapter { provider: local_api, request_fields, cache_policy: CachePolicy::AtMost { ttl: FRESH, max_age: MAX_AGE } }
        }
    })
}

impl Provider for LocalApi {
    fn query<'a>(&'a self, request: &'a ProviderRequest) -> ProviderFuture<'a> {
        Box::pin(async move {
            let ip = request.ip.expose().to_string();
            let path = format!("/v1/decisions?ip={}", utf8_percent_encode(&ip, RESERVED));
            // Without a decision, the response is `null` and not an empty list.
            let decisions: Value = self.get(request.received, &path).await?.json().await?;
            parse_decisions(&decisions)
        })
    }
}

impl LocalApi {
    async fn get(&self, now: ClockReading, path: &str) -> Result<riskgate_http_client::PendingResponse<'_>, Failure> {
        let url = format!("{}{path}", self.origin);
        self.client.send(now, |client| client.get(&url).header("X-Api-Key", self.key.clone())).await?.require_ok().await
    }
}

impl ApiDecision {
    /// Parses one decision. `None` without a type or a value.
    fn parse(decision: &Value) -> Option<Self> {
        let text = |name: &str| decision.get(name).and_then(Value::as_str);
        let id = match decision.get("id") {
            Some(Value::Number(id)) => id.as_i64(),
            Some(Value::String(id)) => id.parse().ok(),
            Some(_) | None => None,
        };
        Some(ApiDecision {
            id: id.unwrap_or_default(),
            kind: text("type").filter(|kind| !kind.is_empty())?.into(),
            scope: text("scope").unwrap_or_default().into(),
            value: text("value")?.into(),
            duration: text("duration").unwrap_or_default().into(),
            scenario: text("scenario").unwrap_or_default().into(),
        })
    }

    /// The remaining duration. `None` if the API does not give one.
    fn remaining(&self) -> Option<Duration> {
        let remaining = duration::parse(&self.duration);
        if remaining.is_none() && !self.duration.is_empty() {
            log_unreadable(Service::Crowdsec, "duration", 1);
        }
        remaining
    }
}

/// Parses the decisions on one address. `null` is an empty list. A decision that cannot be parsed may be a ban, so it makes the response a failure.
fn parse_decisions(decisions: &Value) -> Result<Option<Answer>, Failure> {
    let decisions = match decisions {
        Value::Null => &[],
        Value::Array(decisions) => decisions.as_slice(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => return Err(Fields::new(Service::Crowdsec, decisions).unreadable("")),
    };
    let decisions: Option<Vec<ApiDecision>> = decisions.iter().map(ApiDecision::parse).collect();
    let decisions = decisions.ok_or_else(|| Fields::new(Service::Crowdsec, &Value::Null).unreadable("type or value"))?;
    let decisions: Vec<(&ApiDecision, Option<Duration>)> = decisions.iter().map(|decision| (decision, decision.remaining())).collect();
    Ok(answer_from(&decisions, Duration::ZERO))
}

/// The answer from a time on, given decisions with their remaining durations. It expires when the last decision of the strongest kind ends.
fn answer_from(decisions: &[(&ApiDecision, Option<Duration>)], from: Duration) -> Option<Answer> {
    let in_force = decisions.iter().filter(|(_, remaining)| remaining.is_none_or(|remaining| remaining > from));
    let mut answer = strongest(in_force.clone().map(|(decision, _)| (decision.kind.as_str(), decision.scenario.as_str())))?;
    let mut strongest = in_force.filter(|(decision, _)| risk(&decision.kind) == answer.risk);
    let ends = strongest.try_fold(from, |latest, (_, remaining)| Some(latest.max((*remaining)?)));
    answer.expiry = ends.map(|after| Box::new(Expiry { after, then: answer_from(decisions, after) }));
    Some(answer)
}

/// The risk of a kind of decision.
fn risk(kind: &str) -> Risk {
    // `captcha` and custom kinds are neither a ban nor trust.
    if kind.eq_ignore_ascii_case("ban") { Risk::Ban } else { Risk::Review }
}

/// The strongest of the decisions in force on an address, given as (kind, scenario). They include those on ranges that contain it.
fn strongest<'a>(in_force: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Option<Answer> {
    let mut risks = in_force.clone().map(|(kind, _)| risk(kind));
    let first = risks.next()?;
    let risk = if risks.any(|risk| risk == Risk::Ban) { Risk::Ban } else { first };
    Some(Answer::new(risk, codes(Service::Crowdsec, in_force.map(|(_, scenario)| scenario))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Risk>) {
        let answer = parse_decisions(&serde_json::from_str(text).expect("JSON")).expect("an answer");
        assert_eq!(answer.map(|answer| answer.risk), expected, "{text}");
    }

    #[test]
    fn an_answer_expires_with_the_last_decision_of_its_kind() {
        let one = |kind: &str, duration: &str| format!(r#"{{"type":"{kind}","scope":"Ip","value":"8.8.8.8","duration":"{duration}"}}"#);
        let parse = |decisions: &[String]| {
            let json = serde_json::from_str(&format!("[{}]", decisions.join(","))).expect("JSON");
            parse_decisions(&json).expect("an answer").expect("a decision")
        };
        let at = |answer: &Answer, seconds| Arc::new(answer.clone()).at(Duration::from_secs(seconds)).map(|answer| answer.risk);
        let twice = parse(&[one("ban", "15s"), one("ban", "50s"), one("ban", "-1s")]);
        assert_eq!([0, 15, 49, 50].map(|seconds| at(&twice, seconds)), [Some(Risk::Ban), Some(Risk::Ban), Some(Risk::Ban), None]);
        for order in [[0, 1, 2], [2, 1, 0]] {
            let decisions = [one("captcha", "1m"), one("ban", "20s"), one("captcha", "10s")];
            let mixed = parse(&order.map(|at| decisions[at].clone()));
            assert_eq!([19, 20, 59, 60].map(|seconds| at(&mixed, seconds)), [Some(Risk::Ban), Some(Risk::Review), Some(Risk::Review), None]);
        }
        assert_eq!(at(&parse(&[one("ban", ""), one("ban", "1s")]), 1_000_000), Some(Risk::Ban), "without a duration, only the maximum age ends it");
    }

    #[test]
    fn the_strongest_decision_in_force_is_used() {
        let one = |kind: &str, duration: &str| format!(r#"{{"id":1,"type":"{kind}","scope":"Ip","value":"8.8.8.8","duration":"{duration}","new":[1]}}"#);
        check("null", None);
        check("[]", None);
        check(&format!("[{}]", one("ban", "3h51m57.36s")), Some(Risk::Ban));
        check(&format!("[{}]", one("captcha", "1h")), Some(Risk::Review));
        check(&format!("[{},{}]", one("captcha", "1h"), one("ban", "1h")), Some(Risk::Ban));
        check(&format!("[{},{}]", one("captcha", "1h"), one("ban", "-1s")), Some(Risk::Review));
        check(&format!("[{}]", one("ban", "-3m2s")), None);
        check(&format!("[{}]", one("ban", "0s")), None);
        check(&format!("[{}]", one("throttle", "1h")), Some(Risk::Review));
        check(&format!("[{},{},{}]", one("throttle", "1h"), one("ban", "-1s"), one("ban", "2s")), Some(Risk::Ban));
    }
}
