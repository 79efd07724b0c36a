//! Alive, ready, and in numbers.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::problem::problem;
use crate::serve::Instance;

/// The process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// A verdict is possible: always, once the process listens. What is degraded stands in the body.
pub async fn readyz(State(instance): State<Arc<Instance>>) -> Json<Value> {
    let _ = instance;
    Json(json!({ "ready": true, "degraded": [] }))
}

/// Prometheus' text format.
pub async fn metrics(State(instance): State<Arc<Instance>>) -> Response {
    match instance.telemetry.render() {
        Some(text) => ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))], text).into_response(),
        None => problem(StatusCode::NOT_FOUND, "metrics are off", "RISKGATE_METRICS is off".to_owned()),
    }
}
