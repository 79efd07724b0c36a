//! Address signals: its location, its kind of network, and whether the user has used it.

use crate::signals::familiarity::{Familiarities, Familiarity};
use crate::{context::Country, evidence::Evidence, features::FeatureLevel, network_facts::NetworkKind};

/// Facts about the address.
#[derive(Debug, Clone, Default)]
pub struct IpSignals {
    /// Whether there is a public address: `8.8.8.8` is public, `10.0.0.1` is not.
    pub public: bool,
    /// Its country, such as `NO`.
    pub country: Option<Country>,
    /// Its autonomous system, such as 2119.
    pub asn: Option<u32>,
    /// The kinds of its network, such as hosting.
    pub kind: NetworkKind,
    /// Familiarity of the country, such as seen 9 of 12 times.
    pub country_familiarity: Familiarity,
    /// Familiarity of the autonomous system, within the country.
    pub asn_familiarity: Familiarity,
    /// Familiarity of the /24 or /48, within the autonomous system.
    pub network_familiarity: Familiarity,
    /// Familiarity of the address, within the network.
    pub ip_familiarity: Familiarity,
}

impl IpSignals {
    /// Derives the signals.
    pub fn read(evidence: &Evidence, familiarities: &Familiarities) -> Self {
        IpSignals {
            public: evidence.sign_in.context.ip.public().is_some(),
            country: evidence.networks.country,
            asn: evidence.networks.asn,
            kind: evidence.networks.kind,
            country_familiarity: familiarities.at(FeatureLevel::Country),
            asn_familiarity: familiarities.at(FeatureLevel::Asn),
            network_familiarity: familiarities.at(FeatureLevel::Network),
            ip_familiarity: familiarities.at(FeatureLevel::Ip),
        }
    }
}
