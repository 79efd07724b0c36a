//! Turns log records into evidence: the values that live enrichment would produce, without network requests.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::{
    history::{AttemptRecording, InMemoryHistory, Key},
    rows::LogRecord,
};
use riskgate_config::Config;
use riskgate_engine::{
    browser_update::is_browser_update,
    client_ip::{ClientIp, host_of, network_of},
    context::{AssertedFacts, Context, Country, SessionFindings, Trust},
    evidence::{Answer, EnrichmentTimings, Evidence, Outcome, ProviderResult, Risk},
    features::{FeatureKey, FeatureLevel, Features},
    ignored::{IgnoredInput, IgnoredInputs},
    personal::{Personal, RawEvent},
    placeholder,
    service::Service,
    sign_in::{Existence, SignIn, Trigger, User},
    time::{ClockReading, EventTime},
    user_agent::{DeviceType, UserAgent},
};
use riskgate_event::http;
use riskgate_network::{Networks, local_time};
use riskgate_runtime::{health::Health, sharing::SharedDevices};

/// The most parsed user agents in the cache. Few logs have more.
const MAX_CACHED_AGENTS: usize = 1 << 16;

/// Enriches log records.
#[derive(Debug)]
pub struct RowEnricher {
    networks: Networks,
    key: FeatureKey,
    agents: HashMap<u64, UserAgent>,
    devices: SharedDevices,
    raw: RawEvent,
    mono: std::time::Instant,
}

impl RowEnricher {
    /// Opens the network databases of the configuration.
    pub fn open(config: &Config, mono: std::time::Instant) -> Self {
        let (networks, _) = Networks::open(&config.networks, &Arc::<Health>::default());
        RowEnricher { networks, key: FeatureKey::new([7; 16]), agents: HashMap::new(), devices: SharedDevices::default(), raw: RawEvent::default(), mono }
    }

    /// Returns the key of a user of a pool.
    pub fn user_key(pool: &str, user: &str) -> Key {
        Key::of(&[pool.as_bytes(), user.as_bytes()])
    }

    /// Enriches a record. Returns its evidence and the user's local hour. The user's profile is moved out of `histories` into the evidence.
    pub fn enrich(&mut self, record: &LogRecord<'_>, user: Key, histories: &mut InMemoryHistory, recording: AttemptRecording) -> (Box<Evidence>, Option<u8>) {
        let sign_in = self.sign_in(record);
        let networks = self.networks.facts(&sign_in.context);
        let mut features = Features::of(&sign_in, &networks, &self.key);
        if !record.net.is_empty() && features.at(FeatureLevel::Network).is_none() {
            features.set(FeatureLevel::Network, Some(self.hash_pseudonym(FeatureLevel::Network, record.net)));
        }
        let key = |kind: &[u8], ip: IpAddr| match ip {
            IpAddr::V4(v4) => Key::of(&[kind, &v4.octets()]),
            IpAddr::V6(v6) => Key::of(&[kind, &v6.octets()]),
        };
        let windows = sign_in.context.ip.public().map(|ip| (key(b"network", network_of(ip)), key(b"address", host_of(ip))));
        let history = histories.take_history(user, windows, record.at, recording);
        let is_browser_update = is_browser_update(&sign_in, &features, &history.profile, &self.key);
        let local_time = local_time::read(&sign_in, &networks);
        let mut services = SmallVec::new();
        if let Some(score) = record.provider_score {
            services.push(ProviderResult::fresh(Service::Http, Answer::new(Risk::Score(score), SmallVec::new())));
        }
        let (sign_in, took) = (Arc::new(sign_in), EnrichmentTimings::default());
        let history_outcome = Outcome::Fresh;
        (Box::new(Evidence { sign_in, networks, local_time, features, is_browser_update, history, history_outcome, services, took }), local_time.hour)
    }

    fn sign_in(&mut self, record: &LogRecord<'_>) -> SignIn {
        let text = |text: &str| (!text.is_empty()).then(|| SmolStr::new(text));
        let personal = |value: &str, is_unknown: fn(&str) -> bool| text(value).filter(|value| !is_unknown(value)).map(Personal::new);
        let user_agent = self.user_agent(record.user_agent);
        let device_id: Option<Personal<SmolStr>> = personal(record.device, placeholder::is_shared_id);
        let mut ignored = IgnoredInputs::default();
        if device_id.as_ref().is_some_and(|id| self.devices.observe(id.expose(), record.user)) {
            ignored.insert(IgnoredInput::SharedDeviceId);
        }
        let context = Context {
            trust: Trust::Trusted,
            ip: if record.ip.is_empty() { ClientIp::Missing } else { ClientIp::parse(record.ip) },
            user_agent,
            device_id,
            accept_language: None,
            timezone: personal(record.timezone, placeholder::is_unknown_timezone),
            asserted: AssertedFacts {
                tor: record.country.eq_ignore_ascii_case("T1"),
                country: Country::parse(record.country),
                asn: http::parse_asn(record.asn).filter(|asn| *asn != 0),
                device_type: (!record.device_type.is_empty()).then(|| DeviceType::from_label(record.device_type)),
                os: text(without_version(record.os)),
                browser: text(without_version(record.browser)),
            },
            nonce: None,
            ignored,
            session: SessionFindings::default(),
        };
        SignIn {
            raw: self.raw.clone(),
            trigger: Trigger::Replay,
            received: ClockReading { wall: record.at, mono: self.mono },
            at: EventTime::new(record.at),
            pool: SmolStr::new(record.pool),
            client: SmolStr::new(record.client),
            tenant: None,
            user: User {
                name: Personal::new(SmolStr::new(record.user)),
                // The user of an audit line is a pseudonym already. The report shows it unchanged.
                existence: if record.is_unknown_user { Existence::NotFound } else { Existence::Known },
                sub: record.decision.map(|_| Personal::new(SmolStr::new(record.user))),
                ..User::default()
            },
            context,
        }
    }

    /// Returns the parsed user agent, from the cache if possible: parsing costs more than the rest of the record.
    fn user_agent(&mut self, text: &str) -> Option<UserAgent> {
        if text.is_empty() {
            return None;
        }
        let hash = SipHasher13::new().hash(text.as_bytes());
        if let Some(agent) = self.agents.get(&hash) {
            return Some(agent.clone());
        }
        if self.agents.len() >= MAX_CACHED_AGENTS {
            self.agents.clear();
        }
        let agent = UserAgent::parse(text)?;
        self.agents.insert(hash, agent.clone());
        Some(agent)
    }

    /// Hashes a pseudonym of the log into a feature value.
    fn hash_pseudonym(&self, level: FeatureLevel, text: &str) -> u32 {
        self.key.hash_of(level, text.as_bytes())
    }
}

/// Removes the version: `Chrome Mobile 85.0.4183` becomes `Chrome Mobile`.
fn without_version(text: &str) -> &str {
    match text.rsplit_once(' ') {
        Some((family, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => family,
        Some(_) | None => text,
    }
}
