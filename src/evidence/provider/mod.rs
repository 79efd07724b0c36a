//! Outside risk services: one trait, one file each.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use ::http::HeaderValue;
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use smol_str::{SmolStr, format_smolstr};
use tokio::time::Instant;

use super::{Answer, Cause, Outdated, Risk, resilience::Face};
use crate::{
    config::{
        env::Fault,
        services::{Own, Send as Sending, Service, ServiceConfig},
    },
    event::{Now, Personal, SignIn, client_ip::host_of},
};

pub mod client;

mod abuseipdb;

mod crowdsec;

mod crowdsec_cti;

pub mod fields;

mod http;

mod ipqs;

mod minfraud;

mod template;

pub use self::client::{Client, Tls};

/// One outside risk service. The real ones are the adapters beside this file; tests put a server of their own behind them.
pub trait Provider: Send + Sync {
    /// Asks about one address. `Ok(None)` means "nothing known", which may be kept for a while; a failure may not.
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a>;

    /// Why the answers that it holds itself could not be renewed, and how old they are.
    fn outdated(&self, _now: Instant) -> Option<Outdated> {
        None
    }
}

/// A question under way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Option<Answer>, Failure>> + Send + 'a>>;

/// An adapter and what it sends.
pub struct Adapter {
    /// The service behind it.
    pub provider: Arc<dyn Provider>,
    /// Beside the address, what of a sign-in it is given.
    pub sends: Sends,
    /// How its answers are kept.
    pub keeping: Keeping,
}

/// How a service's answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// As the cache's settings say.
    AsSet,
    /// As they say, but not longer: they are decisions, which come and go by the minute.
    AtMost {
        /// How long an answer is served without asking again.
        fresh: Duration,
        /// How old an answer may be that stands in for a failed call.
        oldest: Duration,
    },
    /// Not at all: the adapter holds the answers itself, and asking it costs nothing.
    Itself,
}

/// What of a sign-in a service is given beside the address: what its format has room for and its `SEND` allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sends {
    /// The user agent.
    pub user_agent: bool,
    /// The device id.
    pub device_id: bool,
    /// The `Accept-Language` header.
    pub accept_language: bool,
    /// A hash of the person's name.
    pub user: bool,
    /// The hour of the day.
    pub hour: bool,
}

/// What one service is told: everything that is here is sent, so everything that is here is in the cache's key.
#[derive(Debug, Clone)]
pub struct Question {
    /// The public address.
    pub ip: Personal<IpAddr>,
    /// The user agent.
    pub user_agent: Option<Personal<SmolStr>>,
    /// The device id.
    pub device_id: Option<Personal<SmolStr>>,
    /// The `Accept-Language` header.
    pub accept_language: Option<Personal<SmolStr>>,
    /// The person's name, for formats that define a hash of it.
    pub user: Option<Personal<SmolStr>>,
    /// The hour of the day in UTC.
    pub hour: Option<u8>,
    /// When the sign-in came; not sent.
    pub received: Now,
    /// Whether the address is believed; not sent.
    pub believed: Believed,
    /// On whose behalf it is asked, pool and name; not sent.
    pub account: Personal<SmolStr>,
}

/// Whether an address is more than a client's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Believed {
    /// Signed, or a trusted caller's.
    Yes,
    /// Anybody could have sent it.
    No,
}

/// Why a service gave no answer, and what that says of the next question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The cause that answers and metrics name.
    pub cause: Cause,
    /// How long the service asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the question can have reached the service.
    pub reach: Reach,
}

/// Whether a question that failed can have reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It may have: asking again may cost twice.
    Perhaps,
    /// The connection was dead before it carried anything: asking once more on a new one is safe.
    Never,
}

/// A service whose key is not here yet.
struct Keyless;

/// Builds the adapter of one service. Nothing is connected to, and no certificate is parsed, before the first question.
///
/// # Errors
///
/// A setting that only the adapter can check, such as a key that fits no header.
pub fn open(config: &ServiceConfig, client: Client, face: Face) -> Result<Adapter, Fault> {
    match (config.service, &config.own) {
        (_, Own::Http(own)) => http::adapter(config, own, client),
        (_, Own::Minfraud { account_id, product }) => minfraud::adapter(config, account_id, *product, client),
        (Service::Abuseipdb, Own::Nothing) => abuseipdb::adapter(config, client),
        (Service::Crowdsec, Own::Nothing) => crowdsec::adapter(config, client, face),
        (Service::CrowdsecCti, Own::Nothing) => crowdsec_cti::adapter(config, client),
        (Service::Ipqs | Service::Minfraud | Service::Http, Own::Nothing) => Ok(ipqs::adapter(config, client)),
    }
}

/// The adapter of a service whose key is not here yet: it is not asked, and says why.
pub fn keyless() -> Adapter {
    Adapter { provider: Arc::new(Keyless), sends: Sends::default(), keeping: Keeping::AsSet }
}

/// A header whose value is never printed.
fn secret_header(variable: &str, value: &str) -> Result<HeaderValue, Fault> {
    let mut header =
        HeaderValue::from_str(value).map_err(|_| Fault { variable: variable.to_owned(), problem: "holds characters that fit no header".to_owned() })?;
    header.set_sensitive(true);
    Ok(header)
}

/// A service's own number on riskgate's scale: the last band that it reaches. Under the first, the service holds nothing against the address.
fn in_bands(value: f64, bands: &[(f64, f64)]) -> Risk {
    bands.iter().rev().find(|(from, _)| value >= *from).map_or(Risk::Neutral, |(_, score)| Risk::Score(*score))
}

// === impl Keyless ===

impl Provider for Keyless {
    fn ask<'a>(&'a self, _question: &'a Question) -> Asking<'a> {
        Box::pin(std::future::ready(Err(Cause::KeyRefused.into())))
    }
}

// === impl Sends ===

impl Sends {
    /// What either gives.
    pub fn or(self, other: Self) -> Self {
        Sends {
            user_agent: self.user_agent || other.user_agent,
            device_id: self.device_id || other.device_id,
            accept_language: self.accept_language || other.accept_language,
            user: self.user || other.user,
            hour: self.hour || other.hour,
        }
    }

    /// What is left of this where `send` is set.
    pub fn allowed(self, send: Sending) -> Self {
        let (device, person) = match send {
            Sending::Ip => (false, false),
            Sending::IpDevice => (true, false),
            Sending::All => (true, true),
        };
        Sends {
            user_agent: self.user_agent && device,
            device_id: self.device_id && device,
            accept_language: self.accept_language && device,
            user: self.user && person,
            hour: self.hour,
        }
    }
}

// === impl Question ===

impl Question {
    /// The question that a sign-in raises; `None` when it has no public address to ask about.
    pub fn of(sign_in: &SignIn, sends: Sends) -> Option<Self> {
        let context = &sign_in.context;
        let ip = context.ip.public()?;
        Some(Question {
            ip: Personal::new(ip),
            user_agent: context.user_agent.as_ref().filter(|_| sends.user_agent).map(|agent| agent.text.clone()),
            device_id: context.device_id.clone().filter(|_| sends.device_id),
            accept_language: context.accept_language.clone().filter(|_| sends.accept_language),
            user: Some(sign_in.person.name.clone()).filter(|name| sends.user && !name.expose().is_empty()),
            hour: sends.hour.then(|| u8::try_from(sign_in.at.timestamp().to_zoned(jiff::tz::TimeZone::UTC).hour()).unwrap_or_default()),
            received: sign_in.received,
            believed: if context.is_believed() { Believed::Yes } else { Believed::No },
            account: Personal::new(format_smolstr!("{}/{}", sign_in.pool, sign_in.person.name.expose())),
        })
    }

    /// The cache's key: a keyed hash of the service and of each part with its length, so that no two questions can be spelled alike.
    pub fn key(&self, service: Service, secret: &[u8; 16]) -> u128 {
        // Every field is named: a new one cannot be forgotten here.
        let Question { ip, user_agent, device_id, accept_language, user, hour, received: _, believed: _, account: _ } = self;
        let mut hasher = SipHasher24::new_with_key(secret);
        let mut part = |bytes: Option<&[u8]>| {
            use std::hash::Hasher as _;
            // Lengths start at 1, so that nothing and empty differ.
            hasher.write(&bytes.map_or(0, |bytes| bytes.len() as u64 + 1).to_le_bytes());
            hasher.write(bytes.unwrap_or_default());
        };
        part(Some(service.as_label().as_bytes()));
        match host_of(*ip.expose()) {
            IpAddr::V4(v4) => part(Some(&v4.octets())),
            IpAddr::V6(v6) => part(Some(&v6.octets())),
        }
        for text in [user_agent, device_id, accept_language, user] {
            part(text.as_ref().map(|text| text.expose().as_bytes()));
        }
        part(hour.as_ref().map(std::slice::from_ref));
        hasher.finish128().as_u128()
    }

    /// Whether it holds text that the client chose: a refusal may then be the text's fault, not the service's.
    pub fn has_client_text(&self) -> bool {
        self.user_agent.is_some() || self.device_id.is_some() || self.accept_language.is_some() || self.user.is_some()
    }
}

// === impl Failure ===

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Failure { cause, retry_after: None, reach: Reach::Perhaps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(ip: &str) -> Question {
        let ip = Personal::new(ip.parse().expect("an address"));
        Question {
            ip,
            user_agent: None,
            device_id: None,
            accept_language: None,
            user: None,
            hour: None,
            received: Now::read(),
            believed: Believed::Yes,
            account: Personal::default(),
        }
    }

    fn text(text: &str) -> Option<Personal<SmolStr>> {
        Some(Personal::new(text.into()))
    }

    #[test]
    fn no_two_questions_share_a_key() {
        let questions = [
            question("8.8.8.8"),
            question("8.8.4.4"),
            Question { user_agent: text("a"), ..question("8.8.8.8") },
            Question { device_id: text("a"), ..question("8.8.8.8") },
            Question { user_agent: text("ab"), device_id: text("c"), ..question("8.8.8.8") },
            Question { user_agent: text("a"), device_id: text("bc"), ..question("8.8.8.8") },
            Question { user: text("x|8.8.8.8"), ..question("8.8.8.8") },
            Question { user: text(""), ..question("8.8.8.8") },
            Question { hour: Some(0), ..question("8.8.8.8") },
            Question { hour: Some(1), ..question("8.8.8.8") },
        ];
        let mut keys: Vec<u128> = Service::ALL.iter().flat_map(|service| questions.iter().map(|q| q.key(*service, &[7; 16]))).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), questions.len() * Service::ALL.len());
    }

    #[test]
    fn an_ipv6_address_counts_as_its_64() {
        let key = |ip| question(ip).key(Service::Http, &[7; 16]);
        assert_eq!(key("2001:4860:4860:1::1"), key("2001:4860:4860:1:ffff::2"));
        assert_ne!(key("2001:4860:4860:1::1"), key("2001:4860:4860:2::1"));
    }

    #[test]
    fn what_may_be_sent_follows_the_setting() {
        let all = Sends { user_agent: true, device_id: true, accept_language: true, user: true, hour: true };
        assert_eq!(all.allowed(Sending::Ip), Sends { hour: true, ..Sends::default() });
        assert_eq!(all.allowed(Sending::IpDevice), Sends { user: false, ..all });
        assert_eq!(all.allowed(Sending::All), all);
        assert_eq!(Sends::default().allowed(Sending::All), Sends::default());
    }
}
