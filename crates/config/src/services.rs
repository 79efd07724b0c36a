//! Risk services: their URLs, the data that they receive, and the cache of their answers.

use std::time::Duration;

use riskgate_engine::{refused_ip::is_refused, service::Service};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use secrecy::SecretString;

use crate::{
    budget::BudgetConfig,
    env::{Reader, count_within, duration, number_within, one_of},
};

/// The configured services and the cache of their answers.
#[derive(Debug, Clone)]
pub struct ServicesConfig {
    /// The services that `PROVIDERS` names, in order and without duplicates.
    pub services: Vec<ServiceConfig>,
    /// The cache of their answers.
    pub cache: CacheConfig,
    /// Certificate authorities that are trusted in addition to Mozilla's list. `SERVICES_CA`.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Origins that may be called over plain HTTP. `ALLOW_PLAIN_HTTP`.
    pub plain_origins: Vec<String>,
}

/// How answers are cached.
#[derive(Debug, Clone, Copy)]
pub struct CacheConfig {
    /// Entries in memory for each service. `CACHE_CAPACITY`, default 20000.
    pub capacity: u64,
    /// How long an answer is fresh. `CACHE_TTL`, default 1 h.
    pub ttl: Duration,
    /// How long after that it may replace the answer of a failed call. `CACHE_STALE_FOR`, default 24 h.
    pub stale_for: Duration,
    /// How long the answer "nothing known" is cached. `CACHE_NEGATIVE_TTL`, default 10 min.
    pub negative_ttl: Duration,
}

/// One service's settings.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// Its origin, or for `http` the complete URL template. `<NAME>_URL`.
    pub url: String,
    /// Its key. `None` for `http`, and while the secret is not resolved.
    pub key: Option<SecretString>,
    /// Factor on its evidence, 0 to 4. `<NAME>_WEIGHT`.
    pub weight: f64,
    /// Maximum calls a day. `<NAME>_DAILY_LIMIT`.
    pub daily_limit: Option<u64>,
    /// Which fields it receives. `<NAME>_SEND`.
    pub send: SentFields,
    /// Timeout of one call. `<NAME>_TIMEOUT`.
    pub timeout: Duration,
    /// Timeout of DNS, TCP and TLS together. `CONNECT_TIMEOUT`.
    pub connect_timeout: Duration,
    /// Which service, with the settings that only this service has.
    pub options: ProviderOptions,
}

/// Which fields of a sign-in a service receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SentFields {
    /// The address.
    #[default]
    Ip,
    /// The address, the user agent and the device id.
    IpDevice,
    /// All of these and the user, in the form that the service's API defines.
    All,
}

/// A service with the settings that only it has.
#[derive(Debug, Clone)]
pub enum ProviderOptions {
    /// minFraud.
    Minfraud {
        /// `MINFRAUD_ACCOUNT_ID`.
        account_id: String,
        /// `MINFRAUD_SERVICE`.
        product: MinfraudProduct,
    },
    /// IPQualityScore.
    Ipqs,
    /// AbuseIPDB.
    Abuseipdb,
    /// A CrowdSec Local API.
    Crowdsec,
    /// CrowdSec CTI.
    CrowdsecCti,
    /// A custom service.
    Http(Box<HttpOptions>),
}

/// Which minFraud product is queried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinfraudProduct {
    /// Score.
    #[default]
    Score,
    /// Insights.
    Insights,
}

/// Request and response format of a custom service.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// `HTTP_METHOD`.
    pub method: HttpMethod,
    /// `HTTP_HEADERS`: names and secret values.
    pub headers: Vec<(String, SecretString)>,
    /// `HTTP_BODY`: a template with JSON-encoded placeholders.
    pub body: String,
    /// `HTTP_SCORE_POINTER`: RFC 6901 pointer to the score.
    pub score_pointer: String,
    /// `HTTP_SCORE_SCALE`: the score that means certain fraud.
    pub score_scale: f64,
    /// `HTTP_REASONS_POINTER`: RFC 6901 pointer to an array of strings.
    pub reasons_pointer: Option<String>,
}

/// The request method of a custom service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpMethod {
    /// POST with a body.
    #[default]
    Post,
    /// GET without a body.
    Get,
}

impl ServicesConfig {
    pub(super) fn read(r: &mut Reader<'_>, budget: &BudgetConfig) -> Self {
        let choices: Vec<(&str, Service)> = Service::ALL.iter().map(|service| (service.as_label(), *service)).collect();
        let mut named_services = r.list("PROVIDERS", |v| one_of(v, &choices));
        let mut seen = Vec::new();
        named_services.retain(|service| {
            !seen.contains(service) && {
                seen.push(*service);
                true
            }
        });
        let plain_origins = r.list("ALLOW_PLAIN_HTTP", |v| parse_origin(v).map(|(origin, _)| origin));
        let services = named_services.into_iter().map(|service| ServiceConfig::read(r, service, budget, &plain_origins)).collect();
        let cache = CacheConfig {
            capacity: r.parsed("CACHE_CAPACITY", count_within(1, 10_000_000)).unwrap_or(20_000),
            ttl: r.parsed("CACHE_TTL", duration).unwrap_or(Duration::from_secs(3600)),
            stale_for: r.parsed("CACHE_STALE_FOR", duration).unwrap_or(Duration::from_secs(24 * 3600)),
            negative_ttl: r.parsed("CACHE_NEGATIVE_TTL", duration).unwrap_or(Duration::from_secs(600)),
        };
        let authorities = r.parsed("SERVICES_CA", parse_certificates).unwrap_or_default();
        ServicesConfig { services, cache, authorities, plain_origins }
    }
}

impl ServiceConfig {
    /// Which service.
    pub fn service(&self) -> Service {
        self.options.service()
    }

    /// `scheme://host[:port]` of its URL.
    pub fn origin(&self) -> &str {
        let authority = self.url.find("://").map_or(0, |at| at + 3);
        let end = self.url[authority..].find(['/', '?']).map_or(self.url.len(), |at| authority + at);
        &self.url[..end]
    }

    fn read(r: &mut Reader<'_>, service: Service, budget: &BudgetConfig, plain_origins: &[String]) -> Self {
        let name = service.as_label().to_ascii_uppercase();
        let default = match service {
            Service::Minfraud => "https://minfraud.maxmind.com",
            Service::Ipqs => "https://www.ipqualityscore.com",
            Service::Abuseipdb => "https://api.abuseipdb.com",
            Service::Crowdsec => "http://127.0.0.1:8080",
            Service::CrowdsecCti => "https://cti.api.crowdsec.net",
            Service::Http => "",
        };
        let url_name = format!("{name}_URL");
        let url = r.parsed(&url_name, |v| parse_endpoint(v, service, plain_origins)).unwrap_or_else(|| default.to_owned());
        if url.is_empty() {
            r.add_fault(&url_name, "is needed because PROVIDERS names http");
        }
        let secret = (service != Service::Http).then(|| {
            let key = service.secret_variable();
            let value = r.secret(key);
            if r.is_secret_pending(key) { None } else { required(r, key, service, value) }
        });
        let options = match service {
            Service::Minfraud => {
                let account_id = r.text("MINFRAUD_ACCOUNT_ID");
                ProviderOptions::Minfraud {
                    account_id: required(r, "MINFRAUD_ACCOUNT_ID", service, account_id).unwrap_or_default(),
                    product: r.choice("MINFRAUD_SERVICE", &[("score", MinfraudProduct::Score), ("insights", MinfraudProduct::Insights)]),
                }
            }
            Service::Http => ProviderOptions::Http(Box::new(HttpOptions::read(r))),
            Service::Ipqs => ProviderOptions::Ipqs,
            Service::Abuseipdb => ProviderOptions::Abuseipdb,
            Service::Crowdsec => ProviderOptions::Crowdsec,
            Service::CrowdsecCti => ProviderOptions::CrowdsecCti,
        };
        ServiceConfig {
            url,
            weight: r.parsed(&format!("{name}_WEIGHT"), number_within(0.0, 4.0)).unwrap_or(1.0),
            timeout: r.parsed(&format!("{name}_TIMEOUT"), duration).unwrap_or(budget.provider).min(budget.total),
            connect_timeout: budget.connect,
            send: r.choice(&format!("{name}_SEND"), &[("ip", SentFields::Ip), ("ip_device", SentFields::IpDevice), ("all", SentFields::All)]),
            daily_limit: r.parsed(&format!("{name}_DAILY_LIMIT"), count_within(1, u64::from(u32::MAX))),
            key: secret.flatten(),
            options,
        }
    }
}

impl ProviderOptions {
    /// Which service.
    pub fn service(&self) -> Service {
        match self {
            ProviderOptions::Minfraud { .. } => Service::Minfraud,
            ProviderOptions::Ipqs => Service::Ipqs,
            ProviderOptions::Abuseipdb => Service::Abuseipdb,
            ProviderOptions::Crowdsec => Service::Crowdsec,
            ProviderOptions::CrowdsecCti => Service::CrowdsecCti,
            ProviderOptions::Http(_) => Service::Http,
        }
    }
}

impl HttpOptions {
    fn read(r: &mut Reader<'_>) -> Self {
        let pointer = |v: &str| if v.starts_with('/') { Ok(v.to_owned()) } else { Err("must be a JSON pointer, such as /data/score".to_owned()) };
        HttpOptions {
            method: r.choice("HTTP_METHOD", &[("POST", HttpMethod::Post), ("GET", HttpMethod::Get)]),
            headers: r.secret("HTTP_HEADERS").map(|text| parse_headers(r, &text)).unwrap_or_default(),
            body: r.text("HTTP_BODY").unwrap_or_else(|| r#"{"ip":{ip},"userAgent":{userAgent},"deviceId":{deviceId},"hour":{hour}}"#.to_owned()),
            score_pointer: r.parsed("HTTP_SCORE_POINTER", pointer).unwrap_or_else(|| "/score".to_owned()),
            score_scale: r.parsed("HTTP_SCORE_SCALE", number_within(f64::MIN_POSITIVE, 1e12)).unwrap_or(100.0),
            reasons_pointer: r.parsed("HTTP_REASONS_POINTER", pointer),
        }
    }
}

/// Adds a fault when a required variable is unset.
fn required<T>(r: &mut Reader<'_>, name: &str, service: Service, value: Option<T>) -> Option<T> {
    if value.is_none() {
        r.add_fault(name, format!("is needed because PROVIDERS names {}", service.as_label()));
    }
    value
}

/// Parses the PEM certificates of certificate authorities.
fn parse_certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = certificates
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| "must be PEM certificates, starting with -----BEGIN CERTIFICATE-----".to_owned())?;
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|_| format!("certificate {} cannot be read", number + 1))?;
    }
    Ok(certificates)
}

/// Parses `Name: value` lines. The values are secrets.
fn parse_headers(r: &mut Reader<'_>, text: &SecretString) -> Vec<(String, SecretString)> {
    use secrecy::ExposeSecret;
    let mut headers = Vec::new();
    for (number, line) in text.expose_secret().lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.split_once(':') {
            Some((name, value)) if http::HeaderName::try_from(name.trim()).is_ok() && http::HeaderValue::try_from(value.trim()).is_ok() => {
                headers.push((name.trim().to_owned(), SecretString::from(value.trim().to_owned())));
            }
            Some(_) | None => r.add_fault("HTTP_HEADERS", format!("line {} is not `Name: value`", number + 1)),
        }
    }
    headers
}

/// Parses a service's URL. It is https, or http to loopback or to an origin in `ALLOW_PLAIN_HTTP`.
///
/// It has no user and no address that `refused_ip` refuses.
fn parse_endpoint(value: &str, service: Service, plain_origins: &[String]) -> Result<String, String> {
    let (origin, uri) = parse_url(value, plain_origins)?;
    match service {
        Service::Http => Ok(value.to_owned()),
        Service::Minfraud | Service::Ipqs | Service::Abuseipdb | Service::Crowdsec | Service::CrowdsecCti if uri.path() == "/" && uri.query().is_none() => {
            Ok(origin)
        }
        Service::Minfraud | Service::Ipqs | Service::Abuseipdb | Service::Crowdsec | Service::CrowdsecCti => {
            Err("must be an origin such as https://host, without a path".to_owned())
        }
    }
}

/// Parses a URL that may be called, and returns its `scheme://host[:port]` with it.
pub(super) fn parse_url(value: &str, plain_origins: &[String]) -> Result<(String, http::Uri), String> {
    let (origin, uri) = parse_origin(value)?;
    if uri.scheme_str() == Some("http") && !is_loopback(uri.host().unwrap_or_default()) && !plain_origins.contains(&origin) {
        return Err("must be https (plain http only to loopback, or where RISKGATE_ALLOW_PLAIN_HTTP names the origin)".to_owned());
    }
    Ok((origin, uri))
}

/// Parses a URL and returns its `scheme://host[:port]` with it.
pub(super) fn parse_origin(value: &str) -> Result<(String, http::Uri), String> {
    // Braces are not valid in a URL. Placeholders become percent-encoded text, so any letter can replace them here.
    let filled: String = value.replace(['{', '}'], "x");
    let uri: http::Uri = filled.parse().map_err(|_| "must be a URL such as https://host/path".to_owned())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err("must be a URL with scheme and host".to_owned()) };
    if !matches!(scheme, "http" | "https") {
        return Err("must start with https://".to_owned());
    }
    if authority.as_str().contains('@') {
        return Err("must not contain a user name or password".to_owned());
    }
    if value.split('?').next().unwrap_or_default().split('/').nth(2).is_some_and(|host| host.contains(['{', '}'])) {
        return Err("must not have a placeholder in its host".to_owned());
    }
    // The HTTP client's parser interprets hosts such as `2852039166` and `0xa9fea9fe` as addresses.
    let url = reqwest::Url::parse(&filled).map_err(|_| "must be a URL such as https://host/path".to_owned())?;
    if url.host_str().and_then(address).is_some_and(is_refused) {
        return Err("must not be a link-local address or the address of a cloud's metadata service: riskgate never calls these".to_owned());
    }
    Ok((format!("{scheme}://{authority}"), uri))
}

/// Whether a host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|ip| ip.is_loopback())
}

fn address(host: &str) -> Option<std::net::IpAddr> {
    host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok().map(|ip| ip.to_canonical())
}
