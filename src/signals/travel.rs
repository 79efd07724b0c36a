//! Travel: how fast the person would have had to move.
//!
//! The accuracy radii of both places are subtracted from the distance; no peer does that, and it is
//! why a country-only look-up does not make everybody fly.

use super::{familiarity::Familiarities, time::since};
use crate::evidence::{
    Evidence,
    features::Level,
    history::profile::Sighting,
    network_facts::{Location, NetworkKind},
};

/// Shorter distances than this, in kilometres, are what GeoIP gets wrong anyway.
const SHORTEST_KM: f64 = 100.0;

/// Clocks and retries make shorter times than this, in hours, meaningless.
const SHORTEST_H: f64 = 1.0 / 60.0;

/// Mean radius of the earth, in kilometres (IUGG).
const EARTH_KM: f64 = 6371.0088;

/// Facts of travel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TravelSignals {
    /// From the last success to here, such as 5 570 km in 0.6 h; absent when it says nothing.
    pub since_success: Option<Journey>,
    /// Between here and where somebody else is signing in to this account right now; the fastest.
    pub concurrent: Option<Journey>,
}

/// A distance and the time for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Journey {
    /// Kilometres as the crow flies, less both accuracy radii, such as 5570.
    pub km: f64,
    /// Hours, at least a minute, such as 0.6.
    pub hours: f64,
}

impl TravelSignals {
    /// Reads the facts. Nothing is said of anonymisers, hosting and relays, nor of a provider that the person has used.
    pub fn read(evidence: &Evidence, familiarities: &Familiarities) -> Self {
        let Some(here) = evidence.networks.location.filter(|_| !hides_the_place(evidence.networks.kind)) else { return TravelSignals::default() };
        if familiarities.at(Level::Asn).is_seen() {
            return TravelSignals::default();
        }
        let at = evidence.sign_in.at.timestamp();
        let journey = |there: &Sighting| {
            let place = there.place.filter(|_| !there.anonymous)?;
            let km = (distance_km(place, here) - place.radius_km - here.radius_km).max(0.0);
            let seconds = since(there.at.min(at), there.at.max(at)).as_secs_f64();
            (km >= SHORTEST_KM).then_some(Journey { km, hours: (seconds / 3600.0).max(SHORTEST_H) })
        };
        TravelSignals {
            since_success: evidence.history.profile.last.as_ref().and_then(journey),
            concurrent: evidence.history.concurrent.iter().filter_map(journey).max_by(|a, b| a.kmh().total_cmp(&b.kmh())),
        }
    }
}

impl Journey {
    /// The speed that it takes, in km/h.
    pub fn kmh(self) -> f64 {
        self.km / self.hours
    }
}

/// Whether an address of this kind says nothing of where the person is.
pub fn hides_the_place(kind: NetworkKind) -> bool {
    kind.anonymous || kind.vpn || kind.tor || kind.public_proxy || kind.residential_proxy || kind.hosting || kind.relay
}

/// Great-circle distance (haversine).
fn distance_km(a: Location, b: Location) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half_lat = ((lat_b - lat_a) / 2.0).sin();
    let half_lon = ((b.longitude - a.longitude).to_radians() / 2.0).sin();
    let h = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
    2.0 * EARTH_KM * h.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(latitude: f64, longitude: f64) -> Location {
        Location { latitude, longitude, radius_km: 0.0 }
    }

    #[test]
    fn distances_are_those_of_an_atlas() {
        // Oslo to New York 5 917 km, Auckland to Suva over the date line 2 140 km.
        for (a, b, expected) in [(place(59.91, 10.75), place(40.71, -74.01), 5917.0), (place(-36.85, 174.76), place(-18.14, 178.44), 2116.0)] {
            let km = distance_km(a, b);
            assert!((km - expected).abs() < 30.0, "{km} against {expected}");
        }
        let over = distance_km(place(0.0, 179.5), place(0.0, -179.5));
        assert!((over - 111.2).abs() < 1.0, "{over}");
    }
}
