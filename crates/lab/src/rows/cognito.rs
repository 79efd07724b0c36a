//! Cognito's user auth events, as `aws cognito-idp admin-list-user-auth-events` prints them and as a pool exports them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::rows::{BadRow, LogLine, LogRecord, scalar::Scalar, time::TimeParser};

/// One event of the API. It has no user name: `UserName` must be added, or each user needs a separate file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
struct AuthEvent<'a> {
    user_name: Option<Cow<'a, str>>,
    creation_date: &'a RawValue,
    event_type: Option<Cow<'a, str>>,
    event_response: Option<Cow<'a, str>>,
    event_context_data: Option<ContextData<'a>>,
    event_feedback: Option<Feedback<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, bound(deserialize = "'de: 'a"))]
struct ContextData<'a> {
    ip_address: Option<Cow<'a, str>>,
    device_name: Option<Cow<'a, str>>,
    timezone: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, bound(deserialize = "'de: 'a"))]
struct Feedback<'a> {
    feedback_value: Option<Cow<'a, str>>,
}

/// One line of the user activity that a pool exports to CloudWatch Logs, S3 or Firehose.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
struct Activity<'a> {
    event_type: Option<Scalar<'a>>,
    user_sub: Option<Scalar<'a>>,
    user_name: Option<Scalar<'a>>,
    user_pool_id: Option<Scalar<'a>>,
    client_id: Option<Scalar<'a>>,
    creation_date: Option<Scalar<'a>>,
    event_response: Option<Scalar<'a>>,
    device_name: Option<Scalar<'a>>,
    ip_address: Option<Scalar<'a>>,
    event_feedback_value: Option<Scalar<'a>>,
}

/// Reads a line of exported user activity.
pub(super) fn read_activity<T>(line: &str, time_parser: &mut TimeParser, then: impl FnOnce(LogLine<'_>) -> T) -> Result<T, BadRow> {
    let event: Activity<'_> = serde_json::from_str(line).map_err(|_| BadRow::NestedValue)?;
    if !matches!(Scalar::text_of(&event.event_type), "SIGN_IN" | "SignIn") {
        return Ok(then(LogLine::Other));
    }
    let user = [&event.user_name, &event.user_sub].map(Scalar::text_of).into_iter().find(|name| !name.is_empty()).ok_or(BadRow::MissingUser)?;
    Ok(then(LogLine::SignIn(LogRecord {
        pool: Scalar::text_of(&event.user_pool_id),
        client: Scalar::text_of(&event.client_id),
        ip: Scalar::text_of(&event.ip_address),
        device: Scalar::text_of(&event.device_name),
        passed: Scalar::text_of(&event.event_response) == "Pass",
        label: if Scalar::text_of(&event.event_feedback_value).eq_ignore_ascii_case("invalid") { "feedback_invalid" } else { "" },
        ..LogRecord::new(time_parser.parse(Scalar::text_of(&event.creation_date))?, user)
    })))
}

/// Reads one event of the API.
pub(super) fn read_auth_event<T>(line: &str, time_parser: &mut TimeParser, then: impl FnOnce(LogLine<'_>) -> T) -> Result<T, BadRow> {
    let event: AuthEvent<'_> = serde_json::from_str(line).map_err(|_| BadRow::NotJson)?;
    let context = event.event_context_data.unwrap_or_default();
    let user = event.user_name.as_deref().unwrap_or_default();
    if user.is_empty() {
        return Err(BadRow::MissingUser);
    }
    let feedback = event.event_feedback.and_then(|feedback| feedback.feedback_value);
    // Password changes and sign-ups are not sign-ins.
    if event.event_type.as_deref().is_some_and(|kind| kind != "SignIn") {
        return Ok(then(LogLine::Other));
    }
    Ok(then(LogLine::SignIn(LogRecord {
        ip: context.ip_address.as_deref().unwrap_or_default(),
        // Such as "Chrome 126, Windows 10". Cognito does not export a device id.
        device: context.device_name.as_deref().unwrap_or_default(),
        timezone: context.timezone.as_deref().unwrap_or_default(),
        passed: event.event_response.as_deref() == Some("Pass"),
        label: if feedback.as_deref() == Some("Invalid") { "feedback_invalid" } else { "" },
        ..LogRecord::new(time_parser.parse(event.creation_date.get().trim_matches('"'))?, user)
    })))
}
