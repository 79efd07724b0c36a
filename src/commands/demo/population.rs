//! Generated users with a home, a device and habits, and attackers with lists of user names.
//!
//! Their addresses come from the bundled network database, which classifies countries, networks and
//! hosting as for real users.

use std::{collections::HashMap, net::Ipv4Addr};

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use riskgate_engine::{client_ip::ClientIp, context::Context, network_facts::NetworkFacts};
use riskgate_network::Networks;

/// The number of addresses of attackers.
const ATTACKERS: usize = 48;

/// The maximum number of random addresses that are looked up.
const MAX_LOOKUPS: usize = 400_000;

/// Home countries of users, with time zone and language.
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

/// All users and attackers.
#[derive(Debug)]
pub struct Population {
    rng: ChaCha8Rng,
    users: Vec<DemoUser>,
    attackers: Vec<Ipv4Addr>,
    abroad: Vec<Ipv4Addr>,
}

/// A generated user.
#[derive(Debug)]
struct DemoUser {
    name: String,
    addresses: Vec<Ipv4Addr>,
    agent: &'static str,
    device: String,
    zone: &'static str,
    language: &'static str,
}

/// A sign-in to send.
#[derive(Debug)]
pub struct PlannedSignIn {
    /// The body of `POST /v1/assess`.
    pub body: Value,
    /// Whether the password will be right.
    pub password: Password,
    /// Who sends it.
    pub sender: Sender,
}

/// Who sends a sign-in. riskgate does not see this; the summary compares it with the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The user.
    User,
    /// An attacker.
    Attacker,
}

/// Whether a password is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Password {
    /// The password is right.
    Right,
    /// The password is wrong.
    Wrong,
}

impl Population {
    /// Generates `users` users and the attackers from a seed.
    pub fn generate(seed: u64, users: usize, networks: &Networks) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut homes: HashMap<&str, Vec<Ipv4Addr>> = HashMap::new();
        let (mut attackers, mut abroad) = (Vec::new(), Vec::new());
        let addresses_per_home = (users * 3 / HOMES.len()).max(1);
        for _ in 0..MAX_LOOKUPS {
            let ip = Ipv4Addr::from_bits(rng.random());
            let ClientIp::Public(_) = ClientIp::classify(ip.into()) else { continue };
            let facts = networks.facts(&Context { ip: ClientIp::classify(ip.into()), ..Context::default() });
            let (Some(country), Some(_)) = (facts.country, facts.asn) else { continue };
            match HOMES.iter().find(|(home, ..)| *home == country.as_str()) {
                _ if is_hosting_or_anonymous(&facts) && attackers.len() < ATTACKERS * 2 / 3 => attackers.push(ip),
                _ if is_hosting_or_anonymous(&facts) => {}
                Some((home, ..)) => {
                    let found = homes.entry(home).or_default();
                    if found.len() < addresses_per_home {
                        found.push(ip);
                    }
                }
                None if attackers.len() < ATTACKERS && rng.random_bool(0.5) => attackers.push(ip),
                None if abroad.len() < 32 => abroad.push(ip),
                None => {}
            }
            if attackers.len() >= ATTACKERS && abroad.len() >= 32 && homes.len() == HOMES.len() && homes.values().all(|found| found.len() >= addresses_per_home)
            {
                break;
            }
        }
        let users = (0..users).map(|number| DemoUser::generate(number, &mut rng, &homes)).collect();
        Population { rng, users, attackers, abroad }
    }

    /// Scores of the attackers' addresses for the risk service, which knows three quarters of them.
    pub fn scores(&mut self) -> HashMap<String, f64> {
        let mut scores = HashMap::new();
        for ip in &self.attackers {
            if self.rng.random_bool(0.75) {
                scores.insert(ip.to_string(), f64::from(self.rng.random_range(55..97_u32)));
            }
        }
        scores
    }

    /// Past sign-ins of every user by day: two a day for three days, at about the current time of day.
    pub fn history(&mut self, now: Timestamp) -> Vec<Vec<PlannedSignIn>> {
        let mut history = Vec::new();
        for days in (1..=3).rev() {
            let mut sign_ins = Vec::new();
            for user in &self.users {
                for address in user.addresses.iter().take(2) {
                    let at = now - SignedDuration::from_hours(24 * days) + SignedDuration::from_mins(self.rng.random_range(-90..90));
                    let mut body = user.body(*address);
                    body["time"] = json!(at);
                    sign_ins.push(PlannedSignIn { body, password: Password::Right, sender: Sender::User });
                }
            }
            history.push(sign_ins);
        }
        history
    }

    /// A sign-in of a random user, usually as before, and sometimes from abroad or with a new device.
    pub fn user_sign_in(&mut self) -> PlannedSignIn {
        let rng = &mut self.rng;
        let user = self.users.choose(rng).expect("there are users");
        let mut body = user.body(*user.addresses.choose(rng).expect("every user has an address"));
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
        PlannedSignIn { body, password, sender: Sender::User }
    }

    /// A sign-in of an attacker with a name and a password from a list.
    pub fn attacker_sign_in(&mut self) -> PlannedSignIn {
        let rng = &mut self.rng;
        let ip = self.attackers.choose(rng);
        let is_known = rng.random_bool(0.35);
        let user = if is_known {
            self.users.choose(rng).map_or_else(String::new, |user| user.name.clone())
        } else {
            format!("leaked-{:05}", rng.random_range(0..40_000))
        };
        let body = json!({ "user": user, "client": "web", "pool": "demo", "ip": ip, "userAgent": TOOLS.choose(rng) });
        let password = if is_known && rng.random_bool(0.03) { Password::Right } else { Password::Wrong };
        PlannedSignIn { body, password, sender: Sender::Attacker }
    }
}

impl DemoUser {
    fn generate(number: usize, rng: &mut ChaCha8Rng, homes: &HashMap<&str, Vec<Ipv4Addr>>) -> Self {
        let (home, zone, language) = HOMES[number % HOMES.len()];
        let addresses: Vec<Ipv4Addr> = homes.get(home).into_iter().flatten().skip(number / HOMES.len() * 3).take(3).copied().collect();
        DemoUser {
            name: format!("person-{number:03}"),
            // Without a random address of the country, the user gets an address of a documentation range.
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

/// Whether the address belongs to a server or an anonymizer.
fn is_hosting_or_anonymous(facts: &NetworkFacts) -> bool {
    let kind = facts.kind;
    kind.anonymous || kind.hosting || kind.vpn || kind.tor || kind.relay
}
