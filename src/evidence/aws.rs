//! The surrounding AWS configuration: region, credentials, endpoints, as every AWS program finds them.
//!
//! Credentials are fetched by a task: a sign-in whose deadline passes stops waiting, and a later one finds them.

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
const FETCH: Duration = Duration::from_secs(30);

/// How soon before their end credentials are fetched again, while they are still used.
const RENEW: Duration = Duration::from_secs(300);

/// How soon before their end credentials are no longer used.
const MARGIN: Duration = Duration::from_secs(5);

/// How soon after a fetch the next one begins.
const AGAIN: Duration = Duration::from_secs(5);

/// How often the same fault is logged at most.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// Region and credentials of the surrounding AWS configuration. Copies share them.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    /// The configuration, once it was loaded.
    config: OnceLock<SdkConfig>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    credentials: Option<Credentials>,
    fetch: Option<Fetch>,
    /// When the last fetch ended, and why it failed.
    ended: Option<(Instant, Option<AwsFault>)>,
    logged: Option<(Instant, AwsFault)>,
}

/// A fetch under way.
type Fetch = Shared<BoxFuture<'static, Result<(), AwsFault>>>;

/// Why a call to AWS cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AwsFault {
    /// A profile of IAM Identity Center.
    #[error("the AWS profile signs in through SSO (IAM Identity Center), which is not read; run: eval \"$(aws configure export-credentials --format env)\"")]
    Sso,
    /// A profile that runs a program.
    #[error("the AWS profile uses credential_process, which is not run; run: eval \"$(aws configure export-credentials --format env)\"")]
    Process,
    /// A profile of `aws login`.
    #[error("the AWS profile uses a login session, which is not read; run: eval \"$(aws configure export-credentials --format env)\"")]
    Login,
    /// `AWS_PROFILE`, or a profile that it refers to, is not defined.
    #[error(
        "AWS_PROFILE, or a profile that it refers to, is not defined in ~/.aws/config or ~/.aws/credentials; `aws configure list-profiles` prints those that are"
    )]
    UnknownProfile,
    /// The profile cannot be used as it is written.
    #[error("the AWS profile is not valid or incomplete; check ~/.aws/config, or run: eval \"$(aws configure export-credentials --format env)\"")]
    BadProfile,
    /// Nothing names credentials.
    #[error("no AWS credentials were found; set AWS_PROFILE, or run: eval \"$(aws configure export-credentials --format env)\"")]
    Missing,
    /// They are past their end.
    #[error("the AWS credentials have expired; fetch new ones: eval \"$(aws configure export-credentials --format env)\"")]
    Expired,
    /// Whoever hands them out does not.
    #[error("AWS credentials could not be fetched: the service that issues them (STS, the container's or the instance's metadata) refused or did not answer")]
    NotIssued,
    /// No region.
    #[error("no AWS region is set; set AWS_REGION, or region in the AWS profile")]
    NoRegion,
}

// === impl Identity ===

impl Identity {
    /// The surrounding identity; nothing is read before the first call.
    pub fn surrounding() -> Self {
        Identity(Arc::new(Inner { config: OnceLock::new(), state: Mutex::default() }))
    }

    /// The identity of a configuration of the caller's.
    pub fn of(config: SdkConfig) -> Self {
        Identity(Arc::new(Inner { config: OnceLock::from(config), state: Mutex::default() }))
    }

    /// The configuration with credentials in force. Whoever stops waiting does not end the fetch.
    ///
    /// # Errors
    ///
    /// There are no credentials.
    pub async fn ready(&self) -> Result<&SdkConfig, AwsFault> {
        let fetch = {
            let mut state = self.state();
            let left = state.credentials.as_ref().map(time_left);
            let is_usable = left.is_some_and(|left| left > MARGIN);
            let is_due = state.ended.is_none_or(|(ended, _)| ended.elapsed() >= AGAIN);
            if state.fetch.is_none() && is_due && left.is_none_or(|left| left <= RENEW) {
                state.fetch = Some(self.fetch());
            }
            match (&state.fetch, state.ended) {
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

    /// The credentials in force.
    ///
    /// # Errors
    ///
    /// There are none.
    pub async fn credentials(&self) -> Result<Credentials, AwsFault> {
        self.ready().await?;
        self.state().credentials.clone().ok_or(AwsFault::Missing)
    }

    /// Starts a fetch.
    fn fetch(&self) -> Fetch {
        let identity = self.clone();
        let task = tokio::spawn(async move {
            let fetched = tokio::time::timeout(FETCH, identity.load()).await.unwrap_or(Err(AwsFault::NotIssued));
            let mut state = identity.state();
            let fault = fetched.as_ref().err().copied();
            if let Ok(credentials) = fetched {
                state.credentials = Some(credentials);
            }
            (state.fetch, state.ended) = (None, Some((Instant::now(), fault)));
            let Some(fault) = fault else { return Ok(()) };
            if state.logged.is_none_or(|(at, logged)| logged != fault || at.elapsed() >= LOG_AGAIN) {
                state.logged = Some((Instant::now(), fault));
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
        // Nothing in here panics half-way through a change.
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

// === impl AwsFault ===

impl AwsFault {
    /// The fault behind an error of the SDK, whose kinds are told by their text alone.
    fn of(error: &CredentialsError) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            text.push('\n');
            text.push_str(&error.to_string());
            source = error.source();
        }
        let says = |part: &str| text.contains(part);
        let is_feature = says("cargo feature");
        if is_feature && says("sso") {
            AwsFault::Sso
        } else if is_feature && says("process") {
            AwsFault::Process
        } else if is_feature && says("login") {
            AwsFault::Login
        } else if says("was not defined") || says("not found in configuration") {
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

/// How long credentials may still be used.
fn time_left(credentials: &Credentials) -> Duration {
    // System time, as whoever issued them counts it. Most have no end, and then no clock is read.
    credentials
        .expiry()
        .map_or(Duration::MAX, |end| end.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(UNIX_EPOCH.elapsed().unwrap_or_default()))
}

/// The surrounding configuration, with ring as the one crypto library.
fn loader() -> ConfigLoader {
    let https = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(https)
}

/// Where a service of a region is asked: what `AWS_ENDPOINT_URL` or its form for the service says, else AWS's own address.
pub fn endpoint(config: &SdkConfig, service: (&str, &str), region: &str) -> String {
    let (id, host) = service;
    let key = aws_types::service_config::ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key)).or_else(|| config.endpoint_url().map(str::to_owned));
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    own.unwrap_or_else(|| format!("https://{host}.{region}.{domain}"))
}
