//! What every request passes first: Host, Origin, token, body, load; and headers on every answer.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    task::Poll,
    time::Duration,
};

use axum::{body::Bytes, response::Response};
use base64::Engine as _;
use futures_util::poll;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use ulid::Ulid;

use super::{problem::problem, seats::Seat};
use crate::{
    config::sidecar::SidecarConfig,
    serve::{Token, dashboard::is_page},
};

/// The largest body of the sidecar's own routes, in bytes.
const BODY: usize = 16 * 1024;

/// The largest event, in bytes: Lambda's own limit for a synchronous call.
const EVENT: usize = 6 * 1024 * 1024;

/// Where events are posted.
const EVENTS: &str = "/2015-03-31/";

/// Longest time for a client to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The shell of one listener.
#[derive(Debug)]
pub struct Shell {
    token: Token,
    in_flight: Semaphore,
    local: SocketAddr,
    /// Its address as most requests name it.
    own: String,
}

/// Headers of an answer, its content type and the request's id among them.
pub const MOST_HEADERS: usize = 8;

/// What every answer carries, unless its route says otherwise.
const HEADERS: [(HeaderName, HeaderValue); MOST_HEADERS - 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

// === impl Shell ===

impl Shell {
    /// The shell of a listener at `local`.
    pub fn new(config: &SidecarConfig, token: Token, local: SocketAddr) -> Self {
        Shell { token, in_flight: Semaphore::new(config.max_in_flight), local, own: local.to_string() }
    }

    /// Lets a request through to `answer`, or says why not.
    pub async fn guard<F>(&self, request: Request<Incoming>, seat: &Seat, answer: impl FnOnce(Request<Bytes>) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        let mut response = match self.admit(request, seat, answer).await {
            Ok(response) | Err(response) => response,
        };
        let headers = response.headers_mut();
        headers.reserve(HEADERS.len() + 1);
        for (name, value) in HEADERS {
            headers.entry(name).or_insert(value);
        }
        if let Ok(id) = HeaderValue::from_str(Ulid::generate().array_to_str(&mut [0; ulid::ULID_LEN])) {
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
        response
    }

    async fn admit<F>(&self, request: Request<Incoming>, seat: &Seat, answer: impl FnOnce(Request<Bytes>) -> F) -> Result<Response, Response>
    where
        F: Future<Output = Response>,
    {
        let is_probe = matches!(request.uri().path(), "/healthz" | "/readyz");
        if !self.is_known_host(request.headers()) {
            return Err(problem(StatusCode::MISDIRECTED_REQUEST, "unknown host", "send one Host that names this machine".to_owned()));
        }
        if !is_same_origin(request.headers()) {
            return Err(problem(StatusCode::FORBIDDEN, "asked by another site", "browsers may ask from this machine's own page only".to_owned()));
        }
        if !is_probe && !self.is_authorised(request.headers()) {
            let detail = "send Authorization: Bearer with RISKGATE_TOKEN's value; a browser may send it as the password of any user name".to_owned();
            let mut refused = problem(StatusCode::UNAUTHORIZED, "the token is needed", detail);
            // A browser that opens the page can only ask for a password; programs are told of the bearer token.
            let scheme = if is_page(request.uri().path()) { "Basic realm=\"riskgate\", charset=\"UTF-8\"" } else { "Bearer" };
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            return Err(refused);
        }
        let (parts, body) = request.into_parts();
        let limit = if parts.uri.path().starts_with(EVENTS) { EVENT } else { BODY };
        // Read before the load is counted: who sends slowly holds a connection, never a place among the requests in flight.
        let body = read(body, limit).await?;
        let _working = seat.work();
        let request = Request::from_parts(parts, body);
        if is_probe {
            // A full house is alive: an orchestrator that restarts it makes things worse.
            return Ok(answer(request).await);
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            let detail = "try again, or raise RISKGATE_MAX_IN_FLIGHT".to_owned();
            let mut refused = problem(StatusCode::SERVICE_UNAVAILABLE, "too many requests in flight", detail);
            refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return Err(refused);
        };
        Ok(answer(request).await)
    }

    /// Whether the request carries the token, where one is configured; only ever in its header, which no log or history keeps.
    fn is_authorised(&self, headers: &HeaderMap) -> bool {
        let token = self.token.load();
        let Some(token) = token.as_deref() else { return true };
        let Some(sent) = only(headers, header::AUTHORIZATION) else { return false };
        let sent = match sent.split_once(' ') {
            Some(("Bearer", sent)) => sent.as_bytes().to_vec(),
            Some(("Basic", sent)) => password(sent),
            Some(_) | None => return false,
        };
        bool::from(sent.ct_eq(token.expose_secret().as_bytes()))
    }

    /// Whether the one Host names this machine. Where a token guards the routes any name may be used;
    /// without one a foreign name means that a page of somebody else's is asking (DNS rebinding).
    fn is_known_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = only(headers, header::HOST) else { return false };
        if self.token.load().is_some() {
            return true;
        }
        if host == self.own && !self.local.ip().is_unspecified() {
            return true;
        }
        let name = name_of(host);
        name.eq_ignore_ascii_case("localhost")
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || (ip == self.local.ip() && !ip.is_unspecified()))
    }
}

/// The password of basic credentials (RFC 7617); empty, and so never the token, where there is none.
fn password(credentials: &str) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.decode(credentials).unwrap_or_default();
    text.iter().position(|byte| *byte == b':').map(|colon| text[colon + 1..].to_vec()).unwrap_or_default()
}

/// Whether no browser says that another site's page asks (CSRF): programs send no Origin, this machine's own page sends its Host.
fn is_same_origin(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let asked_by = only(headers, header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    asked_by.is_some() && asked_by == only(headers, header::HOST)
}

/// A header's value, if it stands there exactly once: of two nobody knows which the proxy in front has read.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

/// A Host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// Reads a body of at most `limit` bytes within its own time: the budget starts when it has been read.
async fn read(body: Incoming, limit: usize) -> Result<Bytes, Response> {
    let too_large = || problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", format!("at most {limit} bytes are read"));
    // A length that is told beforehand is refused before anything is read.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut body = pin!(Limited::new(body, limit).collect());
    let read = match poll!(body.as_mut()) {
        // Most bodies come along with their head.
        Poll::Ready(read) => Ok(read),
        Poll::Pending => tokio::time::timeout(BODY_TIMEOUT, body).await,
    };
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(problem(StatusCode::BAD_REQUEST, "the body could not be read", None)),
        Err(_) => Err(problem(StatusCode::REQUEST_TIMEOUT, "the body came too slowly", None)),
    }
}
