//! The routes that decide.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::{problem::problem, shell};
use crate::{
    event::{ClientIp, EventTime, IgnoredInput, Now, forwarded_for, http as sign_in},
    evidence::history::ledger::{Learned, Report},
    learn,
    response::http::AssessmentJson,
    serve::{Instance, lambda},
    telemetry::outcome::SignInOutcome,
};

/// Where sign-ins are posted.
pub const ASSESS: &str = "/v1/assess";

/// `POST /v1/assess`.
pub async fn assess(instance: &Instance, headers: &HeaderMap, body: &[u8]) -> Response {
    if !is_json(headers) {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON", "send Content-Type: application/json".to_owned());
    }
    let forwarded = forwarded(headers, instance.config.sidecar.trusted_proxies);
    let received = Now::read();
    let mut sign_in = match sign_in::parse(body, forwarded.unwrap_or_default(), received) {
        Ok(sign_in) => sign_in,
        Err(bad) => return problem(StatusCode::UNPROCESSABLE_ENTITY, "not an assess request", bad.to_string()),
    };
    if let (Some(why), None) = (ignored_header(forwarded, instance.config.sidecar.trusted_proxies), sign_in.context.ip.any()) {
        sign_in.context.ignored.insert(why);
    }
    if !instance.trust.load().serves(&sign_in.pool) {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "the pool is not served", "RISKGATE_POOLS names the pools that are".to_owned());
    }
    let deadline = instance.gate.deadline(received.mono, None);
    let _counted = instance.telemetry.in_flight();
    let assessment = instance.gate.assess(sign_in, deadline).await;
    instance.telemetry.assessed(&assessment, deadline).await;
    let mut response = Response::new(AssessmentJson(&assessment).to_bytes().into());
    response.headers_mut().reserve(shell::MOST_HEADERS);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `POST /v1/outcome`: what became of an assessment, once.
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
    // serde reads an array as a struct's fields in order, so the shape is asked first.
    let wire = Some(&body).filter(|body| body.trim_ascii_start().starts_with(b"{")).and_then(|body| serde_json::from_slice::<Wire>(body).ok());
    let report = wire.and_then(|wire| Some((Report::ALL.into_iter().find(|report| report.as_label() == wire.outcome)?, wire)));
    let Some((report, Wire { id, time, .. })) = report else {
        let detail = "send {\"id\", \"outcome\"} with outcome success, failure, fraud or not_fraud, and the \"time\" that the assessment was given".to_owned();
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "not an outcome", detail);
    };
    let now = Now::read();
    let at = EventTime::new(time.unwrap_or(now.wall));
    match learn::outcome(instance.gate.sources(), &id, report, at, now).await {
        Ok(Some(learned)) => {
            let told = matches!(report, Report::Success | Report::NotFraud).then_some(learned);
            let outcome = SignInOutcome { time: at.timestamp(), id: Some(&id), report, learned: told, event: None };
            instance.telemetry.heard(&outcome, learn::deadline(instance.gate.sources(), now, None)).await;
            Json(json!({ "outcome": report.as_label(), "learned": learned == Learned::Promoted })).into_response()
        }
        Ok(None) => problem(
            StatusCode::NOT_FOUND,
            "no such assessment",
            "its outcome was reported already, or it is too old, or the id is not of this store".to_owned(),
        ),
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "the store could not be reached", "send it again".to_owned()),
    }
}

/// `POST /2015-03-31/functions/{name}/invocations`: the Lambda Invoke API, as any AWS SDK calls it.
pub async fn invoke(State(instance): State<Arc<Instance>>, body: Bytes) -> Response {
    let (body, error) = match lambda::answer(&instance, lambda::Payload::from_slice(&body), 0).await {
        Ok(event) => (event.text().to_owned(), None),
        Err(diagnostic) => (serde_json::to_string(&diagnostic).unwrap_or_default(), Some(HeaderValue::from_static("Unhandled"))),
    };
    let mut response = ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response();
    response.headers_mut().insert(HeaderName::from_static("x-amz-executed-version"), HeaderValue::from_static("$LATEST"));
    if let Some(error) = error {
        response.headers_mut().insert(HeaderName::from_static("x-amz-function-error"), error);
    }
    response
}

/// `GET /openapi.json`.
pub async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], include_str!("openapi.json")).into_response()
}

fn is_json(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    sent.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The address behind the trusted proxies, from every line of `X-Forwarded-For` in order, else of `Forwarded`; `None` when there are too few.
fn forwarded(headers: &HeaderMap, hops: usize) -> Option<ClientIp> {
    let lines = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
    forwarded_for(lines("x-forwarded-for"), lines("forwarded"), hops)
}

/// Why the headers give no address although there are proxies.
fn ignored_header(forwarded: Option<ClientIp>, hops: usize) -> Option<IgnoredInput> {
    match forwarded {
        None => Some(IgnoredInput::MissingForwardedIp),
        Some(ClientIp::Invalid) => Some(IgnoredInput::MalformedIp),
        Some(ClientIp::Missing) if hops > 0 => Some(IgnoredInput::UnknownIp),
        Some(_) => None,
    }
}
