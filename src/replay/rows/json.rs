//! JSON rows: audit lines of the gate, and the sidecar's own requests.

use std::borrow::Cow;

use serde::Deserialize;

use super::{BadRow, Clock, Row, cognito};

/// What is read of a line; other members are let be.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Line<'a> {
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
}

/// Reads a line. `fraud` as outcome is a label; a line without `success` or `outcome` counts as passed.
pub(super) fn row<T>(line: &str, clock: &mut Clock, then: impl FnOnce(Row<'_>) -> T) -> Result<T, BadRow> {
    if line.contains("\"EventId\"") {
        return cognito::row(line, clock, then);
    }
    let line: Line<'_> = serde_json::from_str(line).map_err(|_| BadRow::Json)?;
    let asn = line.asn.map(|asn| asn.to_string()).unwrap_or_default();
    let user = line.user.as_deref().unwrap_or_default();
    if user.is_empty() {
        return Err(BadRow::User);
    }
    let outcome = line.outcome.as_deref().unwrap_or_default();
    Ok(then(Row {
        at: line.time.as_deref().and_then(|time| clock.read(time)).ok_or(BadRow::Time)?,
        user,
        pool: line.pool.as_deref().unwrap_or_default(),
        client: line.client.as_deref().unwrap_or_default(),
        ip: line.ip.as_deref().unwrap_or_default(),
        country: line.country.as_deref().unwrap_or_default(),
        asn: &asn,
        net: line.net.as_deref().unwrap_or_default(),
        user_agent: line.user_agent.as_deref().unwrap_or_default(),
        browser: "",
        os: "",
        device_type: "",
        device: line.device_id.as_deref().or(line.device.as_deref()).unwrap_or_default(),
        timezone: line.timezone.as_deref().unwrap_or_default(),
        passed: line.success.unwrap_or(outcome != "failure"),
        label: line.label.as_deref().unwrap_or(if outcome == "fraud" { "fraud" } else { "" }),
        outside: None,
    }))
}
