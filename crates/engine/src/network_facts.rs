//! Facts about an address from network databases: country, AS number, location and kind of network.

use crate::context::Country;

/// Facts about an address from network databases. `None` is unknown.
#[derive(Debug, Clone, Default)]
pub struct NetworkFacts {
    /// The country.
    pub country: Option<Country>,
    /// The autonomous system's number.
    pub asn: Option<u32>,
    /// The location, with the accuracy that the database states.
    pub location: Option<Location>,
    /// The kinds of anonymiser or hosting that it belongs to.
    pub kind: NetworkKind,
}

/// Coordinates with an accuracy radius.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// Accuracy radius in kilometres: 50 if a city database has none, the size of the country if only the country is known.
    pub radius_km: f64,
}

/// Kinds of network, as in MaxMind's Anonymous IP database and the bundled one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkKind {
    /// An anonymiser of any kind. Not set for networks that are only hosting.
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
    /// A privacy relay of a browser or operating system vendor, which hides the address but keeps the country.
    pub relay: bool,
}

impl NetworkKind {
    /// The flags for a kind's name in the bundled database; no flags for an unknown name.
    pub fn from_name(name: &str) -> Self {
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
