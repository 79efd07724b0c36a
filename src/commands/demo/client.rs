//! A client of the sidecar that acts like a backend: it requests an assessment, checks the password and reports the outcome.

use std::net::SocketAddr;

use axum::body::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::commands::demo::population::{Password, PlannedSignIn};

/// One connection to the sidecar.
#[derive(Debug)]
pub struct DemoClient {
    sidecar: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

/// The decision on a sign-in.
#[derive(Debug, Deserialize)]
pub struct DemoDecision {
    id: String,
    /// The verdict.
    pub decision: String,
    /// The action to take.
    pub action: String,
    /// The reasons.
    pub reasons: Vec<Reason>,
    /// The score, 0 to 100.
    pub score: f64,
    /// What was missing. `None` if nothing was.
    pub degraded: Option<Value>,
    /// The duration in milliseconds.
    pub elapsed_ms: f64,
}

/// A reason.
#[derive(Debug, Deserialize)]
pub struct Reason {
    /// Its code.
    pub code: String,
    /// Its weight.
    pub weight: f64,
}

impl DemoClient {
    /// Connects to a sidecar.
    ///
    /// # Errors
    ///
    /// The sidecar cannot be reached.
    pub async fn connect(sidecar: SocketAddr) -> anyhow::Result<Self> {
        let (sender, connection) = handshake(TokioIo::new(TcpStream::connect(sidecar).await?)).await?;
        tokio::spawn(connection);
        Ok(DemoClient { sidecar, sender })
    }

    /// Sends one sign-in and reports its outcome.
    ///
    /// # Errors
    ///
    /// The sidecar rejects the request or cannot be reached.
    pub async fn send(&mut self, sign_in: &PlannedSignIn) -> anyhow::Result<DemoDecision> {
        let (status, body) = self.post("/v1/assess", &sign_in.body).await?;
        anyhow::ensure!(status == StatusCode::OK, "the sidecar answered {status}: {}", String::from_utf8_lossy(&body));
        let decision: DemoDecision = serde_json::from_slice(&body)?;
        // A denied sign-in does not reach the password check.
        if decision.action != "deny" {
            let outcome = match sign_in.password {
                Password::Right => "success",
                Password::Wrong => "failure",
            };
            self.post("/v1/outcome", &json!({ "id": decision.id, "outcome": outcome })).await?;
        }
        Ok(decision)
    }

    async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, self.sidecar.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}
