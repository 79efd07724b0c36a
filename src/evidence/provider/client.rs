//! The HTTP client before one service: no redirect, no proxy, no compression, a bounded answer, and errors as causes.
//!
//! Built at the first question, so that a process that asks nobody pays for nothing. A client's
//! errors name URLs, and a URL may hold a key: no error leaves this file but as a `Cause`.

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
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::{Failure, Reach};
use crate::{
    config::refused_ip::is_refused,
    event::Now,
    evidence::{
        Cause,
        resilience::{Face, cache::moment},
    },
};

/// The largest answer that is read.
const LARGEST: usize = 64 * 1024;

/// Reason codes that are kept of an answer, and how long each may be, in bytes.
const MOST_CODES: usize = 16;
const LONGEST_CODE: usize = 64;

/// How long an idle connection is believed to be alive. In Lambda the process may have been frozen meanwhile, whatever its clock says.
const IDLE_LAMBDA: Duration = Duration::from_secs(30);
const IDLE_SIDECAR: Duration = Duration::from_secs(55);

/// How long a connection may take that no sign-in waits for.
const BACKGROUND_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Idle connections that are kept to a service.
const POOL_LAMBDA: usize = 2;
const POOL_SIDECAR: usize = 32;

/// How services are asked over TLS: the trusted roots, parsed at the first use.
#[derive(Clone, Default)]
pub struct Tls {
    config: Arc<OnceLock<ClientConfig>>,
    own: Arc<[CertificateDer<'static>]>,
}

/// The client before one service; clones of it share its connections.
#[derive(Clone)]
pub struct Client {
    connect_timeout: Duration,
    face: Face,
    tls: Tls,
    resolver: Arc<dyn Resolve>,
    connections: Arc<Mutex<Connections>>,
    heard: Arc<Mutex<Option<Heard>>>,
    /// Whether a connection is being opened behind the sign-ins.
    connecting: Arc<AtomicBool>,
}

/// The last answer of a service as it came. Kept for a command only, which shows it to whoever tries a key.
#[derive(Clone)]
pub struct Heard {
    /// The status.
    pub status: u16,
    /// The body as far as it was read, at most 64 KiB.
    pub body: Bytes,
}

/// A request that was answered; the body has not been read.
pub struct Exchange<'a> {
    client: &'a Client,
    received: Now,
    response: Response,
}

#[derive(Default)]
struct Connections {
    client: Option<reqwest::Client>,
    /// When the last answer left a connection to use again.
    used: Option<Now>,
}

/// Looks names up with the system's resolver and drops what no service may be: link-local addresses and others where clouds serve credentials.
struct Resolver;

/// Marks the end of a connection that is opened in the background, however it ends.
struct Connecting(Arc<AtomicBool>);

/// A name has addresses, and each is one that riskgate never calls.
#[derive(Debug, thiserror::Error)]
#[error("every address of the name is refused")]
struct AddressRefused;

// === impl Tls ===

impl Tls {
    /// Trusts these authorities beside Mozilla's.
    pub fn trusting(own: &[CertificateDer<'static>]) -> Self {
        Tls { own: own.into(), ..Tls::default() }
    }

    fn config(&self) -> ClientConfig {
        let trusted = || {
            let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            roots.add_parsable_certificates(self.own.iter().cloned());
            config(roots)
        };
        self.config.get_or_init(trusted).clone()
    }
}

fn config(roots: RootCertStore) -> ClientConfig {
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

// === impl Client ===

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("face", &self.face).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(connect_timeout: Duration, face: Face, tls: Tls) -> Self {
        Client { connect_timeout, face, tls, resolver: Arc::new(Resolver), connections: Arc::default(), heard: Arc::default(), connecting: Arc::default() }
    }

    /// Opens a connection to an origin and leaves it to the first question: a `HEAD` of the origin, with no key and of nobody.
    ///
    /// Whatever comes back is as good: what has no connection now is seen by the first question.
    pub async fn warm(&self, origin: &str, received: Now) {
        let Ok(client) = self.connections(moment(received)) else { return };
        if client.head(origin).send().await.is_ok() {
            self.mark_used(moment(received));
        }
    }

    /// The service's last answer, for a command.
    pub fn heard(&self) -> Option<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends one request and returns when the answer's head is there. The caller keeps the time.
    ///
    /// # Errors
    ///
    /// Every way in which no answer comes.
    pub async fn send(&self, received: Now, request: impl FnOnce(&reqwest::Client) -> RequestBuilder) -> Result<Exchange<'_>, Failure> {
        let now = moment(received);
        let client = self.connections(now)?;
        match request(&client).send().await {
            Ok(response) => Ok(Exchange { client: self, received, response }),
            Err(error) => {
                if error.is_connect() && error.is_timeout() {
                    self.connect_in_background(&error, received);
                }
                Err(failure(&error))
            }
        }
    }

    /// Opens a connection that takes longer than one sign-in may wait, for those that follow; one at a time.
    ///
    /// Like `warm` it sends a `HEAD` of the origin. Sign-ins go on with `CONNECT_TIMEOUT` until it is there.
    fn connect_in_background(&self, error: &reqwest::Error, received: Now) {
        let Some(origin) = error.url().map(|url| url.origin().ascii_serialization()) else { return };
        if self.face == Face::Command || self.connecting.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let _ends = Connecting(Arc::clone(&this.connecting));
            let Ok(client) = this.build(BACKGROUND_CONNECT_TIMEOUT) else { return };
            let head = client.head(origin).timeout(BACKGROUND_CONNECT_TIMEOUT).send();
            if head.await.is_ok() {
                *this.connections.lock().unwrap_or_else(PoisonError::into_inner) = Connections { client: Some(client), used: Some(moment(received)) };
            }
        });
    }

    /// The client to use.
    fn connections(&self, now: Now) -> Result<reqwest::Client, Failure> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.used.is_some_and(|used| age(used, now) >= self.idle_time()) {
            // Frozen or idle for so long that a live-looking connection may lead nowhere: start anew.
            *connections = Connections::default();
        }
        let client = match &connections.client {
            Some(client) => client.clone(),
            None => connections.client.insert(self.build(self.connect_timeout)?).clone(),
        };
        Ok(client)
    }

    fn build(&self, connect_timeout: Duration) -> Result<reqwest::Client, Failure> {
        let pool = match self.face {
            Face::Lambda | Face::Command => POOL_LAMBDA,
            Face::Sidecar => POOL_SIDECAR,
        };
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.config())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .user_agent(concat!("riskgate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(self.idle_time())
            .pool_max_idle_per_host(pool)
            .dns_resolver(Arc::clone(&self.resolver))
            .build()
            .map_err(|_| Cause::Connect.into())
    }

    fn idle_time(&self) -> Duration {
        match self.face {
            Face::Lambda | Face::Command => IDLE_LAMBDA,
            Face::Sidecar => IDLE_SIDECAR,
        }
    }

    fn mark_used(&self, now: Now) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).used = Some(now);
    }

    fn note(&self, status: StatusCode, body: &[u8]) {
        if self.face == Face::Command {
            let heard = Heard { status: status.as_u16(), body: Bytes::copy_from_slice(body) };
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
        }
    }
}

// === impl Connecting ===

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

// === impl Exchange ===

impl Exchange<'_> {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Goes on if the status is 200.
    ///
    /// # Errors
    ///
    /// What any other status means where a service has no meaning of its own for it.
    pub async fn accepted(self) -> Result<Self, Failure> {
        let status = self.status();
        if status == StatusCode::OK {
            return Ok(self);
        }
        let failure = refused(status, self.response.headers());
        if self.client.face == Face::Command {
            // What it says of itself helps whoever tries a key; the verdict on it is the status's.
            let _ = self.read(LARGEST).await;
        }
        Err(failure)
    }

    /// Reads the body as JSON of at most 64 KiB.
    ///
    /// # Errors
    ///
    /// Too large, no JSON by its own word or by its text, or broken off.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let body = self.body(LARGEST).await?;
        serde_json::from_slice(&body).map_err(|_| Cause::BadAnswer.into())
    }

    /// Reads the body, which has to call itself JSON, up to a limit.
    ///
    /// # Errors
    ///
    /// Too large, no JSON by its own word, or broken off.
    pub async fn body(self, limit: usize) -> Result<Bytes, Failure> {
        let headers = self.response.headers();
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") || !is_json(headers) {
            self.client.note(self.status(), b"");
            return Err(Cause::BadAnswer.into());
        }
        self.read(limit).await
    }

    /// Reads the body, whatever it calls itself, of at most 64 KiB.
    ///
    /// # Errors
    ///
    /// Too large, or broken off.
    pub async fn bytes(self) -> Result<Bytes, Failure> {
        self.read(LARGEST).await
    }

    async fn read(self, limit: usize) -> Result<Bytes, Failure> {
        let Exchange { client, received, mut response } = self;
        client.note(response.status(), b"");
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(Cause::TooLarge.into());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > limit {
                return Err(Cause::TooLarge.into());
            }
            body.extend_from_slice(&chunk);
        }
        client.note(response.status(), &body);
        client.mark_used(moment(received));
        Ok(body.freeze())
    }
}

// === impl Resolver ===

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(allowed(found)?)
        })
    }
}

/// The addresses of a name that may be called.
fn allowed(found: impl Iterator<Item = SocketAddr>) -> Result<Addrs, AddressRefused> {
    let (refused, allowed): (Vec<SocketAddr>, Vec<SocketAddr>) = found.partition(|address| is_refused(address.ip()));
    if allowed.is_empty() && !refused.is_empty() { Err(AddressRefused) } else { Ok(Box::new(allowed.into_iter())) }
}

/// The greater of the times that passed by the two clocks.
fn age(since: Now, now: Now) -> Duration {
    let wall = Duration::try_from(now.wall.duration_since(since.wall)).unwrap_or_default();
    now.mono.saturating_duration_since(since.mono).max(wall)
}

fn is_json(headers: &HeaderMap) -> bool {
    // A service that states no type is judged by its text.
    let Some(stated) = headers.get(header::CONTENT_TYPE) else { return true };
    let essence = stated.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// What a status other than 200 means.
pub fn refused(status: StatusCode, headers: &HeaderMap) -> Failure {
    let cause = match status.as_u16() {
        401 | 403 => Cause::KeyRefused,
        402 => Cause::NoCredit,
        429 => Cause::RateLimited,
        300..=399 => Cause::Redirect,
        400..=499 => Cause::Http4xx,
        500..=599 => Cause::Http5xx,
        _ => Cause::BadAnswer,
    };
    let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    Failure { retry_after: waits.then(|| retry_after(headers)).flatten(), ..cause.into() }
}

/// How long a service asks to be left alone: `Retry-After` in seconds or as a date, else `X-RateLimit-Reset`, dates held against the service's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |text: &str| rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let until = |moment: Timestamp| Duration::try_from(moment.duration_since(date(text("date")?)?)).ok();
    if let Some(asked) = text("retry-after") {
        return asked.parse().ok().map(Duration::from_secs).or_else(|| until(date(asked)?));
    }
    until(Timestamp::from_second(text("x-ratelimit-reset")?.parse().ok()?).ok()?)
}

/// Keeps a service's own reason codes: few, short and printable.
pub fn codes<'a>(stated: impl Iterator<Item = &'a str>) -> SmallVec<[SmolStr; 4]> {
    let fits = |code: &&str| (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    stated.filter(fits).take(MOST_CODES).map(SmolStr::from).collect()
}

/// Tells why a request failed. The error itself, which names the URL, ends here.
fn failure(error: &reqwest::Error) -> Failure {
    let chain = || std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| inner(*error));
    if chain().any(|error| error.is::<rustls::Error>()) {
        return Cause::Tls.into();
    }
    if chain().any(|error| error.is::<AddressRefused>()) {
        return Failure { reach: Reach::Never, ..Cause::AddressRefused.into() };
    }
    let kind = chain().find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    if error.is_connect() {
        let reach = if kind == Some(io::ErrorKind::ConnectionRefused) { Reach::Never } else { Reach::Perhaps };
        return Failure { reach, ..Cause::Connect.into() };
    }
    if error.is_timeout() {
        return Cause::Timeout.into();
    }
    if let Some(http) = chain().find_map(|error| error.downcast_ref::<hyper::Error>()) {
        if http.is_parse_too_large() {
            return Cause::TooLarge.into();
        }
        if http.is_parse() {
            return Cause::BadAnswer.into();
        }
    }
    if error.is_builder() {
        // A URL that the template made and no URL is.
        return Cause::Connect.into();
    }
    // Only a request that was still queued when its connection closed is certain not to have been written.
    let canceled = chain().filter_map(|error| error.downcast_ref::<hyper::Error>()).any(hyper::Error::is_canceled);
    Failure { reach: if canceled { Reach::Never } else { Reach::Perhaps }, ..Cause::Reset.into() }
}

/// An error's source; what an `io::Error` wraps is not its source but its inside.
fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inside) => Some(inside),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests;
