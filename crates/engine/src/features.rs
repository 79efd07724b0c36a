//! Features: keyed hashes of a sign-in's network and device, at the levels of the model's hierarchies.

use crate::network_facts::NetworkFacts;
use crate::sign_in::SignIn;

/// A level of the network hierarchy (country > ASN > network > address), of the user agent hierarchy (device type > OS > browser >
/// user agent), or the device id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FeatureLevel {
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
    /// The complete user agent.
    UserAgent = 7,
    /// The app's device id.
    Device = 8,
}

/// For each level the hash of its value and its parents' values; `None` where the value is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features([Option<u32>; 9]);

/// The key of feature hashes: SipHash-2-4 with a key of 128 bits. The values cannot be guessed from the hashes without the key.
#[derive(Clone)]
pub struct FeatureKey([u8; 16]);

impl FeatureLevel {
    /// Every level, in order.
    pub const ALL: [FeatureLevel; 9] = [
        FeatureLevel::Country,
        FeatureLevel::Asn,
        FeatureLevel::Network,
        FeatureLevel::Ip,
        FeatureLevel::DeviceType,
        FeatureLevel::Os,
        FeatureLevel::Browser,
        FeatureLevel::UserAgent,
        FeatureLevel::Device,
    ];

    /// Whether it is a level of the network hierarchy.
    pub fn is_network(self) -> bool {
        self <= FeatureLevel::Ip
    }
}

impl Features {
    /// Hashes the known values of a sign-in. If a level is unknown, the level below it uses the nearest known level as parent.
    pub fn of(sign_in: &SignIn, networks: &NetworkFacts, key: &FeatureKey) -> Self {
        use crate::client_ip::{host_of, network_of};
        let mut features = Features::default();
        let context = &sign_in.context;
        let ip = context.ip.public();
        let mut chain = HashChain { key, parent: 0 };
        features.set(FeatureLevel::Country, chain.next(FeatureLevel::Country, networks.country.as_ref().map(|c| c.as_str().as_bytes())));
        features.set(FeatureLevel::Asn, chain.next(FeatureLevel::Asn, networks.asn.map(u32::to_be_bytes).as_ref().map(|b| &b[..])));
        features.set(FeatureLevel::Network, chain.next(FeatureLevel::Network, ip.map(|ip| octets(network_of(ip))).as_ref().map(|b| &b[..])));
        features.set(FeatureLevel::Ip, chain.next(FeatureLevel::Ip, ip.map(|ip| octets(host_of(ip))).as_ref().map(|b| &b[..])));
        let asserted = &context.asserted;
        let agent = context.user_agent.as_ref();
        let device_type = asserted.device_type.or(agent.map(|ua| ua.device_type));
        let os = asserted.os.as_ref().or(agent.map(|ua| &ua.os));
        let browser = asserted.browser.as_ref().or(agent.map(|ua| &ua.browser));
        let mut chain = HashChain { key, parent: 0 };
        features.set(FeatureLevel::DeviceType, chain.next(FeatureLevel::DeviceType, device_type.map(|kind| kind.as_label().as_bytes())));
        features.set(FeatureLevel::Os, chain.next(FeatureLevel::Os, os.map(|os| os.as_bytes())));
        features.set(FeatureLevel::Browser, chain.next(FeatureLevel::Browser, browser.map(|browser| browser.as_bytes())));
        features.set(FeatureLevel::UserAgent, chain.next(FeatureLevel::UserAgent, agent.map(|ua| ua.text.expose().as_bytes())));
        let mut chain = HashChain { key, parent: 0 };
        features.set(FeatureLevel::Device, chain.next(FeatureLevel::Device, context.device_id.as_ref().map(|id| id.expose().as_bytes())));
        features
    }

    /// The hash at a level.
    pub fn at(&self, level: FeatureLevel) -> Option<u32> {
        self.0[level as usize]
    }

    /// Sets the hash at a level. Stores call this to restore an attempt.
    pub fn set(&mut self, level: FeatureLevel, hash: Option<u32>) {
        self.0[level as usize] = hash;
    }
}

impl FeatureKey {
    /// Creates a key from 128 bits.
    pub fn new(key: [u8; 16]) -> Self {
        FeatureKey(key)
    }

    /// The hash of a value without a parent.
    pub fn hash_of(&self, level: FeatureLevel, value: &[u8]) -> u32 {
        self.hash(level, 0, value)
    }

    /// The hash of a value below a parent; 0 for none.
    pub(crate) fn hash(&self, level: FeatureLevel, parent: u32, value: &[u8]) -> u32 {
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

/// Hashes the values of one hierarchy from the root down.
struct HashChain<'a> {
    key: &'a FeatureKey,
    parent: u32,
}

impl HashChain<'_> {
    fn next(&mut self, level: FeatureLevel, value: Option<&[u8]>) -> Option<u32> {
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
