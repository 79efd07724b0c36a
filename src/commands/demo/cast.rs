//! Who signs in: invented people with a home, a device and habits, and attackers with lists of their names.
//!
//! Their addresses are drawn from the bundled network database, so that countries, providers and
//! hosting are told as for anybody.

use std::{collections::HashMap, net::Ipv4Addr};

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{
    event::{ClientIp, context::Context},
    evidence::{NetworkFacts, networks::Networks},
};

/// Invented people.
const PEOPLE: usize = 160;

/// Addresses that attackers sign in from.
const ATTACKERS: usize = 48;

/// Addresses that are looked up at most while drawing.
const DRAWS: usize = 400_000;

/// Where people are at home, and their zone there.
const HOMES: [(&str, &str, &str); 8] = [
    ("NO", "Europe/Oslo", "nb-NO"),
    ("DE", "Europe/Berlin", "de-DE"),
    ("NL", "Europe/Amsterdam", "nl-NL"),
    ("GB", "Europe/London", "en-GB"),
    ("FR", "Europe/Paris", "fr-FR"),
    ("US", "America/New_York", "en-US"),
    ("BR", "America/Sao_Paulo", "pt-BR"),
    ("JP", "Asia/Tokyo", "ja-JP"),
];

const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
];

const TOOLS: [&str; 3] =
    ["python-requests/2.32.3", AGENTS[0], "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36"];

/// Everybody who may sign in.
#[derive(Debug)]
pub struct Cast {
    rng: ChaCha8Rng,
    people: Vec<Person>,
    attackers: Vec<Ipv4Addr>,
    abroad: Vec<Ipv4Addr>,
}

/// An invented person.
#[derive(Debug)]
struct Person {
    name: String,
    addresses: Vec<Ipv4Addr>,
    agent: &'static str,
    device: String,
    zone: &'static str,
    language: &'static str,
}

/// A sign-in to be played.
#[derive(Debug)]
pub struct Play {
    /// The body of `POST /v1/assess`.
    pub body: Value,
    /// Whether the password will be right.
    pub password: Password,
}

/// Whether a password is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Password {
    /// It is.
    Right,
    /// It is not.
    Wrong,
}

impl Cast {
    /// Draws everybody from a seed.
    pub fn draw(seed: u64, networks: &Networks) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut homes: HashMap<&str, Vec<Ipv4Addr>> = HashMap::new();
        let (mut attackers, mut abroad) = (Vec::new(), Vec::new());
        let each = PEOPLE * 3 / HOMES.len();
        for _ in 0..DRAWS {
            let ip = Ipv4Addr::from_bits(rng.random());
            let ClientIp::Public(_) = ClientIp::classify(ip.into()) else { continue };
            let facts = networks.facts(&Context { ip: ClientIp::classify(ip.into()), ..Context::default() });
            let (Some(country), Some(_)) = (facts.country, facts.asn) else { continue };
            match HOMES.iter().find(|(home, ..)| *home == country.as_str()) {
                _ if is_hidden(&facts) && attackers.len() < ATTACKERS * 2 / 3 => attackers.push(ip),
                _ if is_hidden(&facts) => {}
                Some((home, ..)) => {
                    let found = homes.entry(home).or_default();
                    if found.len() < each {
                        found.push(ip);
                    }
                }
                None if attackers.len() < ATTACKERS && rng.random_bool(0.5) => attackers.push(ip),
                None if abroad.len() < 32 => abroad.push(ip),
                None => {}
            }
            if attackers.len() >= ATTACKERS && abroad.len() >= 32 && homes.len() == HOMES.len() && homes.values().all(|found| found.len() >= each) {
                break;
            }
        }
        let people = (0..PEOPLE).map(|number| Person::draw(number, &mut rng, &homes)).collect();
        Cast { rng, people, attackers, abroad }
    }

    /// What the risk service says of the attackers' addresses: it knows three in four of them.
    pub fn scores(&mut self) -> HashMap<String, f64> {
        let mut scores = HashMap::new();
        for ip in &self.attackers {
            if self.rng.random_bool(0.75) {
                scores.insert(ip.to_string(), f64::from(self.rng.random_range(55..97_u32)));
            }
        }
        scores
    }

    /// What everybody did in the days before the show: two sign-ins a day for three days, at this hour.
    pub fn past(&mut self, now: Timestamp) -> Vec<Play> {
        let mut plays = Vec::new();
        for days in (1..=3).rev() {
            for person in &self.people {
                for address in person.addresses.iter().take(2) {
                    let at = now - SignedDuration::from_hours(24 * days) + SignedDuration::from_mins(self.rng.random_range(-90..90));
                    let mut body = person.body(*address);
                    body["time"] = json!(at);
                    plays.push(Play { body, password: Password::Right });
                }
            }
        }
        plays
    }

    /// Somebody of the people: nearly always as ever, now and then on a journey or with a new device.
    pub fn person(&mut self) -> Play {
        let rng = &mut self.rng;
        let person = self.people.choose(rng).expect("there are people");
        let mut body = person.body(*person.addresses.choose(rng).expect("everybody has an address"));
        match rng.random_range(0..100) {
            0..2 => body["ip"] = json!(self.abroad.choose(rng)),
            2..4 => {
                body["deviceId"] = json!(format!("new-{:08x}", rng.random::<u32>()));
                body["userAgent"] = json!(AGENTS.choose(rng));
            }
            4..7 => body["deviceId"] = Value::Null,
            _ => {}
        }
        let password = if rng.random_bool(0.04) { Password::Wrong } else { Password::Right };
        Play { body, password }
    }

    /// An attacker with somebody's name and a password from a list.
    pub fn attacker(&mut self) -> Play {
        let rng = &mut self.rng;
        let ip = self.attackers.choose(rng);
        let known = rng.random_bool(0.35);
        let user = if known {
            self.people.choose(rng).map_or_else(String::new, |person| person.name.clone())
        } else {
            format!("leaked-{:05}", rng.random_range(0..40_000))
        };
        let body = json!({ "user": user, "client": "web", "pool": "demo", "ip": ip, "userAgent": TOOLS.choose(rng) });
        let password = if rng.random_bool(0.01) { Password::Right } else { Password::Wrong };
        Play { body, password }
    }
}

impl Person {
    fn draw(number: usize, rng: &mut ChaCha8Rng, homes: &HashMap<&str, Vec<Ipv4Addr>>) -> Self {
        let (home, zone, language) = HOMES[number % HOMES.len()];
        let addresses: Vec<Ipv4Addr> = homes.get(home).into_iter().flatten().skip(number / HOMES.len() * 3).take(3).copied().collect();
        Person {
            name: format!("person-{number:03}"),
            // A country that the drawing met too seldom is signed in from by one address of a documentation range.
            addresses: if addresses.is_empty() { vec![Ipv4Addr::new(192, 0, 2, 1)] } else { addresses },
            agent: AGENTS[number % AGENTS.len()],
            device: format!("device-{number:03}-{:08x}", rng.random::<u32>()),
            zone,
            language,
        }
    }

    fn body(&self, address: Ipv4Addr) -> Value {
        json!({
            "user": self.name, "client": "web", "pool": "demo", "ip": address, "userAgent": self.agent,
            "deviceId": self.device, "acceptLanguage": self.language, "timezone": self.zone,
        })
    }
}

/// Whether servers and anonymisers live there, not people.
fn is_hidden(facts: &NetworkFacts) -> bool {
    let kind = facts.kind;
    kind.anonymous || kind.hosting || kind.vpn || kind.tor || kind.relay
}
