//! Cognito's own user auth events, as `aws cognito-idp admin-list-user-auth-events` prints them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{BadRow, Clock, Line, Row};

/// One event. The export names no user: whoever exports adds `UserName`, or hands over one file a user.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AuthEvent<'a> {
    #[serde(borrow, default)]
    user_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    creation_date: &'a RawValue,
    #[serde(borrow, default)]
    event_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event_response: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event_context_data: Option<ContextData<'a>>,
    #[serde(borrow, default)]
    event_feedback: Option<Feedback<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContextData<'a> {
    #[serde(borrow)]
    ip_address: Option<Cow<'a, str>>,
    #[serde(borrow)]
    device_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    timezone: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Feedback<'a> {
    #[serde(borrow)]
    feedback_value: Option<Cow<'a, str>>,
}

/// The document around the events.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Export<'a> {
    #[serde(borrow)]
    auth_events: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    user_name: Option<Cow<'a, str>>,
}

/// Events of an export, oldest first, each as a line of its own with the user in it; `None` when the text is no export.
///
/// A file that names no user is one user's: its name stands in.
pub(super) fn lines(text: &str, file: &str) -> Option<Vec<String>> {
    let export: Export<'_> = serde_json::from_str(text).ok()?;
    let user = export.user_name.unwrap_or(Cow::Borrowed(file));
    let mut events: Vec<(String, String)> = Vec::with_capacity(export.auth_events.len());
    for raw in export.auth_events {
        let mut event: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw.get()).ok()?;
        event.entry("UserName").or_insert_with(|| user.as_ref().into());
        let at = event.get("CreationDate").map(ToString::to_string).unwrap_or_default();
        let at = Clock::default().read(at.trim_matches('"')).map(|at| at.to_string()).unwrap_or_default();
        events.push((at, serde_json::Value::Object(event).to_string()));
    }
    // The API answers newest first.
    events.reverse();
    events.sort_by(|a, b| a.0.cmp(&b.0));
    Some(events.into_iter().map(|(_, line)| line).collect())
}

/// Reads one event's line.
pub(super) fn line<T>(line: &str, clock: &mut Clock, then: impl FnOnce(Line<'_>) -> T) -> Result<T, BadRow> {
    let event: AuthEvent<'_> = serde_json::from_str(line).map_err(|_| BadRow::Json)?;
    let context = event.event_context_data.unwrap_or_default();
    let user = event.user_name.as_deref().unwrap_or_default();
    if user.is_empty() {
        return Err(BadRow::User);
    }
    let feedback = event.event_feedback.and_then(|feedback| feedback.feedback_value);
    // A changed password or a sign-up is no sign-in, right or wrong.
    if event.event_type.as_deref().is_some_and(|kind| kind != "SignIn") {
        return Ok(then(Line::Foreign));
    }
    Ok(then(Line::SignIn(Row {
        at: clock.read(event.creation_date.get().trim_matches('"')).ok_or(BadRow::Time)?,
        user,
        pool: "",
        client: "",
        ip: context.ip_address.as_deref().unwrap_or_default(),
        country: "",
        asn: "",
        net: "",
        user_agent: "",
        browser: "",
        os: "",
        device_type: "",
        // "Chrome 126, Windows 10": a name of the kind of device, which is all that Cognito gives away.
        device: context.device_name.as_deref().unwrap_or_default(),
        timezone: context.timezone.as_deref().unwrap_or_default(),
        passed: event.event_response.as_deref() == Some("Pass"),
        label: if feedback.as_deref() == Some("Invalid") { "feedback_invalid" } else { "" },
        outside: None,
        decided: None,
    })))
}
