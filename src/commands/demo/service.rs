//! The risk service of the demo: an HTTP server on loopback that knows most of the attackers' addresses, and is sometimes slow or down.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::commands::demo::scenario::Condition;

/// The scores and the condition of the service.
#[derive(Debug)]
pub struct RiskService {
    scores: HashMap<String, f64>,
    condition: Mutex<Condition>,
    requests: AtomicU64,
}

/// The request body. Other fields are ignored.
#[derive(Deserialize)]
struct ScoreRequest {
    ip: String,
}

impl RiskService {
    /// Creates a service with the scores of some addresses.
    pub fn new(scores: HashMap<String, f64>) -> Arc<Self> {
        Arc::new(RiskService { scores, condition: Mutex::new(Condition::Healthy), requests: AtomicU64::new(0) })
    }

    /// Changes the condition of the service.
    pub fn set_condition(&self, condition: Condition) {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }

    /// Listens on a free loopback port and serves until the runtime ends.
    ///
    /// # Errors
    ///
    /// No port can be bound.
    pub async fn listen(self: &Arc<Self>) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let app = Router::new().route("/score", post(handle)).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(address)
    }
}

async fn handle(State(service): State<Arc<RiskService>>, Json(request): Json<ScoreRequest>) -> axum::response::Response {
    let number = service.requests.fetch_add(1, Ordering::Relaxed);
    let condition = *service.condition.lock().unwrap_or_else(PoisonError::into_inner);
    // Every 40th answer is slow. The delay depends only on the request number, which makes the demo repeatable.
    let millis = if number % 40 == 39 { 250 } else { 4 + number * 7 % 19 };
    match condition {
        Condition::Healthy => tokio::time::sleep(Duration::from_millis(millis)).await,
        Condition::Hangs => tokio::time::sleep(Duration::from_secs(10)).await,
        Condition::Fails => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
    let score = service.scores.get(&request.ip).copied().unwrap_or(2.0);
    Json(json!({ "score": score })).into_response()
}
