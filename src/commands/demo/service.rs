//! The demo's own risk service: a real HTTP server on loopback that knows most of the attackers' addresses, and is sometimes slow and sometimes down.

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

use super::script::Condition;

/// What the service knows, and how it fares.
#[derive(Debug)]
pub struct RiskService {
    scores: HashMap<String, f64>,
    condition: Mutex<Condition>,
    asked: AtomicU64,
}

/// The body of a question; what else is sent is not looked at.
#[derive(Deserialize)]
struct Question {
    ip: String,
}

impl RiskService {
    /// A service that knows these addresses' scores.
    pub fn new(scores: HashMap<String, f64>) -> Arc<Self> {
        Arc::new(RiskService { scores, condition: Mutex::new(Condition::Well), asked: AtomicU64::new(0) })
    }

    /// From now on it fares so.
    pub fn fare(&self, condition: Condition) {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }

    /// Listens on a free port of loopback and answers for as long as the runtime lives.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub async fn listen(self: &Arc<Self>) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let app = Router::new().route("/score", post(answer)).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(address)
    }
}

async fn answer(State(service): State<Arc<RiskService>>, Json(question): Json<Question>) -> axum::response::Response {
    let nth = service.asked.fetch_add(1, Ordering::Relaxed);
    let condition = *service.condition.lock().unwrap_or_else(PoisonError::into_inner);
    // Quick as a service next door, one answer in forty slow; by number, so that a seed gives one show.
    let millis = if nth % 40 == 39 { 250 } else { 4 + nth * 7 % 19 };
    match condition {
        Condition::Well => tokio::time::sleep(Duration::from_millis(millis)).await,
        Condition::Hangs => tokio::time::sleep(Duration::from_secs(10)).await,
        Condition::Fails => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
    let score = service.scores.get(&question.ip).copied().unwrap_or(2.0);
    Json(json!({ "score": score })).into_response()
}
