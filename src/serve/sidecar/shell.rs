//! What every request passes first: Host, token, load, and headers on the answer.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::problem::problem;
use crate::{config::sidecar::SidecarConfig, serve::dashboard::is_asset};

/// The shell of one listener.
#[derive(Debug)]
pub struct Shell {
    token: Option<SecretString>,
    in_flight: Semaphore,
    local: SocketAddr,
}

impl Shell {
    /// The shell of a listener at `local`.
    pub fn new(config: &SidecarConfig, local: SocketAddr) -> Self {
        Shell { token: config.token.clone(), in_flight: Semaphore::new(config.max_in_flight), local }
    }

    /// Whether the request carries the token, where one is configured.
    fn is_authorised(&self, request: &Request) -> bool {
        let Some(token) = &self.token else { return true };
        let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        sent.is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(token.expose_secret().as_bytes())))
    }

    /// Whether the Host names this machine. Where a token guards the routes any name may be used;
    /// without one a foreign name means that a page of somebody else's is asking (DNS rebinding).
    fn is_known_host(&self, request: &Request) -> bool {
        if self.token.is_some() {
            return true;
        }
        let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            Some(_) | None => host,
        };
        name.eq_ignore_ascii_case("localhost")
            || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == self.local.ip())
    }
}

/// Lets a request through, or says why not.
pub async fn guard(State(shell): State<Arc<Shell>>, request: Request, next: Next) -> Response {
    let is_open = matches!(request.uri().path(), "/healthz" | "/readyz") || is_asset(request.uri().path());
    let mut response = if !shell.is_known_host(&request) {
        problem(StatusCode::MISDIRECTED_REQUEST, "unknown host", "send a Host that names this machine".to_owned())
    } else if !is_open && !shell.is_authorised(&request) {
        let mut refused = problem(StatusCode::UNAUTHORIZED, "a bearer token is needed", "send Authorization: Bearer with RISKGATE_TOKEN's value".to_owned());
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        refused
    } else {
        match shell.in_flight.try_acquire() {
            Ok(_permit) => next.run(request).await,
            Err(_) => {
                let mut refused =
                    problem(StatusCode::SERVICE_UNAVAILABLE, "too many requests in flight", "try again, or raise RISKGATE_MAX_IN_FLIGHT".to_owned());
                refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                refused
            }
        }
    };
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
