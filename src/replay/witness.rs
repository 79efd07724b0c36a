//! A row as evidence: the same values that the live gate would gather, without asking anybody.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::{
    past::{Key, Past, Trace},
    rows::Row,
};
use crate::{
    config::{Config, services::Service},
    event::{
        ClientIp, Context, EventTime, IgnoredInput, IgnoredInputs, Now, Person, Personal, RawEvent, SignIn, Trigger, Trust, UserAgent,
        client_ip::{host_of, network_of},
        context::{Country, Stated},
        http, placeholder,
        user_agent::DeviceType,
    },
    evidence::{
        Answer, Consultation, Evidence, Features, Outcome, Risk, Waits,
        features::{FeatureKey, Level},
        health::Health,
        local_time,
        networks::Networks,
        sharing::SharedDevices,
    },
};

/// Parsed user agents that are kept; few logs have more that matter.
const KEPT_AGENTS: usize = 1 << 16;

/// Makes evidence of rows.
#[derive(Debug)]
pub struct Witness {
    networks: Networks,
    key: FeatureKey,
    agents: HashMap<u64, UserAgent>,
    devices: SharedDevices,
    raw: RawEvent,
    mono: tokio::time::Instant,
}

impl Witness {
    /// Opens the networks that the configuration names.
    pub fn open(config: &Config, mono: tokio::time::Instant) -> Self {
        let (networks, _) = Networks::open(&config.networks, &Arc::<Health>::default());
        Witness { networks, key: FeatureKey::new([7; 16]), agents: HashMap::new(), devices: SharedDevices::default(), raw: RawEvent::default(), mono }
    }

    /// The key of a pool's person.
    pub fn person(pool: &str, user: &str) -> Key {
        Key::of(&[pool.as_bytes(), user.as_bytes()])
    }

    /// The evidence of a row, with the person's history taken out of the past, and the hour where they were.
    pub fn evidence(&mut self, row: &Row<'_>, person: Key, past: &mut Past, trace: Trace) -> (Box<Evidence>, Option<u8>) {
        let sign_in = self.sign_in(row);
        let networks = self.networks.facts(&sign_in.context);
        let mut features = Features::of(&sign_in, &networks, &self.key);
        if !row.net.is_empty() && features.at(Level::Network).is_none() {
            features.set(Level::Network, Some(self.pseudonym(Level::Network, row.net)));
        }
        let key = |kind: &[u8], ip: IpAddr| match ip {
            IpAddr::V4(v4) => Key::of(&[kind, &v4.octets()]),
            IpAddr::V6(v6) => Key::of(&[kind, &v6.octets()]),
        };
        let windows = sign_in.context.ip.public().map(|ip| (key(b"network", network_of(ip)), key(b"address", host_of(ip))));
        let history = past.take(person, windows, row.at, trace);
        let local_time = local_time::read(&sign_in, &networks);
        let mut services = SmallVec::new();
        if let Some(score) = row.outside {
            let answer = Some(Answer::new(Risk::Score(score), SmallVec::new()));
            services.push(Consultation {
                service: Service::Http,
                outcome: Outcome::Fresh,
                answer,
                weight: 1.0,
                tier: None,
                took: std::time::Duration::ZERO,
                outdated: None,
            });
        }
        let (sign_in, took) = (Arc::new(sign_in), Waits::default());
        (Box::new(Evidence { sign_in, networks, local_time, features, history, history_outcome: Outcome::Fresh, services, took }), local_time.hour)
    }

    fn sign_in(&mut self, row: &Row<'_>) -> SignIn {
        let text = |text: &str| (!text.is_empty()).then(|| SmolStr::new(text));
        let personal = |value: &str, is_unknown: fn(&str) -> bool| text(value).filter(|value| !is_unknown(value)).map(Personal::new);
        let user_agent = self.agent(row.user_agent);
        let device_id: Option<Personal<SmolStr>> = personal(row.device, placeholder::is_shared_id);
        let mut ignored = IgnoredInputs::default();
        if device_id.as_ref().is_some_and(|id| self.devices.observe(id.expose(), row.user)) {
            ignored.insert(IgnoredInput::SharedDeviceId);
        }
        let context = Context {
            trust: Trust::Trusted,
            ip: if row.ip.is_empty() { ClientIp::Missing } else { ClientIp::parse(row.ip) },
            user_agent,
            device_id,
            accept_language: None,
            timezone: personal(row.timezone, placeholder::is_no_zone),
            stated: Stated {
                tor: row.country.eq_ignore_ascii_case("T1"),
                country: Country::parse(row.country),
                asn: http::asn(row.asn).filter(|asn| *asn != 0),
                device_type: (!row.device_type.is_empty()).then(|| DeviceType::from_label(row.device_type)),
                os: text(family(row.os)),
                browser: text(family(row.browser)),
            },
            nonce: None,
            ignored,
        };
        SignIn {
            raw: self.raw.clone(),
            trigger: Trigger::Replay,
            received: Now { wall: row.at, mono: self.mono },
            at: EventTime::new(row.at),
            pool: SmolStr::new(row.pool),
            client: SmolStr::new(row.client),
            tenant: None,
            person: Person { name: Personal::new(SmolStr::new(row.user)), ..Person::default() },
            context,
        }
    }

    /// A parsed user agent: parsing costs more than all the rest of a row, and few differ.
    fn agent(&mut self, text: &str) -> Option<UserAgent> {
        if text.is_empty() {
            return None;
        }
        let hash = SipHasher13::new().hash(text.as_bytes());
        if let Some(agent) = self.agents.get(&hash) {
            return Some(agent.clone());
        }
        if self.agents.len() >= KEPT_AGENTS {
            self.agents.clear();
        }
        let agent = UserAgent::parse(text)?;
        self.agents.insert(hash, agent.clone());
        Some(agent)
    }

    /// A log's own pseudonym as a value to compare.
    fn pseudonym(&self, level: Level, text: &str) -> u32 {
        self.key.hash_of(level, text.as_bytes())
    }
}

/// A family without its version: `Chrome Mobile 85.0.4183` is `Chrome Mobile`.
fn family(text: &str) -> &str {
    match text.rsplit_once(' ') {
        Some((family, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => family,
        Some(_) | None => text,
    }
}
