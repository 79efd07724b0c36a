//! Outside risk services: where they are, what they are sent, and how their answers are kept.

use std::time::Duration;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use secrecy::SecretString;

use super::{
    budget::BudgetConfig,
    env::{Reader, count_within, duration, number_within, one_of},
    refused_ip::is_refused,
};

/// The services that are asked, and the cache before them.
#[derive(Debug, Clone)]
pub struct ServicesConfig {
    /// Those that `PROVIDERS` names, in its order, each once.
    pub services: Vec<ServiceConfig>,
    /// The cache before them.
    pub cache: CacheConfig,
    /// Who is believed to vouch for their certificates beside Mozilla's list. `SERVICES_CA`.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// How answers are kept.
#[derive(Debug, Clone, Copy)]
pub struct CacheConfig {
    /// Entries in memory for each service. `CACHE_CAPACITY`, default 20000.
    pub capacity: u64,
    /// How long an answer is fresh. `CACHE_TTL`, default 1 h.
    pub ttl: Duration,
    /// How much longer it may stand in for a failed call. `CACHE_STALE_FOR`, default 24 h.
    pub stale_for: Duration,
    /// How long "nothing known" is kept. `CACHE_NEGATIVE_TTL`, default 10 min.
    pub negative_ttl: Duration,
}

/// The services that riskgate can ask; the label is used in variables, metrics, reasons and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// MaxMind minFraud Score or Insights.
    Minfraud,
    /// IPQualityScore proxy detection.
    Ipqs,
    /// AbuseIPDB v2 check.
    Abuseipdb,
    /// A CrowdSec Local API.
    Crowdsec,
    /// CrowdSec CTI.
    CrowdsecCti,
    /// A service of the operator's own.
    Http,
}

/// One service's settings.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// Which service.
    pub service: Service,
    /// Its origin; for `http` the whole URL template. `<NAME>_URL`.
    pub url: String,
    /// Multiplies its evidence, 0 to 4. `<NAME>_WEIGHT`.
    pub weight: f64,
    /// The longest wait for it. `<NAME>_TIMEOUT`.
    pub timeout: Duration,
    /// DNS, TCP and TLS. `CONNECT_TIMEOUT`.
    pub connect_timeout: Duration,
    /// What it is sent. `<NAME>_SEND`.
    pub send: Send,
    /// Calls a day. `<NAME>_DAILY_LIMIT`.
    pub daily_limit: Option<u64>,
    /// Its key, where it has one.
    pub key: Option<SecretString>,
    /// What only this service has.
    pub own: Own,
}

/// What a service is sent of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Send {
    /// The address.
    #[default]
    Ip,
    /// The address, the user agent and the device id.
    IpDevice,
    /// Those and the person, in the form that the service's format defines.
    All,
}

/// Settings that only one service has.
#[derive(Debug, Clone)]
pub enum Own {
    /// Nothing beyond the common ones.
    Nothing,
    /// minFraud.
    Minfraud {
        /// `MINFRAUD_ACCOUNT_ID`.
        account_id: String,
        /// `MINFRAUD_SERVICE`.
        product: MinfraudProduct,
    },
    /// A service of the operator's own.
    Http(Box<HttpOwn>),
}

/// Which minFraud product is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinfraudProduct {
    /// Score.
    #[default]
    Score,
    /// Insights.
    Insights,
}

/// The shape of a service of the operator's own.
#[derive(Debug, Clone)]
pub struct HttpOwn {
    /// `HTTP_METHOD`.
    pub method: HttpMethod,
    /// `HTTP_HEADERS`: names and secret values.
    pub headers: Vec<(String, SecretString)>,
    /// `HTTP_BODY`: a template with JSON-encoded placeholders.
    pub body: String,
    /// `HTTP_SCORE_POINTER`: RFC 6901 pointer to the score.
    pub score_pointer: String,
    /// `HTTP_SCORE_SCALE`: the number that means certain fraud.
    pub score_scale: f64,
    /// `HTTP_REASONS_POINTER`: RFC 6901 pointer to an array of strings.
    pub reasons_pointer: Option<String>,
}

/// How a service of the operator's own is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpMethod {
    /// With a body.
    #[default]
    Post,
    /// Without.
    Get,
}

impl ServicesConfig {
    pub(super) fn read(r: &mut Reader<'_>, budget: &BudgetConfig) -> Self {
        let words: Vec<(&str, Service)> = Service::ALL.iter().map(|service| (service.as_label(), *service)).collect();
        let mut named = r.list("PROVIDERS", |v| one_of(v, &words));
        let mut seen = Vec::new();
        named.retain(|service| {
            !seen.contains(service) && {
                seen.push(*service);
                true
            }
        });
        let plain = r.list("ALLOW_PLAIN_HTTP", |v| origin(v).map(|(origin, _)| origin));
        let services = named.into_iter().map(|service| ServiceConfig::read(r, service, budget, &plain)).collect();
        let cache = CacheConfig {
            capacity: r.parsed("CACHE_CAPACITY", count_within(1, 10_000_000)).unwrap_or(20_000),
            ttl: r.parsed("CACHE_TTL", duration).unwrap_or(Duration::from_secs(3600)),
            stale_for: r.parsed("CACHE_STALE_FOR", duration).unwrap_or(Duration::from_secs(24 * 3600)),
            negative_ttl: r.parsed("CACHE_NEGATIVE_TTL", duration).unwrap_or(Duration::from_secs(600)),
        };
        let authorities = r.parsed("SERVICES_CA", authorities).unwrap_or_default();
        ServicesConfig { services, cache, authorities }
    }
}

impl ServiceConfig {
    /// `scheme://host[:port]` of its URL.
    pub fn origin(&self) -> &str {
        let authority = self.url.find("://").map_or(0, |at| at + 3);
        let end = self.url[authority..].find(['/', '?']).map_or(self.url.len(), |at| authority + at);
        &self.url[..end]
    }

    fn read(r: &mut Reader<'_>, service: Service, budget: &BudgetConfig, plain: &[String]) -> Self {
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
        let url = r.parsed(&url_name, |v| endpoint(v, service, plain)).unwrap_or_else(|| default.to_owned());
        if url.is_empty() {
            r.fault(&url_name, "is needed because PROVIDERS names http");
        }
        let secret = (service != Service::Http).then(|| {
            let key = service.secret_variable();
            let value = r.secret(key);
            if r.awaits(key) { None } else { required(r, key, service, value) }
        });
        let own = match service {
            Service::Minfraud => {
                let account_id = r.text("MINFRAUD_ACCOUNT_ID");
                Own::Minfraud {
                    account_id: required(r, "MINFRAUD_ACCOUNT_ID", service, account_id).unwrap_or_default(),
                    product: r.choice("MINFRAUD_SERVICE", &[("score", MinfraudProduct::Score), ("insights", MinfraudProduct::Insights)]),
                }
            }
            Service::Http => Own::Http(Box::new(HttpOwn::read(r))),
            Service::Ipqs | Service::Abuseipdb | Service::Crowdsec | Service::CrowdsecCti => Own::Nothing,
        };
        ServiceConfig {
            service,
            url,
            weight: r.parsed(&format!("{name}_WEIGHT"), number_within(0.0, 4.0)).unwrap_or(1.0),
            timeout: r.parsed(&format!("{name}_TIMEOUT"), duration).unwrap_or(budget.provider).min(budget.total),
            connect_timeout: budget.connect,
            send: r.choice(&format!("{name}_SEND"), &[("ip", Send::Ip), ("ip_device", Send::IpDevice), ("all", Send::All)]),
            daily_limit: r.parsed(&format!("{name}_DAILY_LIMIT"), count_within(1, u64::from(u32::MAX))),
            key: secret.flatten(),
            own,
        }
    }
}

impl HttpOwn {
    fn read(r: &mut Reader<'_>) -> Self {
        let pointer = |v: &str| if v.starts_with('/') { Ok(v.to_owned()) } else { Err("must be a JSON pointer, such as /data/score".to_owned()) };
        HttpOwn {
            method: r.choice("HTTP_METHOD", &[("POST", HttpMethod::Post), ("GET", HttpMethod::Get)]),
            headers: r.secret("HTTP_HEADERS").map(|text| headers(r, &text)).unwrap_or_default(),
            body: r.text("HTTP_BODY").unwrap_or_else(|| r#"{"ip":{ip},"userAgent":{userAgent},"deviceId":{deviceId},"hour":{hour}}"#.to_owned()),
            score_pointer: r.parsed("HTTP_SCORE_POINTER", pointer).unwrap_or_else(|| "/score".to_owned()),
            score_scale: r.parsed("HTTP_SCORE_SCALE", number_within(f64::MIN_POSITIVE, 1e12)).unwrap_or(100.0),
            reasons_pointer: r.parsed("HTTP_REASONS_POINTER", pointer),
        }
    }
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 6] = [Service::Minfraud, Service::Ipqs, Service::Abuseipdb, Service::Crowdsec, Service::CrowdsecCti, Service::Http];

    /// The name in variables, metrics, reasons and answers.
    pub fn as_label(self) -> &'static str {
        match self {
            Service::Minfraud => "minfraud",
            Service::Ipqs => "ipqs",
            Service::Abuseipdb => "abuseipdb",
            Service::Crowdsec => "crowdsec",
            Service::CrowdsecCti => "crowdsec_cti",
            Service::Http => "http",
        }
    }

    /// The variable, without prefix, that holds what only its customers know.
    pub fn secret_variable(self) -> &'static str {
        match self {
            Service::Minfraud => "MINFRAUD_LICENSE_KEY",
            Service::Ipqs => "IPQS_KEY",
            Service::Abuseipdb => "ABUSEIPDB_KEY",
            Service::Crowdsec => "CROWDSEC_KEY",
            Service::CrowdsecCti => "CROWDSEC_CTI_KEY",
            Service::Http => "HTTP_HEADERS",
        }
    }
}

fn required<T>(r: &mut Reader<'_>, name: &str, service: Service, value: Option<T>) -> Option<T> {
    if value.is_none() {
        r.fault(name, format!("is needed because PROVIDERS names {}", service.as_label()));
    }
    value
}

/// Reads PEM certificates of authorities.
fn authorities(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.ok().filter(|found| !found.is_empty()).ok_or_else(|| "must be certificates in PEM, -----BEGIN CERTIFICATE----- first".to_owned())?;
    let mut roots = RootCertStore::empty();
    for (number, certificate) in found.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|_| format!("certificate {} cannot be read", number + 1))?;
    }
    Ok(found)
}

/// Reads `Name: value` lines; the values are secrets.
fn headers(r: &mut Reader<'_>, text: &SecretString) -> Vec<(String, SecretString)> {
    use secrecy::ExposeSecret;
    let mut found = Vec::new();
    for (number, line) in text.expose_secret().lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.split_once(':') {
            Some((name, value)) if http::HeaderName::try_from(name.trim()).is_ok() && http::HeaderValue::try_from(value.trim()).is_ok() => {
                found.push((name.trim().to_owned(), SecretString::from(value.trim().to_owned())));
            }
            Some(_) | None => r.fault("HTTP_HEADERS", format!("line {} is not `Name: value`", number + 1)),
        }
    }
    found
}

/// Checks a service's URL: https, or http to loopback or to an origin that `ALLOW_PLAIN_HTTP` names; no user, no address that `refused_ip` names.
fn endpoint(value: &str, service: Service, plain: &[String]) -> Result<String, String> {
    let (origin, uri) = origin(value)?;
    if uri.scheme_str() == Some("http") && !is_loopback(uri.host().unwrap_or_default()) && !plain.contains(&origin) {
        return Err("must be https (plain http only to loopback, or where RISKGATE_ALLOW_PLAIN_HTTP names the origin)".to_owned());
    }
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

/// The `scheme://host[:port]` of a URL.
fn origin(value: &str) -> Result<(String, http::Uri), String> {
    // Placeholders stand for percent-encoded text; `x` is such text.
    let plain: String = value.replace(['{', '}'], "x");
    let uri: http::Uri = plain.parse().map_err(|_| "must be a URL such as https://host/path".to_owned())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err("must be a URL with scheme and host".to_owned()) };
    if !matches!(scheme, "http" | "https") {
        return Err("must start with https://".to_owned());
    }
    if authority.as_str().contains('@') {
        return Err("must not hold a user name or password".to_owned());
    }
    if value.split('?').next().unwrap_or_default().split('/').nth(2).is_some_and(|host| host.contains(['{', '}'])) {
        return Err("must not have a placeholder in its host".to_owned());
    }
    // The client's own parser reads hosts such as `2852039166` and `0xa9fea9fe` as addresses.
    let url = reqwest::Url::parse(&plain).map_err(|_| "must be a URL such as https://host/path".to_owned())?;
    if url.host_str().and_then(address).is_some_and(is_refused) {
        return Err("must not be a link-local address or one of a cloud's metadata service: riskgate never calls these".to_owned());
    }
    Ok((format!("{scheme}://{authority}"), uri))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|ip| ip.is_loopback())
}

fn address(host: &str) -> Option<std::net::IpAddr> {
    host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok().map(|ip| ip.to_canonical())
}
