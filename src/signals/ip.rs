//! The address: where it is, what kind of network that is, and whether the person has been there.

use super::familiarity::{Familiarities, Familiarity};
use crate::{
    event::context::Country,
    evidence::{Evidence, features::Level, network_facts::NetworkKind},
};

/// Facts of the address.
#[derive(Debug, Clone, Default)]
pub struct IpSignals {
    /// Whether there is an address of the public Internet: `8.8.8.8` is one, `10.0.0.1` is not.
    pub public: bool,
    /// Its country, such as `NO`.
    pub country: Option<Country>,
    /// Its autonomous system, such as 2119.
    pub asn: Option<u32>,
    /// What kind of network it is, such as hosting.
    pub kind: NetworkKind,
    /// The person's history with the country: seen 9 of 12 times.
    pub country_familiarity: Familiarity,
    /// With the autonomous system, within the country.
    pub asn_familiarity: Familiarity,
    /// With the /24 or /48, within the autonomous system.
    pub network_familiarity: Familiarity,
    /// With the address, within the network.
    pub ip_familiarity: Familiarity,
}

impl IpSignals {
    /// Reads the facts.
    pub fn read(evidence: &Evidence, familiarities: &Familiarities) -> Self {
        IpSignals {
            public: evidence.sign_in.context.ip.public().is_some(),
            country: evidence.networks.country,
            asn: evidence.networks.asn,
            kind: evidence.networks.kind,
            country_familiarity: familiarities.at(Level::Country),
            asn_familiarity: familiarities.at(Level::Asn),
            network_familiarity: familiarities.at(Level::Network),
            ip_familiarity: familiarities.at(Level::Ip),
        }
    }
}
