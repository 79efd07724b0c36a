//! What the network databases say of an address: country, AS, place and kind of network.

use crate::event::context::Country;

/// What the network databases say of an address. Unknown is a value, not zero.
#[derive(Debug, Clone, Default)]
pub struct NetworkFacts {
    /// The country.
    pub country: Option<Country>,
    /// The autonomous system's number.
    pub asn: Option<u32>,
    /// Where it is on the map, with the database's own accuracy.
    pub location: Option<Location>,
    /// What kind of anonymiser or host it is.
    pub kind: NetworkKind,
}

/// A place with the radius that the database vouches for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// Kilometres; 50 where a city database states none, the country's own spread where only the country is known.
    pub radius_km: f64,
}

/// Flags of MaxMind's Anonymous-IP database, and of the bundled one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkKind {
    /// An anonymiser of some kind. Not set for a host that is nothing else.
    pub anonymous: bool,
    /// A VPN.
    pub vpn: bool,
    /// A Tor exit.
    pub tor: bool,
    /// A public proxy.
    pub public_proxy: bool,
    /// A residential proxy.
    pub residential_proxy: bool,
    /// A hosting provider.
    pub hosting: bool,
    /// A privacy relay of a browser or system maker: hides the address, keeps the country.
    pub relay: bool,
}

// === impl NetworkKind ===

impl NetworkKind {
    /// The flags that a kind's name in the bundled database stands for; none for an unknown name.
    pub fn named(name: &str) -> Self {
        let none = NetworkKind::default();
        match name {
            "hosting" => NetworkKind { hosting: true, ..none },
            "vpn" => NetworkKind { anonymous: true, vpn: true, ..none },
            "tor" => NetworkKind { anonymous: true, tor: true, ..none },
            "relay" => NetworkKind { relay: true, ..none },
            _ => none,
        }
    }
}
