//! Checks before every route: host, origin, token, body size and load. Adds the security headers to every response.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    task::Poll,
    time::Duration,
};

use axum::{body::Bytes, response::Response};
use futures_util::poll;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;
use ulid::Ulid;

use crate::dashboard::{
    access::{Access, Identity, Unidentified, is_equal, sent_token},
    is_dashboard_path, is_page_path,
};
use crate::{problem::problem, sidecar::connection_limit::ConnectionSlot};
use riskgate_config::sidecar::SidecarConfig;
use riskgate_pipeline::instance::Token;

/// The largest body of the sidecar's own routes, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// The largest event, in bytes. It is Lambda's limit for a synchronous invocation.
const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

/// The path prefix of the Lambda Invoke API.
const INVOKE_PREFIX: &str = "/2015-03-31/";

/// Longest time that a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The checks of one listener.
#[derive(Debug)]
pub struct RequestFilter {
    token: Token,
    access: Access,
    in_flight: Semaphore,
    local: SocketAddr,
    /// `local` as text, which is the Host of most requests.
    local_text: String,
}

/// The most headers that a response has, including the content type and the request id.
pub const MAX_HEADERS: usize = 8;

/// The headers of every response, unless its route sets them.
const HEADERS: [(HeaderName, HeaderValue); MAX_HEADERS - 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

impl RequestFilter {
    /// Creates the checks for a listener at `local`.
    pub fn new(config: &SidecarConfig, token: Token, access: Access, local: SocketAddr) -> Self {
        RequestFilter { token, access, in_flight: Semaphore::new(config.max_in_flight), local, local_text: local.to_string() }
    }

    /// Passes a request from `peer` that is accepted to `handler`; answers any other with a problem.
    pub async fn filter<F>(&self, peer: IpAddr, request: Request<Incoming>, slot: &ConnectionSlot, handler: impl FnOnce(Request<Bytes>) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        let mut response = match self.admit(peer, request, slot, handler).await {
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

    async fn admit<F>(
        &self,
        peer: IpAddr,
        mut request: Request<Incoming>,
        slot: &ConnectionSlot,
        handler: impl FnOnce(Request<Bytes>) -> F,
    ) -> Result<Response, Response>
    where
        F: Future<Output = Response>,
    {
        let is_probe = matches!(request.uri().path(), "/healthz" | "/readyz");
        let identity = if is_dashboard_path(request.uri().path()) { Some(self.identify(request.headers(), peer)) } else { None };
        let is_identified = matches!(&identity, Some(Ok(identity)) if identity.may_view());
        if !is_identified && !self.is_known_host(&request) {
            return Err(problem(StatusCode::MISDIRECTED_REQUEST, "unknown host", "send exactly one Host header that names this machine".to_owned()));
        }
        if !is_same_origin(request.headers()) {
            return Err(problem(StatusCode::FORBIDDEN, "cross-origin request", "browsers may send requests from this server's own page only".to_owned()));
        }
        if identity == Some(Err(Unidentified::Forged)) {
            return Err(problem(StatusCode::FORBIDDEN, "not the proxy", "only the proxy of RISKGATE_DASHBOARD_PROXY_CIDRS may name an operator".to_owned()));
        }
        let is_authorised = match &identity {
            Some(Ok(identity)) => identity.may_view() || self.token.load().is_none(),
            Some(Err(_)) => false,
            None => is_probe || self.is_authorised(request.headers()),
        };
        let is_page = is_page_path(request.uri().path());
        if let Some(Ok(identity)) = identity {
            request.extensions_mut().insert(identity);
        }
        if !is_authorised {
            let detail = "send the value of RISKGATE_TOKEN as Authorization: Bearer; a browser may send it as the password of any user name".to_owned();
            let mut refused = problem(StatusCode::UNAUTHORIZED, "the token is missing or wrong", detail);
            // A browser can only prompt for a password, so its challenge is Basic. Other clients get the Bearer challenge.
            let scheme = if is_page { "Basic realm=\"riskgate\", charset=\"UTF-8\"" } else { "Bearer" };
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            return Err(refused);
        }
        let (parts, body) = request.into_parts();
        let limit = if parts.uri.path().starts_with(INVOKE_PREFIX) { MAX_EVENT_BYTES } else { MAX_BODY_BYTES };
        // The body is read before the request counts as in flight: a slow sender occupies a connection only.
        let body = read_body(body, limit).await?;
        let _active = slot.begin_request();
        let request = Request::from_parts(parts, body);
        if is_probe {
            // Probes bypass the load limit: restarting a busy process would make the overload worse.
            return Ok(handler(request).await);
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            let detail = "try again, or raise RISKGATE_MAX_IN_FLIGHT".to_owned();
            let mut refused = problem(StatusCode::SERVICE_UNAVAILABLE, "too many requests in flight", detail);
            refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return Err(refused);
        };
        Ok(handler(request).await)
    }

    /// Whether the request carries the configured token. Only the header is read, because URLs end up in logs and browser histories.
    fn is_authorised(&self, headers: &HeaderMap) -> bool {
        let token = self.token.load();
        let Some(token) = token.as_deref() else { return true };
        sent_token(headers).is_some_and(|sent| is_equal(&sent, token))
    }

    /// Who sends a request to the dashboard.
    fn identify(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Identity, Unidentified> {
        Identity::of(headers, peer, &self.access.load(), self.token.load().as_deref())
    }

    /// Whether the request is meant for this machine: by its Host header, and by the authority of its target where it has one, which
    /// is the one that counts then (RFC 9112, 3.2.2). With a token, any name is accepted. Without one, a foreign name
    /// indicates DNS rebinding: a page of another site sends the request.
    fn is_known_host<B>(&self, request: &Request<B>) -> bool {
        let Some(host) = single_header(request.headers(), header::HOST) else { return false };
        self.token.load().is_some() || (self.is_own_name(host) && request.uri().authority().is_none_or(|authority| self.is_own_name(authority.as_str())))
    }

    /// Whether a host, with or without a port, is a name or an address of this machine.
    fn is_own_name(&self, host: &str) -> bool {
        if host == self.local_text && !self.local.ip().is_unspecified() {
            return true;
        }
        let name = without_port(host);
        name.eq_ignore_ascii_case("localhost")
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || (ip == self.local.ip() && !ip.is_unspecified()))
    }
}

/// Whether the request comes from the same origin, as a defence against CSRF. Programs send no Origin, and the dashboard sends one that equals Host.
fn is_same_origin(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let origin = single_header(headers, header::ORIGIN).and_then(|value| value.split_once("://")).map(|(_, authority)| authority);
    origin.is_some() && origin == single_header(headers, header::HOST)
}

/// The value of a header that occurs exactly once. With two values it is unknown which one the proxy has read.
fn single_header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

/// The name in a Host header, without the port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// Reads a body of at most `limit` bytes within `BODY_TIMEOUT`. The time budget of a sign-in starts afterwards.
async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, Response> {
    let too_large = || problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", format!("at most {limit} bytes are read"));
    // A declared length above the limit is refused before anything is read.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut body = pin!(Limited::new(body, limit).collect());
    let read = match poll!(body.as_mut()) {
        // Most bodies arrive together with the head.
        Poll::Ready(read) => Ok(read),
        Poll::Pending => tokio::time::timeout(BODY_TIMEOUT, body).await,
    };
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(problem(StatusCode::BAD_REQUEST, "the body could not be read", None)),
        Err(_) => Err(problem(StatusCode::REQUEST_TIMEOUT, "the body arrived too slowly", None)),
    }
}
