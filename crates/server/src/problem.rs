//! Error responses as `application/problem+json` (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use riskgate_event::response::http::Problem;

/// Builds an error response. The detail says what the caller can do.
pub fn problem(status: StatusCode, title: &'static str, detail: impl Into<Option<String>>) -> Response {
    respond(status, &Problem { title, status: status.as_u16(), code: None, detail: detail.into() })
}

/// Builds an error response with a code, where a route has several causes with one status.
pub fn problem_with_code(status: StatusCode, title: &'static str, code: &'static str, detail: String) -> Response {
    respond(status, &Problem { title, status: status.as_u16(), code: Some(code), detail: Some(detail) })
}

fn respond(status: StatusCode, body: &Problem) -> Response {
    // Serialization of a struct of strings and numbers cannot fail.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// The response for a path without a route.
pub async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "no such route", None)
}

/// The response for a route that does not have the request's method.
pub async fn method_not_allowed() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", None)
}
