//! Risk services: the adapters that query them, and the middleware stack before each adapter.
//!
//! # Layout
//!
//! - `Provider` is the trait of the adapters: `minfraud`, `ipqs`, `abuseipdb`, `crowdsec`, `crowdsec_cti` and `http`.
//! - `stack` puts the layers of `middleware` in order.
//! - `cache`, `shared_cache`, `single_flight`, `breaker`, `quota` and `retry_budget` are the state of the layers.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use ::http::HeaderValue;
use secrecy::ExposeSecret as _;
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use smol_str::SmolStr;
use tokio::time::Instant;

use riskgate_config::{
    env::ConfigError,
    services::{ProviderOptions, SentFields, ServiceConfig},
};
use riskgate_engine::{
    client_ip::host_of,
    evidence::{Answer, FailureReason, Outdated, Risk},
    personal::Personal,
    service::Service,
    sign_in::SignIn,
    time::ClockReading,
};
use riskgate_http_client::{Client, failure::Failure};
use riskgate_runtime::mode::RuntimeMode;

pub mod abuseipdb;

mod block_list_status;

pub mod breaker;

pub mod cache;

pub mod crowdsec;

pub mod crowdsec_cti;

pub mod fields;

pub mod http;

pub mod ipqs;

mod log_limit;

pub mod middleware;

pub mod minfraud;

pub mod quota;

pub mod retry_budget;

pub mod shared_cache;

pub mod single_flight;

pub mod stack;

pub mod template;

/// A risk service. The adapters in this crate implement it; tests run them against a local server.
pub trait Provider: Send + Sync {
    /// Queries the service about one address. `Ok(None)` means "nothing known" and may be cached; a failure is not.
    fn query<'a>(&'a self, request: &'a ProviderRequest) -> ProviderFuture<'a>;

    /// Why the adapter could not refresh the answers that it has in memory, and their age.
    fn outdated(&self, _now: Instant) -> Option<Outdated> {
        None
    }
}

/// The future of a query.
pub type ProviderFuture<'a> = Pin<Box<dyn Future<Output = Result<Option<Answer>, Failure>> + Send + 'a>>;

/// A provider with the settings of its stack.
pub struct Adapter {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// The fields of a sign-in that its requests contain, besides the address.
    pub request_fields: RequestFields,
    /// How its answers are cached.
    pub cache_policy: CachePolicy,
}

/// How the answers of a service are cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CachePolicy {
    /// They are cached as `CacheConfig` configures.
    Configured,
    /// They are cached for these times at most: they are decisions, which change within minutes.
    AtMost {
        /// How long an answer is fresh.
        ttl: Duration,
        /// The maximum age of an answer that replaces a failed call.
        max_age: Duration,
    },
    /// They are not cached: the adapter has them in memory, so a query costs nothing.
    Bypass,
}

/// The fields of a sign-in that a request contains besides the address: those that the service's API has and `SEND` allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestFields {
    /// The user agent.
    pub user_agent: bool,
    /// The device id.
    pub device_id: bool,
    /// The `Accept-Language` header.
    pub accept_language: bool,
    /// A hash of the user name.
    pub user: bool,
    /// The hour of the day.
    pub hour: bool,
}

/// The data that a service receives about a sign-in. Every field that is sent is part of the cache key.
#[derive(Debug, Clone)]
pub struct ProviderRequest {
    /// The public address.
    pub ip: Personal<IpAddr>,
    /// The user agent.
    pub user_agent: Option<Personal<SmolStr>>,
    /// The device id.
    pub device_id: Option<Personal<SmolStr>>,
    /// The `Accept-Language` header.
    pub accept_language: Option<Personal<SmolStr>>,
    /// The user name, for APIs that define a hash of it.
    pub user: Option<Personal<SmolStr>>,
    /// The hour of the day in UTC, 0 to 23.
    pub hour: Option<u8>,
    /// When the sign-in arrived. Not sent.
    pub received: ClockReading,
    /// Whether the address is trusted. Not sent.
    pub address_trust: AddressTrust,
    /// The pool of the account that the quota counts the request for. Not sent.
    pub pool: SmolStr,
    /// The user name of that account. Not sent.
    pub account: Personal<SmolStr>,
}

/// Whether an address was only asserted by a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressTrust {
    /// It is signed, or a trusted caller sent it.
    Trusted,
    /// Anyone could have sent it.
    Untrusted,
}

/// The provider of a service whose key is not resolved yet.
struct MissingKey;

/// Builds the adapter of a service. It connects and parses certificates on the first request.
///
/// # Errors
///
/// A setting that only the adapter can check, such as a key that is not a valid header value.
pub fn open(config: &ServiceConfig, client: Client, runtime_mode: RuntimeMode) -> Result<Adapter, ConfigError> {
    match &config.options {
        ProviderOptions::Minfraud { account_id, product } => minfraud::adapter(config, account_id, *product, client),
        ProviderOptions::Ipqs => Ok(ipqs::adapter(config, client)),
        ProviderOptions::Abuseipdb => abuseipdb::adapter(config, client),
        ProviderOptions::Crowdsec => crowdsec::adapter(config, client, runtime_mode),
        ProviderOptions::CrowdsecCti => crowdsec_cti::adapter(config, client),
        ProviderOptions::Http(options) => http::adapter(config, options, client),
    }
}

/// The adapter of a service whose key is not resolved yet. Each request fails with `KeyRefused`.
pub fn without_key() -> Adapter {
    Adapter::for_address(Arc::new(MissingKey))
}

/// Builds a header whose value is never printed.
fn secret_header(variable: &str, value: &str) -> Result<HeaderValue, ConfigError> {
    let mut header = HeaderValue::from_str(value)
        .map_err(|_| ConfigError { variable: variable.to_owned(), problem: "contains characters that are not allowed in a header".to_owned() })?;
    header.set_sensitive(true);
    Ok(header)
}

/// The header with the key of a service.
fn key_header(variable: &str, config: &ServiceConfig) -> Result<HeaderValue, ConfigError> {
    secret_header(variable, config.key.as_ref().map(|key| key.expose_secret()).unwrap_or_default())
}

/// Maps a service's score to the last band that it reaches, as (lower bound, riskgate's score). Below the first band, the address is neutral.
fn risk_in_bands(value: f64, bands: &[(f64, f64)]) -> Risk {
    bands.iter().rev().find(|(from, _)| value >= *from).map_or(Risk::Neutral, |(_, score)| Risk::Score(*score))
}

impl Provider for MissingKey {
    fn query<'a>(&'a self, _request: &'a ProviderRequest) -> ProviderFuture<'a> {
        Box::pin(std::future::ready(Err(FailureReason::KeyRefused.into())))
    }
}

impl Adapter {
    /// An adapter whose requests contain only the address, and whose answers are cached as configured.
    fn for_address(provider: Arc<dyn Provider>) -> Self {
        Adapter { provider, request_fields: RequestFields::default(), cache_policy: CachePolicy::Configured }
    }
}

impl RequestFields {
    /// The fields that either contains.
    pub fn union(self, other: Self) -> Self {
        RequestFields {
            user_agent: self.user_agent || other.user_agent,
            device_id: self.device_id || other.device_id,
            accept_language: self.accept_language || other.accept_language,
            user: self.user || other.user,
            hour: self.hour || other.hour,
        }
    }

    /// The fields that `SEND` allows.
    pub fn limited_to(self, sent: SentFields) -> Self {
        let (device, user) = match sent {
            SentFields::Ip => (false, false),
            SentFields::IpDevice => (true, false),
            SentFields::All => (true, true),
        };
        RequestFields {
            user_agent: self.user_agent && device,
            device_id: self.device_id && device,
            accept_language: self.accept_language && device,
            user: self.user && user,
            hour: self.hour,
        }
    }
}

impl ProviderRequest {
    /// Builds the request about a sign-in. `None` if the sign-in has no public address.
    pub fn from_sign_in(sign_in: &SignIn, fields: RequestFields) -> Option<Self> {
        let context = &sign_in.context;
        let ip = context.ip.public()?;
        Some(ProviderRequest {
            ip: Personal::new(ip),
            user_agent: context.user_agent.as_ref().filter(|_| fields.user_agent).map(|agent| agent.text.clone()),
            device_id: context.device_id.clone().filter(|_| fields.device_id),
            accept_language: context.accept_language.clone().filter(|_| fields.accept_language),
            user: Some(sign_in.user.name.clone()).filter(|name| fields.user && !name.expose().is_empty()),
            hour: fields.hour.then(|| u8::try_from(sign_in.at.timestamp().to_zoned(jiff::tz::TimeZone::UTC).hour()).unwrap_or_default()),
            received: sign_in.received,
            address_trust: if context.is_trusted() { AddressTrust::Trusted } else { AddressTrust::Untrusted },
            pool: sign_in.pool.clone(),
            account: sign_in.user.name.clone(),
        })
    }

    /// The cache key: a keyed hash of the service and of each field that is sent, with its length, so different requests have different keys.
    pub fn cache_key(&self, service: Service, secret: &[u8; 16]) -> u128 {
        // All fields are named, so a new one is not forgotten here.
        let ProviderRequest { ip, user_agent, device_id, accept_language, user, hour, received: _, address_trust: _, pool: _, account: _ } = self;
        let mut hasher = SipHasher24::new_with_key(secret);
        let mut add = |bytes: Option<&[u8]>| {
            use std::hash::Hasher as _;
            // Lengths start at 1, so an absent field and an empty one differ.
            hasher.write(&bytes.map_or(0, |bytes| bytes.len() as u64 + 1).to_le_bytes());
            hasher.write(bytes.unwrap_or_default());
        };
        add(Some(service.as_label().as_bytes()));
        match host_of(*ip.expose()) {
            IpAddr::V4(v4) => add(Some(&v4.octets())),
            IpAddr::V6(v6) => add(Some(&v6.octets())),
        }
        for text in [user_agent, device_id, accept_language, user] {
            add(text.as_ref().map(|text| text.expose().as_bytes()));
        }
        add(hour.as_ref().map(std::slice::from_ref));
        hasher.finish128().as_u128()
    }

    /// Whether it contains text that the client chose. Then the text may be the reason for a refusal, and not the service.
    pub fn has_client_text(&self) -> bool {
        self.user_agent.is_some() || self.device_id.is_some() || self.accept_language.is_some() || self.user.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(ip: &str) -> ProviderRequest {
        ProviderRequest { ip: Personal::new(ip.parse().expect("a valid address")), ..crate::middleware::tests::request() }
    }

    fn text(text: &str) -> Option<Personal<SmolStr>> {
        Some(Personal::new(text.into()))
    }

    #[test]
    fn different_requests_have_different_cache_keys() {
        let requests = [
            request("8.8.8.8"),
            request("8.8.4.4"),
            ProviderRequest { user_agent: text("a"), ..request("8.8.8.8") },
            ProviderRequest { device_id: text("a"), ..request("8.8.8.8") },
            ProviderRequest { user_agent: text("ab"), device_id: text("c"), ..request("8.8.8.8") },
            ProviderRequest { user_agent: text("a"), device_id: text("bc"), ..request("8.8.8.8") },
            ProviderRequest { user: text("x|8.8.8.8"), ..request("8.8.8.8") },
            ProviderRequest { user: text(""), ..request("8.8.8.8") },
            ProviderRequest { hour: Some(0), ..request("8.8.8.8") },
            ProviderRequest { hour: Some(1), ..request("8.8.8.8") },
        ];
        let mut keys: Vec<u128> = Service::ALL.iter().flat_map(|service| requests.iter().map(|request| request.cache_key(*service, &[7; 16]))).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), requests.len() * Service::ALL.len());
    }

    #[test]
    fn ipv6_addresses_are_cached_by_64_bit_prefix() {
        let key = |ip| request(ip).cache_key(Service::Http, &[7; 16]);
        assert_eq!(key("2001:4860:4860:1::1"), key("2001:4860:4860:1:ffff::2"));
        assert_ne!(key("2001:4860:4860:1::1"), key("2001:4860:4860:2::1"));
    }

    #[test]
    fn sent_fields_follow_the_setting() {
        let all = RequestFields { user_agent: true, device_id: true, accept_language: true, user: true, hour: true };
        assert_eq!(all.limited_to(SentFields::Ip), RequestFields { hour: true, ..RequestFields::default() });
        assert_eq!(all.limited_to(SentFields::IpDevice), RequestFields { user: false, ..all });
        assert_eq!(all.limited_to(SentFields::All), all);
        assert_eq!(RequestFields::default().limited_to(SentFields::All), RequestFields::default());
    }
}
