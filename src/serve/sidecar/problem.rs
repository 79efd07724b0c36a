//! Errors as problem+json (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::response::http::Problem;

/// A problem with a detail that says what to do.
pub fn problem(status: StatusCode, title: &'static str, detail: impl Into<Option<String>>) -> Response {
    let body = Problem { title, status: status.as_u16(), detail: detail.into() };
    // A struct of strings and numbers always serialises.
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// The route does not exist here.
pub async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "no such route", None)
}

/// The route exists, the method does not.
pub async fn method_not_allowed() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", None)
}
