//! The routes that assess sign-ins and record outcomes.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    problem::{problem, problem_with_code},
    sidecar::request_filter,
};
use riskgate_engine::{
    client_ip::{ClientIp, forwarded::forwarded_for},
    ignored::IgnoredInput,
    time::EventTime,
};
use riskgate_event::{
    http as sign_in,
    response::{cognito::ERROR_TYPE, http::AssessmentJson},
};
use riskgate_history::repository::{learning::Learned, outcome::ReportedOutcome};
use riskgate_pipeline::{
    instance::Instance,
    learn,
    step_up::{self, StepUp, StepUpError},
    triggers::{self, Payload},
};
use riskgate_runtime::clock;
use riskgate_telemetry::outcome::SignInOutcome;
use riskgate_tokens::TokenError;

/// The path of the assessment route.
pub const ASSESS_PATH: &str = "/v1/assess";

/// `POST /v1/assess`: assesses one sign-in.
pub async fn assess(instance: &Instance, headers: &HeaderMap, body: &[u8]) -> Response {
    if !is_json(headers) {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON", "send Content-Type: application/json".to_owned());
    }
    let forwarded = forwarded(headers, instance.config.sidecar.trusted_proxies);
    let received = clock::read();
    let mut sign_in = match sign_in::parse(body, forwarded.unwrap_or_default(), received) {
        Ok(sign_in) => sign_in,
        Err(error) => return problem(StatusCode::UNPROCESSABLE_ENTITY, "not an assess request", error.to_string()),
    };
    if let (Some(input), None) = (ignored_header(forwarded, instance.config.sidecar.trusted_proxies), sign_in.context.ip.any()) {
        sign_in.context.ignored.insert(input);
    }
    if !instance.trust.load().serves(&sign_in.pool) {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "the pool is not served", "RISKGATE_POOLS lists the pools that are served".to_owned());
    }
    let deadline = instance.engine.deadline(received.mono, None);
    let _in_flight = instance.telemetry.in_flight();
    let assessment = instance.engine.assess(sign_in, deadline).await;
    instance.record_assessment(&assessment, deadline).await;
    let mut response = Response::new(AssessmentJson(&assessment).to_bytes().into());
    response.headers_mut().reserve(request_filter::MAX_HEADERS);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `POST /v1/outcome`: records the outcome of an assessment, at most once.
pub async fn outcome(State(instance): State<Arc<Instance>>, headers: HeaderMap, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wire {
        id: String,
        outcome: String,
        time: Option<Timestamp>,
    }
    if !is_json(&headers) {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON", "send Content-Type: application/json".to_owned());
    }
    let wire: Option<Wire> = parse_object(&body);
    let report = wire.and_then(|wire| Some((ReportedOutcome::ALL.into_iter().find(|report| report.as_label() == wire.outcome)?, wire)));
    let Some((report, Wire { id, time, .. })) = report else {
        let detail = "send {\"id\", \"outcome\"} with outcome success, failure, fraud, not_fraud, challenge_passed or challenge_failed, and the \"time\" of the assessment".to_owned();
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "not an outcome", detail);
    };
    let now = clock::read();
    let at = EventTime::new(time.unwrap_or(now.wall));
    match learn::record_outcome(instance.engine.enricher(), &id, report, at, now).await {
        Ok(Some(learned)) => {
            let shown = (!matches!(report, ReportedOutcome::Failure | ReportedOutcome::Fraud | ReportedOutcome::ChallengeFailed)).then_some(learned);
            let outcome = SignInOutcome { time: at.timestamp(), id: Some(&id), report, learned: shown, event: None, restored: None };
            instance.record_report(&outcome, now.wall, learn::response_deadline(instance.engine.enricher(), now, None)).await;
            Json(json!({ "outcome": report.as_label(), "learned": learned == Learned::ProfileUpdated })).into_response()
        }
        Ok(None) => problem(
            StatusCode::NOT_FOUND,
            "no such assessment",
            "its outcome was already reported, it is too old, or the id belongs to another store".to_owned(),
        ),
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "the store could not be reached", "send the report again".to_owned()),
    }
}

/// `POST /v1/step-up`: ends the restriction of an assessment's user with a token of a stronger authentication.
pub async fn step_up(State(instance): State<Arc<Instance>>, headers: HeaderMap, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wire {
        id: String,
        token: String,
    }
    if !is_json(&headers) {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON", "send Content-Type: application/json".to_owned());
    }
    let Some(Wire { id, token }) = parse_object(&body) else {
        let detail = "send {\"id\", \"token\"}: the id of the assessment, and the new access or ID token".to_owned();
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "not a step-up", detail);
    };
    match step_up::step_up(&instance, &id, &token, clock::read()).await {
        Ok(StepUp { learned, stale_keys }) => {
            let degraded = stale_keys.map(|cause| json!({ "causes": { "signing_keys": cause.as_label() } }));
            let outcome = ReportedOutcome::ChallengePassed.as_label();
            Json(json!({ "outcome": outcome, "learned": learned == Some(Learned::ProfileUpdated), "degraded": degraded })).into_response()
        }
        Err(error) => step_up_problem(error),
    }
}

fn step_up_problem(error: StepUpError) -> Response {
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    let (status, title, code, detail) = match error {
        StepUpError::NotConfigured => {
            let detail = "RISKGATE_STEP_UP_POOLS names the user pools whose tokens are accepted".to_owned();
            (StatusCode::NOT_FOUND, "step-up is not configured", "not_configured", detail)
        }
        StepUpError::Token(error @ TokenError::KeysUnavailable(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the token could not be checked", error.as_label(), error.to_string())
        }
        StepUpError::Token(error) => (unprocessable, "the token was refused", error.as_label(), error.to_string()),
        StepUpError::UnknownAssessment => {
            let detail = "its outcome was already reported, it is too old, or the id belongs to another store".to_owned();
            (StatusCode::NOT_FOUND, "no such assessment", "unknown_assessment", detail)
        }
        StepUpError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store could not be reached", "store", "send the request again".to_owned()),
    };
    problem_with_code(status, title, code, detail)
}

/// Parses a JSON object. serde also accepts an array as the fields of a struct, so the shape is checked first.
fn parse_object<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    Some(body).filter(|body| body.trim_ascii_start().starts_with(b"{")).and_then(|body| serde_json::from_slice(body).ok())
}

/// A failed invocation, as Lambda's API describes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionError<'a> {
    error_type: &'a str,
    error_message: &'a str,
}

/// `POST /2015-03-31/functions/{name}/invocations`: the Lambda Invoke API, as any AWS SDK calls it.
pub async fn invoke(State(instance): State<Arc<Instance>>, body: Bytes) -> Response {
    let (body, error) = match triggers::answer(&instance, Payload::from_slice(&body), 0).await {
        Ok(event) => (event.text().to_owned(), None),
        Err(denial) => {
            let error = FunctionError { error_type: ERROR_TYPE, error_message: &denial.message };
            (serde_json::to_string(&error).unwrap_or_default(), Some(HeaderValue::from_static("Unhandled")))
        }
    };
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response();
    response.headers_mut().insert(HeaderName::from_static("x-amz-executed-version"), HeaderValue::from_static("$LATEST"));
    if let Some(error) = error {
        response.headers_mut().insert(HeaderName::from_static("x-amz-function-error"), error);
    }
    response
}

/// `GET /openapi.json`: the description of the API.
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], include_str!("openapi.json")).into_response()
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The client address behind the trusted proxies, from all `X-Forwarded-For` headers in order, else from `Forwarded`.
/// `None` when they list too few addresses.
fn forwarded(headers: &HeaderMap, hops: usize) -> Option<ClientIp> {
    let lines = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
    forwarded_for(lines("x-forwarded-for"), lines("forwarded"), hops)
}

/// The input to report as ignored when the headers give no address although proxies are trusted.
fn ignored_header(forwarded: Option<ClientIp>, hops: usize) -> Option<IgnoredInput> {
    match forwarded {
        None => Some(IgnoredInput::MissingForwardedIp),
        Some(ClientIp::Invalid) => Some(IgnoredInput::MalformedIp),
        Some(ClientIp::Missing) if hops > 0 => Some(IgnoredInput::UnknownIp),
        Some(_) => None,
    }
}
