//! JSON rows: audit lines of the gate, the sidecar's own requests, and what else stands in a function's log.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    BadRow, Clock, Decided, Line, Row, Told, cognito,
    scalar::{Scalar, flag},
};
use crate::evidence::history::ledger::Report;

/// What is read of a line; other members are let be. Those that other programs use for things of their own are not parsed before they are known for ours.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Object<'a> {
    #[serde(borrow)]
    time: Option<Scalar<'a>>,
    #[serde(borrow)]
    user: Option<Scalar<'a>>,
    #[serde(borrow)]
    pool: Option<Scalar<'a>>,
    #[serde(borrow)]
    client: Option<Scalar<'a>>,
    #[serde(borrow)]
    ip: Option<Scalar<'a>>,
    #[serde(borrow)]
    country: Option<Scalar<'a>>,
    #[serde(borrow)]
    asn: Option<Scalar<'a>>,
    #[serde(borrow)]
    net: Option<Scalar<'a>>,
    #[serde(borrow)]
    user_agent: Option<Scalar<'a>>,
    #[serde(borrow)]
    device_id: Option<Scalar<'a>>,
    #[serde(borrow)]
    device: Option<Scalar<'a>>,
    #[serde(borrow)]
    timezone: Option<Scalar<'a>>,
    #[serde(borrow)]
    success: Option<Scalar<'a>>,
    #[serde(borrow)]
    outcome: Option<Scalar<'a>>,
    #[serde(borrow)]
    label: Option<Scalar<'a>>,
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
    if text.contains("\"eventResponse\"") {
        return cognito::activity(text, clock, then);
    }
    let object: Object<'_> = serde_json::from_str(text).map_err(|_| not_ours(text))?;
    let user = Scalar::of(&object.user);
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
    let asn = Scalar::of(&object.asn);
    let asn = asn.strip_prefix("AS").unwrap_or(asn);
    let outcome = Scalar::of(&object.outcome);
    let label = Scalar::of(&object.label);
    let is_open = object.success.is_none() && object.outcome.is_none() && object.label.is_none();
    let decided = object.decision.filter(|_| is_open).map(|decision| Decided {
        id: word(object.id),
        is_denied: word(object.action) == "deny",
        is_judged_denial: word(Some(decision)) == "deny",
        is_degraded: object.degraded.is_some(),
    });
    Ok(then(Line::SignIn(Row {
        at: clock.time(Scalar::of(&object.time))?,
        user,
        pool: Scalar::of(&object.pool),
        client: Scalar::of(&object.client),
        ip: Scalar::of(&object.ip),
        country: Scalar::of(&object.country),
        asn,
        net: Scalar::of(&object.net),
        user_agent: Scalar::of(&object.user_agent),
        browser: "",
        os: "",
        device_type: "",
        device: Scalar::of(if object.device_id.is_some() { &object.device_id } else { &object.device }),
        timezone: Scalar::of(&object.timezone),
        passed: flag(Scalar::of(&object.success))?.unwrap_or(outcome != "failure"),
        label: if label.is_empty() && outcome == "fraud" { "fraud" } else { label },
        outside: None,
        decided,
    })))
}

/// Why a line is not read: it is no object, or one with values of another kind.
fn not_ours(text: &str) -> BadRow {
    if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok() { BadRow::Field } else { BadRow::Json }
}

/// What became of a sign-in.
fn told<'a>(object: &'a Object<'a>, clock: &mut Clock) -> Result<Told<'a>, BadRow> {
    let outcome = Scalar::of(&object.outcome);
    Ok(Told {
        at: clock.time(Scalar::of(&object.time))?,
        id: word(object.id),
        report: Report::ALL.into_iter().find(|report| report.as_label() == outcome).ok_or(BadRow::Outcome)?,
        learned: word(object.learned),
        pool: Scalar::of(&object.pool),
        client: Scalar::of(&object.client),
        user: Scalar::of(&object.user),
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
