//! An axum server on one thread that reads a typed sign-in and writes a constant typed decision: `axum_echo ADDRESS`.

use axum::{Json, Router, routing::post};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignIn {
    user: String,
    ip: String,
    user_agent: String,
    device_id: String,
    accept_language: String,
    timezone: String,
}

#[derive(Serialize)]
struct Verdict {
    id: String,
    decision: &'static str,
    score: f64,
    level: &'static str,
    reasons: Vec<Reason>,
    elapsed_ms: f64,
}

#[derive(Serialize)]
struct Reason {
    code: String,
    weight: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    axum::serve(TcpListener::bind(address).await?, Router::new().route("/v1/assess", post(assess))).await
}

async fn assess(Json(sign_in): Json<SignIn>) -> Json<Verdict> {
    let SignIn { user, ip, user_agent, device_id, accept_language, timezone } = sign_in;
    let reasons = [ip, user_agent, device_id, accept_language, timezone].map(|code| Reason { code, weight: 0.5 });
    Json(Verdict { id: user, decision: "allow", score: 12.5, level: "low", reasons: reasons.into(), elapsed_ms: 0.1 })
}
