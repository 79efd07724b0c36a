//! A CrowdSec Local API: a `ban` is a deny-list hit, a `captcha` a review.
//!
//! In Lambda each address is asked about (`live`). A sidecar holds the whole set of decisions and
//! keeps it fresh by deltas (`stream`): a bouncer's stream cursor belongs to its key and address, so
//! instances behind one address would take each other's deltas, and only a sidecar is alone.

use std::sync::Arc;

use percent_encoding::utf8_percent_encode;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{Adapter, Asking, Client, Failure, Keeping, Provider, Question, Sends, client::codes, secret_header, template::RESERVED};
use crate::{
    config::{env::Fault, services::ServiceConfig},
    event::Now,
    evidence::{Answer, Risk, resilience::Face},
};

mod decisions;

mod stream;

use self::stream::Stream;

/// The HTTP side of a Local API.
struct Lapi {
    client: Client,
    origin: String,
    key: http::HeaderValue,
}

/// One decision as the API writes it.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
struct Wire {
    #[serde(default)]
    id: i64,
    #[serde(rename = "type")]
    kind: SmolStr,
    #[serde(default)]
    scope: SmolStr,
    value: SmolStr,
    /// A Go duration such as `3h51m57.36s`; negative when it is over.
    #[serde(default)]
    duration: SmolStr,
    #[serde(default)]
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
        // Decisions come and go by the minute, and the server is the operator's own.
        Face::Lambda | Face::Command => Adapter { provider: lapi, sends, keeping: Keeping::AtMost(std::time::Duration::from_secs(60)) },
    })
}

impl Provider for Lapi {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            let ip = question.ip.expose().to_string();
            let path = format!("/v1/decisions?ip={}", utf8_percent_encode(&ip, RESERVED));
            // No decision is the literal `null`, not an empty list.
            let decisions: Option<Vec<Wire>> = self.exchange(question.received, &path).await?.json().await?;
            Ok(strongest(decisions.iter().flatten()))
        })
    }
}

impl Lapi {
    async fn exchange(&self, now: Now, path: &str) -> Result<super::client::Exchange<'_>, Failure> {
        let url = format!("{}{path}", self.origin);
        self.client.send(now, |client| client.get(&url).header("X-Api-Key", self.key.clone())).await?.accepted().await
    }
}

/// The gravest of the decisions on an address, those of ranges around it included.
fn strongest<'a>(decisions: impl Iterator<Item = &'a Wire> + Clone) -> Option<Answer> {
    let in_force = decisions.filter(|decision| !decision.duration.starts_with('-'));
    let risk = if in_force.clone().any(|decision| decision.kind.eq_ignore_ascii_case("ban")) {
        Risk::Ban
    } else if in_force.clone().next().is_some() {
        // `captcha`, and kinds of the operator's own making: not trusted, not banned.
        Risk::Review
    } else {
        return None;
    };
    Some(Answer { risk, codes: codes(in_force.map(|decision| decision.scenario.as_str())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Risk>) {
        let decisions: Option<Vec<Wire>> = serde_json::from_str(text).expect("an answer");
        assert_eq!(strongest(decisions.iter().flatten()).map(|answer| answer.risk), expected, "{text}");
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
    }
}
