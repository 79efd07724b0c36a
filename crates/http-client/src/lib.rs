//! The HTTP client for one service: no redirects, no proxy, no compression, a bounded response, and errors as failure reasons.
//!
//! The connection pool is built on the first request, so a process that sends no requests does not pay for it. An error of the pool
//! contains the URL, and a URL may contain a key. So errors leave this module only as a `Failure`.

use std::{
    error::Error as StdError,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{
    RequestBuilder, Response,
    dns::{Addrs, Name, Resolve, Resolving},
};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use serde::de::DeserializeOwned;

use crate::failure::{Failure, RequestPhase};
use riskgate_engine::{evidence::FailureReason, refused_ip::is_refused, time::ClockReading};
use riskgate_runtime::{clock, mode::RuntimeMode};

pub mod failure;

#[cfg(test)]
mod tests;

/// The maximum size of a response body in bytes.
const MAX_BODY: usize = 64 * 1024;

/// How long an idle connection is reused. It is shorter in Lambda, where the process may have been frozen in the meantime.
const IDLE_TIMEOUT_LAMBDA: Duration = Duration::from_secs(30);
const IDLE_TIMEOUT_SIDECAR: Duration = Duration::from_secs(55);

/// The connect timeout in the background, where no sign-in waits.
const BACKGROUND_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum number of idle connections to a service.
const MAX_IDLE_LAMBDA: usize = 2;
const MAX_IDLE_SIDECAR: usize = 32;

/// The TLS settings: the trusted certificate authorities, parsed on first use.
#[derive(Clone, Default)]
pub struct Tls {
    config: Arc<OnceLock<ClientConfig>>,
    /// Authorities that are trusted in addition to Mozilla's list.
    extra_roots: Arc<[CertificateDer<'static>]>,
}

/// The client for one service. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    connect_timeout: Duration,
    runtime_mode: RuntimeMode,
    tls: Tls,
    resolver: Arc<dyn Resolve>,
    pool: Arc<Mutex<Pool>>,
    last_response: Arc<Mutex<Option<RawResponse>>>,
    /// Whether a connection is being opened in the background.
    is_connecting: Arc<AtomicBool>,
}

/// The last response of a service. It is stored only in a command, which shows it to an operator who tests a key.
#[derive(Clone)]
pub struct RawResponse {
    /// The status code.
    pub status: u16,
    /// The body as far as it was read, at most 64 KiB.
    pub body: Bytes,
}

/// A response whose body has not been read.
pub struct PendingResponse<'a> {
    client: &'a Client,
    received: ClockReading,
    response: Response,
}

#[derive(Default)]
struct Pool {
    client: Option<reqwest::Client>,
    /// When a connection last became idle after a response.
    last_used: Option<ClockReading>,
}

/// Resolves names with the system's resolver and removes refused addresses: link-local ones and others where clouds serve credentials.
struct FilteringResolver;

/// Clears `is_connecting` when the background connection ends in any way.
struct ConnectingGuard(Arc<AtomicBool>);

/// All addresses of a name are refused.
#[derive(Debug, thiserror::Error)]
#[error("every address of the name is refused")]
struct AddressRefused;

impl Tls {
    /// Trusts these authorities in addition to Mozilla's list.
    pub fn trusting(extra_roots: &[CertificateDer<'static>]) -> Self {
        Tls { extra_roots: extra_roots.into(), ..Tls::default() }
    }

    fn config(&self) -> ClientConfig {
        let build = || {
            let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            roots.add_parsable_certificates(self.extra_roots.iter().cloned());
            client_config(roots)
        };
        self.config.get_or_init(build).clone()
    }
}

fn client_config(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("runtime_mode", &self.runtime_mode).finish_non_exhaustive()
    }
}

impl Client {
    /// A client without connections.
    pub fn new(connect_timeout: Duration, runtime_mode: RuntimeMode, tls: Tls) -> Self {
        Client {
            connect_timeout,
            runtime_mode,
            tls,
            resolver: Arc::new(FilteringResolver),
            pool: Arc::default(),
            last_response: Arc::default(),
            is_connecting: Arc::default(),
        }
    }

    /// Opens a connection to an origin for the first request: sends a `HEAD` without a key and without personal data.
    ///
    /// The response does not matter. If the connection fails, the first request reports it.
    pub async fn warm(&self, origin: &str, received: ClockReading) {
        let Ok(client) = self.pooled_client(clock::read_since(received)) else { return };
        if client.head(origin).send().await.is_ok() {
            self.mark_used(clock::read_since(received));
        }
    }

    /// The service's last response. It is stored only in a command.
    pub fn last_response(&self) -> Option<RawResponse> {
        self.last_response.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a request and returns when the head of the response has arrived. The caller sets the deadline.
    ///
    /// # Errors
    ///
    /// There is no response.
    pub async fn send(&self, received: ClockReading, build: impl FnOnce(&reqwest::Client) -> RequestBuilder) -> Result<PendingResponse<'_>, Failure> {
        let now = clock::read_since(received);
        let client = self.pooled_client(now)?;
        match build(&client).send().await {
            Ok(response) => Ok(PendingResponse { client: self, received, response }),
            Err(error) => {
                if error.is_connect() && error.is_timeout() {
                    self.connect_in_background(&error, received);
                }
                Err(failure(&error))
            }
        }
    }

    /// Opens a connection that takes longer than a sign-in may wait, for later sign-ins. At most one is opened at a time.
    ///
    /// Like `warm`, it sends a `HEAD` to the origin. Until it succeeds, sign-ins still use `CONNECT_TIMEOUT`.
    fn connect_in_background(&self, error: &reqwest::Error, received: ClockReading) {
        let Some(origin) = error.url().map(|url| url.origin().ascii_serialization()) else { return };
        if self.runtime_mode == RuntimeMode::Command || self.is_connecting.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let _guard = ConnectingGuard(Arc::clone(&this.is_connecting));
            let Ok(client) = this.build(BACKGROUND_CONNECT_TIMEOUT) else { return };
            let head = client.head(origin).timeout(BACKGROUND_CONNECT_TIMEOUT).send();
            if head.await.is_ok() {
                let pool = Pool { client: Some(client), last_used: Some(clock::read_since(received)) };
                *this.pool.lock().unwrap_or_else(PoisonError::into_inner) = pool;
            }
        });
    }

    /// The current connection pool, built if there is none or if it may be dead.
    fn pooled_client(&self, now: ClockReading) -> Result<reqwest::Client, Failure> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.last_used.is_some_and(|last_used| now.since(last_used) >= self.idle_timeout()) {
            // The process was frozen or idle, so open connections may be dead although they look alive.
            *pool = Pool::default();
        }
        let client = match &pool.client {
            Some(client) => client.clone(),
            None => pool.client.insert(self.build(self.connect_timeout)?).clone(),
        };
        Ok(client)
    }

    fn build(&self, connect_timeout: Duration) -> Result<reqwest::Client, Failure> {
        let max_idle = match self.runtime_mode {
            RuntimeMode::Lambda | RuntimeMode::Command => MAX_IDLE_LAMBDA,
            RuntimeMode::Sidecar => MAX_IDLE_SIDECAR,
        };
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.config())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .user_agent(concat!("riskgate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(self.idle_timeout())
            .pool_max_idle_per_host(max_idle)
            .dns_resolver(Arc::clone(&self.resolver))
            .build()
            .map_err(|_| FailureReason::Connect.into())
    }

    fn idle_timeout(&self) -> Duration {
        match self.runtime_mode {
            RuntimeMode::Lambda | RuntimeMode::Command => IDLE_TIMEOUT_LAMBDA,
            RuntimeMode::Sidecar => IDLE_TIMEOUT_SIDECAR,
        }
    }

    fn mark_used(&self, now: ClockReading) {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).last_used = Some(now);
    }

    fn store_last_response(&self, status: StatusCode, body: &[u8]) {
        if self.runtime_mode == RuntimeMode::Command {
            let last_response = RawResponse { status: status.as_u16(), body: Bytes::copy_from_slice(body) };
            *self.last_response.lock().unwrap_or_else(PoisonError::into_inner) = Some(last_response);
        }
    }
}

impl Drop for ConnectingGuard {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl PendingResponse<'_> {
    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Returns the response if the status is 200.
    ///
    /// # Errors
    ///
    /// The status is another; the failure depends on it.
    pub async fn require_ok(self) -> Result<Self, Failure> {
        let status = self.status();
        if status == StatusCode::OK {
            return Ok(self);
        }
        let failure = status_failure(status, self.response.headers());
        if self.client.runtime_mode == RuntimeMode::Command {
            // The command shows the body to the operator. The failure depends only on the status.
            let _ = self.read(MAX_BODY).await;
        }
        Err(failure)
    }

    /// Reads the body as JSON of at most 64 KiB.
    ///
    /// # Errors
    ///
    /// The body is too large, incomplete or not JSON, by its type or by its text.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let body = self.body(MAX_BODY).await?;
        serde_json::from_slice(&body).map_err(|_| FailureReason::BadAnswer.into())
    }

    /// Reads the body up to a limit in bytes. Its type must be JSON.
    ///
    /// # Errors
    ///
    /// The body is too large or incomplete, or its type is not JSON.
    pub async fn body(self, limit: usize) -> Result<Bytes, Failure> {
        let headers = self.response.headers();
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") || !is_json(headers) {
            self.client.store_last_response(self.status(), b"");
            return Err(FailureReason::BadAnswer.into());
        }
        self.read(limit).await
    }

    /// Reads a body of any type and of at most 64 KiB.
    ///
    /// # Errors
    ///
    /// The body is too large or incomplete.
    pub async fn bytes(self) -> Result<Bytes, Failure> {
        self.read(MAX_BODY).await
    }

    async fn read(self, limit: usize) -> Result<Bytes, Failure> {
        let PendingResponse { client, received, mut response } = self;
        client.store_last_response(response.status(), b"");
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(FailureReason::TooLarge.into());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > limit {
                return Err(FailureReason::TooLarge.into());
            }
            body.extend_from_slice(&chunk);
        }
        client.store_last_response(response.status(), &body);
        client.mark_used(clock::read_since(received));
        Ok(body.freeze())
    }
}

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(allowed(addresses)?)
        })
    }
}

/// Removes refused addresses.
fn allowed(addresses: impl Iterator<Item = SocketAddr>) -> Result<Addrs, AddressRefused> {
    let (refused, allowed): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses.partition(|address| is_refused(address.ip()));
    if allowed.is_empty() && !refused.is_empty() { Err(AddressRefused) } else { Ok(Box::new(allowed.into_iter())) }
}

fn is_json(headers: &HeaderMap) -> bool {
    // Without a type, the text decides.
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return true };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The failure for a status other than 200.
pub fn status_failure(status: StatusCode, headers: &HeaderMap) -> Failure {
    let cause = match status.as_u16() {
        401 | 403 => FailureReason::KeyRefused,
        402 => FailureReason::NoCredit,
        429 => FailureReason::RateLimited,
        300..=399 => FailureReason::Redirect,
        400..=499 => FailureReason::Http4xx,
        500..=599 => FailureReason::Http5xx,
        _ => FailureReason::BadAnswer,
    };
    let may_request_wait = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    Failure { retry_after: may_request_wait.then(|| retry_after(headers)).flatten(), ..cause.into() }
}

/// The wait that a service requests: `Retry-After` in seconds or as a date, else `X-RateLimit-Reset`. Dates are compared with the `Date`
/// header, which is the service's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |text: &str| rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let until = |time: Timestamp| Duration::try_from(time.duration_since(date(text("date")?)?)).ok();
    if let Some(retry_after) = text("retry-after") {
        return retry_after.parse().ok().map(Duration::from_secs).or_else(|| until(date(retry_after)?));
    }
    until(Timestamp::from_second(text("x-ratelimit-reset")?.parse().ok()?).ok()?)
}

/// Classifies an error. The error itself contains the URL and must not leave this function.
fn failure(error: &reqwest::Error) -> Failure {
    let chain = || std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| source(*error));
    if chain().any(|error| error.is::<rustls::Error>()) {
        return FailureReason::Tls.into();
    }
    if chain().any(|error| error.is::<AddressRefused>()) {
        return Failure { phase: RequestPhase::NotSent, ..FailureReason::AddressRefused.into() };
    }
    let kind = chain().find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    if error.is_connect() {
        let phase = if kind == Some(io::ErrorKind::ConnectionRefused) { RequestPhase::NotSent } else { RequestPhase::MaybeSent };
        return Failure { phase, ..FailureReason::Connect.into() };
    }
    if error.is_timeout() {
        return FailureReason::Timeout.into();
    }
    if let Some(http) = chain().find_map(|error| error.downcast_ref::<hyper::Error>()) {
        if http.is_parse_too_large() {
            return FailureReason::TooLarge.into();
        }
        if http.is_parse() {
            return FailureReason::BadAnswer.into();
        }
    }
    if error.is_builder() {
        // The template produced an invalid URL.
        return FailureReason::Connect.into();
    }
    // Only a request that was queued when its connection closed was certainly not sent.
    let is_canceled = chain().filter_map(|error| error.downcast_ref::<hyper::Error>()).any(hyper::Error::is_canceled);
    Failure { phase: if is_canceled { RequestPhase::NotSent } else { RequestPhase::MaybeSent }, ..FailureReason::Reset.into() }
}

/// The source of an error. An `io::Error` does not report the error that it wraps as its source.
fn source<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
