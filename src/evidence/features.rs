//! A sign-in's network and device as keyed hashes, in the chains of the scoring model.

use super::NetworkFacts;
use crate::event::SignIn;

/// The levels of the two chains, and the device: NET country > ASN > network > address; UA device type > OS > browser > agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Country of the address.
    Country = 0,
    /// Autonomous system.
    Asn = 1,
    /// The /24, or /48 for IPv6.
    Network = 2,
    /// The address, or its /64 for IPv6.
    Ip = 3,
    /// Device type.
    DeviceType = 4,
    /// Operating system family.
    Os = 5,
    /// Browser family.
    Browser = 6,
    /// The whole user agent.
    UserAgent = 7,
    /// The app's device id.
    Device = 8,
}

/// For each level the hash of its value under its parents' values, where the value is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features([Option<u32>; 9]);

/// Makes hashes that are useless without the key: SipHash-2-4, a pseudorandom function, under a key of 128 bits.
#[derive(Clone)]
pub struct FeatureKey([u8; 16]);

// === impl Level ===

impl Level {
    /// Every level, in order.
    pub const ALL: [Level; 9] =
        [Level::Country, Level::Asn, Level::Network, Level::Ip, Level::DeviceType, Level::Os, Level::Browser, Level::UserAgent, Level::Device];
}

// === impl Features ===

impl Features {
    /// Hashes what is known of a sign-in. A level below an unknown one hangs on the nearest known one.
    pub fn of(sign_in: &SignIn, networks: &NetworkFacts, key: &FeatureKey) -> Self {
        use crate::event::client_ip::{host_of, network_of};
        let mut features = Features::default();
        let context = &sign_in.context;
        let ip = context.ip.public();
        let mut chain = Chain { key, parent: 0 };
        features.set(Level::Country, chain.step(Level::Country, networks.country.as_ref().map(|c| c.as_str().as_bytes())));
        features.set(Level::Asn, chain.step(Level::Asn, networks.asn.map(u32::to_be_bytes).as_ref().map(|b| &b[..])));
        features.set(Level::Network, chain.step(Level::Network, ip.map(|ip| octets(network_of(ip))).as_ref().map(|b| &b[..])));
        features.set(Level::Ip, chain.step(Level::Ip, ip.map(|ip| octets(host_of(ip))).as_ref().map(|b| &b[..])));
        let stated = &context.stated;
        let agent = context.user_agent.as_ref();
        let device_type = stated.device_type.or(agent.map(|ua| ua.device_type));
        let os = stated.os.as_ref().or(agent.map(|ua| &ua.os));
        let browser = stated.browser.as_ref().or(agent.map(|ua| &ua.browser));
        let mut chain = Chain { key, parent: 0 };
        features.set(Level::DeviceType, chain.step(Level::DeviceType, device_type.map(|kind| kind.as_label().as_bytes())));
        features.set(Level::Os, chain.step(Level::Os, os.map(|os| os.as_bytes())));
        features.set(Level::Browser, chain.step(Level::Browser, browser.map(|browser| browser.as_bytes())));
        features.set(Level::UserAgent, chain.step(Level::UserAgent, agent.map(|ua| ua.text.expose().as_bytes())));
        let mut chain = Chain { key, parent: 0 };
        features.set(Level::Device, chain.step(Level::Device, context.device_id.as_ref().map(|id| id.expose().as_bytes())));
        features
    }

    /// The hash at a level.
    pub fn at(&self, level: Level) -> Option<u32> {
        self.0[level as usize]
    }

    /// Sets the hash at a level: for stores that read attempts back.
    pub fn set(&mut self, level: Level, hash: Option<u32>) {
        self.0[level as usize] = hash;
    }
}

// === impl FeatureKey ===

impl FeatureKey {
    /// A key of 128 bits.
    pub fn new(key: [u8; 16]) -> Self {
        FeatureKey(key)
    }

    /// The hash of a value that hangs on nothing.
    pub fn hash_of(&self, level: Level, value: &[u8]) -> u32 {
        self.hash(level, 0, value)
    }

    fn hash(&self, level: Level, parent: u32, value: &[u8]) -> u32 {
        use std::hash::Hasher;
        let mut hasher = siphasher::sip::SipHasher24::new_with_key(&self.0);
        let [a, b, c, d] = parent.to_be_bytes();
        hasher.write(&[level as u8, a, b, c, d]);
        hasher.write(value);
        let [a, b, c, d, ..] = hasher.finish().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

impl std::fmt::Debug for FeatureKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FeatureKey([redacted])")
    }
}

// === impl Chain ===

struct Chain<'a> {
    key: &'a FeatureKey,
    parent: u32,
}

impl Chain<'_> {
    fn step(&mut self, level: Level, value: Option<&[u8]>) -> Option<u32> {
        let hash = self.key.hash(level, self.parent, value?);
        self.parent = hash;
        Some(hash)
    }
}

fn octets(ip: std::net::IpAddr) -> [u8; 16] {
    match ip {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(v6) => v6.octets(),
    }
}
