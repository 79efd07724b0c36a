//! JSON rows: riskgate's audit lines, requests of the sidecar, and the other lines of a function's log.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::rows::{
    BadRow, LogLine, LogRecord, Quoted, RecordedDecision, RecordedOutcome, cognito,
    scalar::{Scalar, parse_flag},
    time::TimeParser,
};
use riskgate_history::repository::outcome::ReportedOutcome;

/// The members of a line that are read. Other members are ignored.
///
/// Members that other programs use with other types are parsed only after the line is classified as an audit line.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct LineMembers<'a> {
    time: Option<Scalar<'a>>,
    id: Option<&'a RawValue>,
    decision: Option<&'a RawValue>,
    action: Option<&'a RawValue>,
    degraded: Option<&'a RawValue>,
    trigger: Option<&'a RawValue>,
    learned: Option<&'a RawValue>,
    user: Option<Scalar<'a>>,
    pool: Option<Scalar<'a>>,
    client: Option<Scalar<'a>>,
    ip: Option<Scalar<'a>>,
    country: Option<Scalar<'a>>,
    asn: Option<Scalar<'a>>,
    net: Option<Scalar<'a>>,
    user_agent: Option<Scalar<'a>>,
    device_id: Option<Scalar<'a>>,
    device: Option<Scalar<'a>>,
    timezone: Option<Scalar<'a>>,
    success: Option<Scalar<'a>>,
    outcome: Option<Scalar<'a>>,
    label: Option<Scalar<'a>>,
    /// Present in lines of the program's log.
    level: Option<&'a RawValue>,
    /// Present in lines of Lambda's log.
    #[serde(rename = "type")]
    kind: Option<&'a RawValue>,
    /// Present in CloudWatch metrics.
    #[serde(rename = "_aws")]
    metrics: Option<&'a RawValue>,
}

/// Reads a line. The outcome `fraud` is a label. A line without `success` and `outcome` counts as a success.
pub(super) fn read_line<T>(text: &str, time_parser: &mut TimeParser, then: impl FnOnce(LogLine<'_>) -> T) -> Result<T, BadRow> {
    if is_lambda_line(text) {
        return Ok(then(LogLine::Other));
    }
    if text.contains("\"EventId\"") {
        return cognito::read_auth_event(text, time_parser, then);
    }
    if text.contains("\"eventResponse\"") {
        return cognito::read_activity(text, time_parser, then);
    }
    let object: LineMembers<'_> = serde_json::from_str(text).map_err(|_| classify_error(text))?;
    // A second line about a sign-in that has its own line.
    if object.id.is_some() && plain_string(object.trigger) == "session" {
        return Ok(then(LogLine::Other));
    }
    let user = Scalar::text_of(&object.user);
    if object.outcome.is_some() && matches!(plain_string(object.trigger), "post_authentication" | "outcome") {
        return read_outcome(&object, time_parser).map(|outcome| then(LogLine::Outcome(outcome)));
    }
    if user.is_empty() {
        return match () {
            () if object.decision.is_some() && object.id.is_some() => Ok(then(LogLine::WithoutUser)),
            () if matches!(plain_string(object.trigger), "operator" | "attack") => Ok(then(LogLine::Other)),
            () if object.level.is_some() || object.kind.is_some() || object.metrics.is_some() => Ok(then(LogLine::Other)),
            () => Err(BadRow::MissingUser),
        };
    }
    let asn = Scalar::text_of(&object.asn);
    let asn = asn.strip_prefix("AS").unwrap_or(asn);
    let outcome = Scalar::text_of(&object.outcome);
    let label = Scalar::text_of(&object.label);
    let has_no_outcome = object.success.is_none() && object.outcome.is_none() && object.label.is_none();
    let decision = object.decision.filter(|_| has_no_outcome).map(|decision| RecordedDecision {
        id: plain_string(object.id),
        is_denied: plain_string(object.action) == "deny",
        is_challenged: plain_string(object.action) == "challenge",
        is_deny_verdict: plain_string(Some(decision)) == "deny",
        is_degraded: object.degraded.is_some(),
    });
    Ok(then(LogLine::SignIn(LogRecord {
        pool: Scalar::text_of(&object.pool),
        client: Scalar::text_of(&object.client),
        ip: Scalar::text_of(&object.ip),
        country: Scalar::text_of(&object.country),
        asn,
        net: Scalar::text_of(&object.net),
        user_agent: Scalar::text_of(&object.user_agent),
        device: Scalar::text_of(if object.device_id.is_some() { &object.device_id } else { &object.device }),
        timezone: Scalar::text_of(&object.timezone),
        passed: parse_flag(Scalar::text_of(&object.success))?.unwrap_or(outcome != "failure"),
        label: if label.is_empty() && outcome == "fraud" { "fraud" } else { label },
        decision,
        ..LogRecord::new(time_parser.parse(Scalar::text_of(&object.time))?, user)
    })))
}

/// Returns why a line cannot be read: it is not an object, or one of its values is nested.
fn classify_error(text: &str) -> BadRow {
    if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok() { BadRow::NestedValue } else { BadRow::NotJson }
}

/// Reads a reported outcome.
fn read_outcome<'a>(object: &'a LineMembers<'a>, time_parser: &mut TimeParser) -> Result<RecordedOutcome<'a>, BadRow> {
    let outcome = Scalar::text_of(&object.outcome);
    Ok(RecordedOutcome {
        at: time_parser.parse(Scalar::text_of(&object.time))?,
        id: plain_string(object.id),
        report: ReportedOutcome::ALL.into_iter().find(|report| report.as_label() == outcome).ok_or_else(|| BadRow::InvalidOutcome(Quoted::new(outcome)))?,
        learned: plain_string(object.learned),
        pool: Scalar::text_of(&object.pool),
        client: Scalar::text_of(&object.client),
        user: Scalar::text_of(&object.user),
    })
}

/// Returns the text of a JSON string without escapes. Empty for any other value.
fn plain_string(raw: Option<&RawValue>) -> &str {
    raw.and_then(|raw| raw.get().strip_prefix('"')?.strip_suffix('"')).unwrap_or_default()
}

/// Whether Lambda wrote the line. An export of a log group contains the lines that Lambda writes around each invocation.
pub(super) fn is_lambda_line(line: &str) -> bool {
    // A time and the name of the log stream may precede the keyword.
    !line.starts_with('{')
        && line.split_ascii_whitespace().take(3).any(|word| matches!(word, "START" | "END" | "REPORT" | "INIT_START" | "INIT_REPORT" | "XRAY"))
}
