//! Alive, and ready.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

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
