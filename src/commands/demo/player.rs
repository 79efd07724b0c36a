//! Plays sign-ins over HTTP as a backend would: asks for a verdict, checks the password, reports what became of it.

use std::net::SocketAddr;

use axum::body::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::cast::{Password, Play};

/// One connection to the sidecar.
#[derive(Debug)]
pub struct Player {
    sidecar: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

/// What came of a sign-in.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    id: String,
    /// What was judged.
    pub decision: String,
    /// What is done.
    pub action: String,
    /// 0 to 100.
    pub score: f64,
    /// Why.
    pub reasons: Vec<Reason>,
    /// What was missing, if anything.
    pub degraded: Option<Value>,
    /// How long it took.
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

impl Player {
    /// Connects to a sidecar.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn connect(sidecar: SocketAddr) -> anyhow::Result<Self> {
        let (sender, connection) = handshake(TokioIo::new(TcpStream::connect(sidecar).await?)).await?;
        tokio::spawn(connection);
        Ok(Player { sidecar, sender })
    }

    /// Plays one sign-in to its end.
    ///
    /// # Errors
    ///
    /// The sidecar refuses it or is gone.
    pub async fn play(&mut self, play: &Play) -> anyhow::Result<Verdict> {
        let (status, body) = self.post("/v1/assess", &play.body).await?;
        anyhow::ensure!(status == StatusCode::OK, "the sidecar answered {status}: {}", String::from_utf8_lossy(&body));
        let verdict: Verdict = serde_json::from_slice(&body)?;
        // Whoever is kept out is not asked for a password.
        if verdict.action != "deny" {
            let outcome = match play.password {
                Password::Right => "success",
                Password::Wrong => "failure",
            };
            self.post("/v1/outcome", &json!({ "id": verdict.id, "outcome": outcome })).await?;
        }
        Ok(verdict)
    }

    async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, self.sidecar.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}
