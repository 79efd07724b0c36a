//! JSON rows: audit lines of the gate, the sidecar's own requests, and what else stands in a function's log.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{BadRow, Clock, Decided, Line, Row, Told, cognito};
use crate::evidence::history::ledger::Report;

/// What is read of a line; other members are let be. Those that other programs use for things of their own are not parsed before they are known for ours.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Object<'a> {
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pool: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ip: Option<Cow<'a, str>>,
    #[serde(borrow)]
    country: Option<Cow<'a, str>>,
    asn: Option<u32>,
    #[serde(borrow)]
    net: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    device_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    device: Option<Cow<'a, str>>,
    #[serde(borrow)]
    timezone: Option<Cow<'a, str>>,
    success: Option<bool>,
    #[serde(borrow)]
    outcome: Option<Cow<'a, str>>,
    #[serde(borrow)]
    label: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    decision: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    degraded: Option<&'a RawValue>,
    #[serde(borrow)]
    trigger: Option<&'a RawValue>,
    #[serde(borrow)]
    learned: Option<&'a RawValue>,
    /// Of the program's own log.
    #[serde(borrow)]
    level: Option<&'a RawValue>,
    /// Of the platform's log.
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    /// CloudWatch's metrics.
    #[serde(borrow, rename = "_aws")]
    metrics: Option<&'a RawValue>,
}

/// Reads a line. `fraud` as outcome is a label; a line without `success` or `outcome` counts as passed.
pub(super) fn line<T>(text: &str, clock: &mut Clock, then: impl FnOnce(Line<'_>) -> T) -> Result<T, BadRow> {
    if is_of_the_platform(text) {
        return Ok(then(Line::Foreign));
    }
    if text.contains("\"EventId\"") {
        return cognito::line(text, clock, then);
    }
    let object: Object<'_> = serde_json::from_str(text).map_err(|_| BadRow::Json)?;
    let user = object.user.as_deref().unwrap_or_default();
    if object.outcome.is_some() && matches!(word(object.trigger), "post_authentication" | "outcome") {
        return told(&object, clock).map(|told| then(Line::Outcome(told)));
    }
    if user.is_empty() {
        return match () {
            () if object.decision.is_some() && object.id.is_some() => Ok(then(Line::Nobody)),
            () if object.level.is_some() || object.kind.is_some() || object.metrics.is_some() => Ok(then(Line::Foreign)),
            () => Err(BadRow::User),
        };
    }
    let asn = object.asn.map(|asn| asn.to_string()).unwrap_or_default();
    let outcome = object.outcome.as_deref().unwrap_or_default();
    let is_open = object.success.is_none() && object.outcome.is_none() && object.label.is_none();
    let decided = object.decision.filter(|_| is_open).map(|decision| Decided {
        id: word(object.id),
        is_denied: word(object.action) == "deny",
        is_judged_denial: word(Some(decision)) == "deny",
        is_degraded: object.degraded.is_some(),
    });
    Ok(then(Line::SignIn(Row {
        at: object.time.as_deref().and_then(|time| clock.read(time)).ok_or(BadRow::Time)?,
        user,
        pool: object.pool.as_deref().unwrap_or_default(),
        client: object.client.as_deref().unwrap_or_default(),
        ip: object.ip.as_deref().unwrap_or_default(),
        country: object.country.as_deref().unwrap_or_default(),
        asn: &asn,
        net: object.net.as_deref().unwrap_or_default(),
        user_agent: object.user_agent.as_deref().unwrap_or_default(),
        browser: "",
        os: "",
        device_type: "",
        device: object.device_id.as_deref().or(object.device.as_deref()).unwrap_or_default(),
        timezone: object.timezone.as_deref().unwrap_or_default(),
        passed: object.success.unwrap_or(outcome != "failure"),
        label: object.label.as_deref().unwrap_or(if outcome == "fraud" { "fraud" } else { "" }),
        outside: None,
        decided,
    })))
}

/// What became of a sign-in.
fn told<'a>(object: &'a Object<'a>, clock: &mut Clock) -> Result<Told<'a>, BadRow> {
    let outcome = object.outcome.as_deref().unwrap_or_default();
    Ok(Told {
        at: object.time.as_deref().and_then(|time| clock.read(time)).ok_or(BadRow::Time)?,
        id: word(object.id),
        report: Report::ALL.into_iter().find(|report| report.as_label() == outcome).ok_or(BadRow::Outcome)?,
        learned: word(object.learned),
        pool: object.pool.as_deref().unwrap_or_default(),
        client: object.client.as_deref().unwrap_or_default(),
        user: object.user.as_deref().unwrap_or_default(),
    })
}

/// A string without escapes; empty for anything else.
fn word(raw: Option<&RawValue>) -> &str {
    raw.and_then(|raw| raw.get().strip_prefix('"')?.strip_suffix('"')).unwrap_or_default()
}

/// Whether a line is one of those that Lambda writes around each invocation, which an export of its log group holds too.
pub(super) fn is_of_the_platform(line: &str) -> bool {
    // Before the word stand a time, and the log stream's name.
    !line.starts_with('{')
        && line.split_ascii_whitespace().take(3).any(|word| matches!(word, "START" | "END" | "REPORT" | "INIT_START" | "INIT_REPORT" | "XRAY"))
}
