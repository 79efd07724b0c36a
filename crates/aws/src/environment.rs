//! The AWS configuration of the environment: region, credentials and endpoints, from the same sources as other AWS programs.
//!
//! A background task fetches the credentials. A sign-in whose deadline passes stops waiting, and a later one uses the result.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError, future},
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::time::Instant;

/// Longest time to fetch credentials.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Credentials that expire within this time are fetched again while they are still used.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// Credentials that expire within this time are no longer used.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5);

/// Shortest time between two fetches.
const FETCH_INTERVAL: Duration = Duration::from_secs(5);

/// Shortest time between two log lines about the same problem.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Region and credentials of an AWS configuration. Clones share them.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    /// The configuration; empty until it is loaded.
    config: OnceLock<SdkConfig>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    credentials: Option<Credentials>,
    fetch: Option<Fetch>,
    /// When the last fetch ended, and the error if it failed.
    last_fetch: Option<(Instant, Option<AwsFault>)>,
    last_logged: Option<(Instant, AwsFault)>,
}

/// A fetch in progress, which several callers can await.
type Fetch = Shared<BoxFuture<'static, Result<(), AwsFault>>>;

/// Why a call to AWS cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AwsFault {
    /// The profile uses IAM Identity Center.
    #[error(
        "the AWS profile signs in through SSO (IAM Identity Center), which is not supported; run: eval \"$(aws configure export-credentials --format env)\""
    )]
    Sso,
    /// The profile uses `credential_process`.
    #[error("the AWS profile uses credential_process, which is not supported; run: eval \"$(aws configure export-credentials --format env)\"")]
    Process,
    /// The profile uses `aws login`.
    #[error("the AWS profile uses a login session, which is not supported; run: eval \"$(aws configure export-credentials --format env)\"")]
    Login,
    /// `AWS_PROFILE`, or a profile that it refers to, is not defined.
    #[error(
        "AWS_PROFILE, or a profile that it refers to, is not defined in ~/.aws/config or ~/.aws/credentials; `aws configure list-profiles` lists those that are"
    )]
    UnknownProfile,
    /// The profile is invalid or incomplete.
    #[error("the AWS profile is invalid or incomplete; check ~/.aws/config, or run: eval \"$(aws configure export-credentials --format env)\"")]
    BadProfile,
    /// No credentials are configured.
    #[error("no AWS credentials were found; set AWS_PROFILE, or run: eval \"$(aws configure export-credentials --format env)\"")]
    Missing,
    /// The credentials have expired.
    #[error("the AWS credentials have expired; fetch new ones: eval \"$(aws configure export-credentials --format env)\"")]
    Expired,
    /// The issuer of the credentials refused or did not answer.
    #[error("AWS credentials could not be fetched: the service that issues them (STS, the container's or the instance's metadata) refused or did not answer")]
    NotIssued,
    /// No region is configured.
    #[error("no AWS region is set; set AWS_REGION, or region in the AWS profile")]
    NoRegion,
}

impl Identity {
    /// The identity of the environment. Nothing is read before the first call.
    pub fn from_environment() -> Self {
        Identity(Arc::new(Inner { config: OnceLock::new(), state: Mutex::default() }))
    }

    /// The identity of a given configuration.
    pub fn from_config(config: SdkConfig) -> Self {
        Identity(Arc::new(Inner { config: OnceLock::from(config), state: Mutex::default() }))
    }

    /// The configuration, once valid credentials are available. Dropping the future does not cancel the fetch.
    ///
    /// # Errors
    ///
    /// No credentials are available.
    pub async fn ready(&self) -> Result<&SdkConfig, AwsFault> {
        let fetch = {
            let mut state = self.state();
            let left = state.credentials.as_ref().map(time_left);
            let is_usable = left.is_some_and(|left| left > EXPIRY_MARGIN);
            let is_due = state.last_fetch.is_none_or(|(ended, _)| ended.elapsed() >= FETCH_INTERVAL);
            if state.fetch.is_none() && is_due && left.is_none_or(|left| left <= RENEW_BEFORE) {
                state.fetch = Some(self.fetch());
            }
            match (&state.fetch, state.last_fetch) {
                _ if is_usable => None,
                (Some(fetch), _) => Some(fetch.clone()),
                (None, Some((_, Some(fault)))) => return Err(fault),
                (None, _) => return Err(AwsFault::Expired),
            }
        };
        if let Some(fetch) = fetch {
            fetch.await?;
        }
        self.0.config.get().ok_or(AwsFault::Missing)
    }

    /// The current credentials.
    ///
    /// # Errors
    ///
    /// No credentials are available.
    pub async fn credentials(&self) -> Result<Credentials, AwsFault> {
        self.ready().await?;
        self.state().credentials.clone().ok_or(AwsFault::Missing)
    }

    /// Starts a fetch in the background.
    fn fetch(&self) -> Fetch {
        let identity = self.clone();
        let task = tokio::spawn(async move {
            let fetched = tokio::time::timeout(FETCH_TIMEOUT, identity.load()).await.unwrap_or(Err(AwsFault::NotIssued));
            let mut state = identity.state();
            let fault = fetched.as_ref().err().copied();
            if let Ok(credentials) = fetched {
                state.credentials = Some(credentials);
            }
            (state.fetch, state.last_fetch) = (None, Some((Instant::now(), fault)));
            let Some(fault) = fault else { return Ok(()) };
            if state.last_logged.is_none_or(|(at, logged)| logged != fault || at.elapsed() >= LOG_INTERVAL) {
                state.last_logged = Some((Instant::now(), fault));
                tracing::warn!(problem = %fault, "no AWS credentials");
            }
            Err(fault)
        });
        async move { task.await.unwrap_or(Err(AwsFault::NotIssued)) }.boxed().shared()
    }

    async fn load(&self) -> Result<Credentials, AwsFault> {
        let config = match self.0.config.get() {
            Some(config) => config,
            None => {
                let config = loader().load().await;
                self.0.config.get_or_init(|| config)
            }
        };
        let provider = config.credentials_provider().ok_or(AwsFault::Missing)?;
        let credentials = provider.provide_credentials().await.map_err(|error| AwsFault::of(&error))?;
        if time_left(&credentials).is_zero() { Err(AwsFault::Expired) } else { Ok(credentials) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock panics in the middle of a change.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProvideCredentials for Identity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.credentials().await.map_err(CredentialsError::provider_error) })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl AwsFault {
    /// The problem behind an error of the SDK. The SDK has no type for most of them, so the text is matched.
    fn of(error: &CredentialsError) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            text.push('\n');
            text.push_str(&error.to_string());
            source = error.source();
        }
        let contains = |part: &str| text.contains(part);
        let is_feature = contains("cargo feature");
        if is_feature && contains("sso") {
            AwsFault::Sso
        } else if is_feature && contains("process") {
            AwsFault::Process
        } else if is_feature && contains("login") {
            AwsFault::Login
        } else if contains("was not defined") || contains("not found in configuration") {
            AwsFault::UnknownProfile
        } else if matches!(error, CredentialsError::InvalidConfiguration(_)) {
            AwsFault::BadProfile
        } else if matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
            AwsFault::Missing
        } else {
            AwsFault::NotIssued
        }
    }
}

/// How long the credentials remain valid.
fn time_left(credentials: &Credentials) -> Duration {
    // The expiry is in system time. Most credentials do not expire, and then no clock is read.
    credentials
        .expiry()
        .map_or(Duration::MAX, |end| end.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(UNIX_EPOCH.elapsed().unwrap_or_default()))
}

/// A loader for the configuration of the environment. It uses ring for TLS, so the program links only one crypto library.
fn loader() -> ConfigLoader {
    let https = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(https)
}

/// The endpoint of a service in a region: `AWS_ENDPOINT_URL`, or its variant for the service, else the public AWS endpoint.
pub fn endpoint(config: &SdkConfig, service: (&str, &str), region: &str) -> String {
    let (id, host) = service;
    let key = aws_types::service_config::ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let configured = key.ok().and_then(|key| config.service_config()?.load_config(key)).or_else(|| config.endpoint_url().map(str::to_owned));
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    configured.unwrap_or_else(|| format!("https://{host}.{region}.{domain}"))
}
