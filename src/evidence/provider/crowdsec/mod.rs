//! A CrowdSec Local API: a `ban` is a deny-list hit, a `captcha` a review.
//!
//! A decision acts until its own end and never longer. While the Local API cannot be reached, the last decisions stay in
//! force for `OLDEST` and are reported as stale.
//!
//! In Lambda each address is asked about (`live`). A sidecar holds the whole set of decisions and
//! keeps it fresh by deltas (`stream`): a bouncer's stream cursor belongs to its key and address, so
//! instances behind one address would take each other's deltas, and only a sidecar is alone.

use std::{sync::Arc, time::Duration};

use percent_encoding::utf8_percent_encode;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use smol_str::SmolStr;

use super::{
    Adapter, Asking, Client, Failure, Keeping, Provider, Question, Sends,
    client::codes,
    fields::{Fields, log_unreadable},
    secret_header,
    template::RESERVED,
};
use crate::{
    config::{
        env::Fault,
        services::{Service, ServiceConfig},
    },
    event::Now,
    evidence::{Answer, Expiry, Risk, resilience::Face},
};

mod decisions;

mod duration;

mod stream;

use self::stream::Stream;

/// How long decisions count as fresh without the Local API being asked again.
const FRESH: Duration = Duration::from_secs(60);

/// How long the last decisions stay in force while the Local API cannot be reached: a lifted ban must not act for ever.
const OLDEST: Duration = Duration::from_secs(300);

/// The HTTP side of a Local API.
struct Lapi {
    client: Client,
    origin: String,
    key: http::HeaderValue,
}

/// One decision as the API writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wire {
    id: i64,
    kind: SmolStr,
    scope: SmolStr,
    value: SmolStr,
    /// A Go duration such as `3h51m57.36s`; negative when it is over.
    duration: SmolStr,
    scenario: SmolStr,
}

/// The adapter of a bouncer's key.
///
/// # Errors
///
/// A key that fits no header.
pub(super) fn adapter(config: &ServiceConfig, client: Client, face: Face) -> Result<Adapter, Fault> {
    let key = config.key.as_ref().map(|key| key.expose_secret()).unwrap_or_default();
    let lapi = Arc::new(Lapi { client, origin: config.url.clone(), key: secret_header("RISKGATE_CROWDSEC_KEY", key)? });
    let sends = Sends::default();
    Ok(match face {
        Face::Sidecar => Adapter { provider: Arc::new(Stream::new(lapi, config.timeout)), sends, keeping: Keeping::Itself },
        Face::Lambda | Face::Command => Adapter { provider: lapi, sends, keeping: Keeping::AtMost { fresh: FRESH, oldest: OLDEST } },
    })
}

impl Provider for Lapi {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            let ip = question.ip.expose().to_string();
            let path = format!("/v1/decisions?ip={}", utf8_percent_encode(&ip, RESERVED));
            // No decision is the literal `null`, not an empty list.
            let decisions: Value = self.exchange(question.received, &path).await?.json().await?;
            read_live(&decisions)
        })
    }
}

impl Lapi {
    async fn exchange(&self, now: Now, path: &str) -> Result<super::client::Exchange<'_>, Failure> {
        let url = format!("{}{path}", self.origin);
        self.client.send(now, |client| client.get(&url).header("X-Api-Key", self.key.clone())).await?.accepted().await
    }
}

impl Wire {
    /// Reads one decision. `None` without a type and a value: then nobody can say what is decided on whom.
    fn read(decision: &Value) -> Option<Self> {
        let text = |name: &str| decision.get(name).and_then(Value::as_str);
        let id = match decision.get("id") {
            Some(Value::Number(id)) => id.as_i64(),
            Some(Value::String(id)) => id.parse().ok(),
            Some(_) | None => None,
        };
        Some(Wire {
            id: id.unwrap_or_default(),
            kind: text("type").filter(|kind| !kind.is_empty())?.into(),
            scope: text("scope").unwrap_or_default().into(),
            value: text("value")?.into(),
            duration: text("duration").unwrap_or_default().into(),
            scenario: text("scenario").unwrap_or_default().into(),
        })
    }

    /// How long it lasts; `None` where the API does not say.
    fn lasts(&self) -> Option<Duration> {
        let lasts = duration::parse(&self.duration);
        if lasts.is_none() && !self.duration.is_empty() {
            log_unreadable(Service::Crowdsec, "duration", 1);
        }
        lasts
    }
}

/// Reads the decisions on one address. `null` is none. One that cannot be read may be a ban, so the answer is refused.
fn read_live(decisions: &Value) -> Result<Option<Answer>, Failure> {
    let decisions = match decisions {
        Value::Null => &[],
        Value::Array(decisions) => decisions.as_slice(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => return Err(Fields::of(Service::Crowdsec, decisions).unreadable("")),
    };
    let decisions: Option<Vec<Wire>> = decisions.iter().map(Wire::read).collect();
    let decisions = decisions.ok_or_else(|| Fields::of(Service::Crowdsec, &Value::Null).unreadable("type or value"))?;
    let lasting: Vec<(&Wire, Option<Duration>)> = decisions.iter().map(|decision| (decision, decision.lasts())).collect();
    Ok(answer_from(&lasting, Duration::ZERO))
}

/// What decisions and the times that they last say from a moment on, until the last of the strongest kind ends.
fn answer_from(decisions: &[(&Wire, Option<Duration>)], from: Duration) -> Option<Answer> {
    let in_force = decisions.iter().filter(|(_, lasts)| lasts.is_none_or(|lasts| lasts > from));
    let mut answer = strongest(in_force.clone().map(|(decision, _)| (decision.kind.as_str(), decision.scenario.as_str())))?;
    let mut strongest = in_force.filter(|(decision, _)| risk(&decision.kind) == answer.risk);
    let ends = strongest.try_fold(from, |latest, (_, lasts)| Some(latest.max((*lasts)?)));
    answer.expiry = ends.map(|after| Box::new(Expiry { after, then: answer_from(decisions, after) }));
    Some(answer)
}

/// What a decision of a kind means.
fn risk(kind: &str) -> Risk {
    // `captcha`, and kinds of the operator's own making: not trusted, not banned.
    if kind.eq_ignore_ascii_case("ban") { Risk::Ban } else { Risk::Review }
}

/// The strongest of the decisions in force on an address, given as kinds and scenarios, those of ranges around it included.
fn strongest<'a>(in_force: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Option<Answer> {
    let mut risks = in_force.clone().map(|(kind, _)| risk(kind));
    let first = risks.next()?;
    let risk = if risks.any(|risk| risk == Risk::Ban) { Risk::Ban } else { first };
    Some(Answer::new(risk, codes(in_force.map(|(_, scenario)| scenario))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Risk>) {
        let answer = read_live(&serde_json::from_str(text).expect("JSON")).expect("an answer");
        assert_eq!(answer.map(|answer| answer.risk), expected, "{text}");
    }

    #[test]
    fn an_answer_ends_with_the_last_decision_of_its_kind() {
        let one = |kind: &str, duration: &str| format!(r#"{{"type":"{kind}","scope":"Ip","value":"8.8.8.8","duration":"{duration}"}}"#);
        let read = |decisions: &[String]| {
            let json = serde_json::from_str(&format!("[{}]", decisions.join(","))).expect("JSON");
            read_live(&json).expect("an answer").expect("a decision")
        };
        let at = |answer: &Answer, seconds| answer.clone().at(Duration::from_secs(seconds)).map(|answer| answer.risk);
        let twice = read(&[one("ban", "15s"), one("ban", "50s"), one("ban", "-1s")]);
        assert_eq!([0, 15, 49, 50].map(|seconds| at(&twice, seconds)), [Some(Risk::Ban), Some(Risk::Ban), Some(Risk::Ban), None]);
        for order in [[0, 1, 2], [2, 1, 0]] {
            let decisions = [one("captcha", "1m"), one("ban", "20s"), one("captcha", "10s")];
            let mixed = read(&order.map(|at| decisions[at].clone()));
            assert_eq!([19, 20, 59, 60].map(|seconds| at(&mixed, seconds)), [Some(Risk::Ban), Some(Risk::Review), Some(Risk::Review), None]);
        }
        assert_eq!(at(&read(&[one("ban", ""), one("ban", "1s")]), 1_000_000), Some(Risk::Ban), "without a duration only the bound ends it");
    }

    #[test]
    fn the_strongest_decision_in_force_counts() {
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
