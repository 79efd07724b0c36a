//! `riskgate assess --provider NAME`: one service is asked about one address, past every cache: the way to try a new key.

use serde_json::json;

use crate::{
    config::services::Service,
    evidence::{Cause, Consultation, Outcome, Risk},
};

/// Reads a service's name as `PROVIDERS` spells it.
///
/// # Errors
///
/// Another name.
pub fn service(name: &str) -> Result<Service, String> {
    let names = || Service::ALL.map(Service::as_label).join(", ");
    Service::ALL.into_iter().find(|service| service.as_label() == name).ok_or_else(|| format!("must be one of: {}", names()))
}

/// What the service said, for programs.
pub fn as_json(asked: &Consultation) -> String {
    let risk = asked.answer.as_ref().map(|answer| match answer.risk {
        Risk::Score(score) => json!(score),
        Risk::Neutral => json!("neutral"),
        Risk::Ban => json!("ban"),
        Risk::Review => json!("review"),
    });
    let codes: Vec<&str> = asked.answer.iter().flat_map(|answer| &answer.codes).map(|code| code.as_str()).collect();
    let took = (asked.took.as_secs_f64() * 1e4).round() / 10.0;
    json!({"service": asked.service.as_label(), "outcome": asked.outcome.as_label(), "risk": risk, "codes": codes, "took_ms": took}).to_string()
}

/// What the service said, for eyes.
pub fn explain(asked: &Consultation) -> String {
    let mut lines = vec![format!("{}  {} in {:.1} ms", asked.service.as_label(), asked.outcome.as_label(), asked.took.as_secs_f64() * 1e3)];
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
    lines.extend(hint(asked.outcome).map(|hint| format!("  {hint}")));
    lines.join("\n")
}

/// What an outcome asks of the operator.
fn hint(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Fresh | Outcome::Hit | Outcome::Stale => None,
        Outcome::Negative => Some("it knows nothing of the address"),
        Outcome::NotAsked => Some("there is no public address to ask about"),
        Outcome::Failed(cause) => match cause {
            Cause::KeyRefused => Some("the key is wrong, revoked or lacks the permission"),
            Cause::NoCredit => Some("the account has no credit left"),
            Cause::RateLimited => Some("it is asked too often; the plan's limit may be used up"),
            Cause::OverQuota => Some("the day's calls under DAILY_LIMIT are used up"),
            Cause::Connect => Some("no connection: check the URL, the name server and the firewall"),
            Cause::Tls => Some("the certificate is not believed, or TLS 1.2 is not spoken"),
            Cause::Timeout => Some("no answer in its time; see TIMEOUT and PROVIDER_TIMEOUT"),
            Cause::BadAnswer => Some("the answer is not what the format promises; for `http` check the pointer and the scale"),
            Cause::Redirect => Some("it redirects, which is not followed: set the final URL"),
            Cause::Reset | Cause::Http4xx | Cause::Http5xx | Cause::TooLarge | Cause::BreakerOpen | Cause::Shed | Cause::NoStore | Cause::Panic => None,
        },
    }
}
