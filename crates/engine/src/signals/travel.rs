//! Travel signals: the speed that the user would need between two sign-ins.
//!
//! The accuracy radii of both locations are subtracted from the distance. Without this, look-ups that only know the country would
//! report impossible travel for ordinary sign-ins.

use crate::signals::{familiarity::Familiarities, time::since};
use crate::{
    evidence::Evidence,
    features::FeatureLevel,
    network_facts::{Location, NetworkKind},
    profile::SignInLocation,
};

/// The minimum distance in kilometres. GeoIP errors exceed shorter distances.
const MIN_KM: f64 = 100.0;

/// The minimum time in hours. Clock differences and retries exceed shorter times.
const MIN_HOURS: f64 = 1.0 / 60.0;

/// Mean radius of the earth, in kilometres (IUGG).
const EARTH_RADIUS_KM: f64 = 6371.0088;

/// Facts about travel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TravelSignals {
    /// From the last success to this sign-in, such as 5570 km in 0.6 h; `None` if unknown or not meaningful.
    pub since_success: Option<Journey>,
    /// Between this sign-in and the location of a concurrent sign-in to the account; the fastest if there are several.
    pub concurrent: Option<Journey>,
}

/// A distance and the time for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Journey {
    /// Great-circle distance in kilometres, less both accuracy radii, such as 5570.
    pub km: f64,
    /// Time in hours, at least one minute, such as 0.6.
    pub hours: f64,
}

impl TravelSignals {
    /// Derives the signals. There are none for anonymisers, hosting and relays, nor for an autonomous system that the user has used.
    pub fn read(evidence: &Evidence, familiarities: &Familiarities) -> Self {
        let Some(here) = evidence.networks.location.filter(|_| !hides_location(evidence.networks.kind)) else { return TravelSignals::default() };
        if familiarities.at(FeatureLevel::Asn).is_seen() {
            return TravelSignals::default();
        }
        let here = SignInLocation { at: evidence.sign_in.at.timestamp(), location: Some(here), anonymous: false };
        let journey = |earlier: &SignInLocation| Journey::between(earlier, &here);
        TravelSignals {
            since_success: evidence.history.profile.last.as_ref().and_then(journey),
            concurrent: evidence.history.concurrent.iter().filter_map(journey).max_by(|a, b| a.kmh().total_cmp(&b.kmh())),
        }
    }
}

impl Journey {
    /// From one place to another; `None` if either is unknown, hidden or too near to the other.
    pub fn between(earlier: &SignInLocation, later: &SignInLocation) -> Option<Self> {
        let place = |seen: &SignInLocation| seen.location.filter(|_| !seen.anonymous);
        let (there, here) = (place(earlier)?, place(later)?);
        let km = (distance_km(there, here) - there.radius_km - here.radius_km).max(0.0);
        let seconds = since(earlier.at.min(later.at), earlier.at.max(later.at)).as_secs_f64();
        (km >= MIN_KM).then_some(Journey { km, hours: (seconds / 3600.0).max(MIN_HOURS) })
    }

    /// The required speed in km/h.
    pub fn kmh(self) -> f64 {
        self.km / self.hours
    }
}

/// Whether the location of an address of this kind is not the user's.
pub fn hides_location(kind: NetworkKind) -> bool {
    kind.anonymous || kind.vpn || kind.tor || kind.public_proxy || kind.residential_proxy || kind.hosting || kind.relay
}

/// Great-circle distance in kilometres (haversine formula).
fn distance_km(a: Location, b: Location) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half_lat = ((lat_b - lat_a) / 2.0).sin();
    let half_lon = ((b.longitude - a.longitude).to_radians() / 2.0).sin();
    let h = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
    2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(latitude: f64, longitude: f64) -> Location {
        Location { latitude, longitude, radius_km: 0.0 }
    }

    #[test]
    fn distances_match_reference_values() {
        // Oslo to New York; Auckland to Suva, over the date line.
        for (a, b, expected) in [(location(59.91, 10.75), location(40.71, -74.01), 5917.0), (location(-36.85, 174.76), location(-18.14, 178.44), 2116.0)] {
            let km = distance_km(a, b);
            assert!((km - expected).abs() < 30.0, "{km} against {expected}");
        }
        let over = distance_km(location(0.0, 179.5), location(0.0, -179.5));
        assert!((over - 111.2).abs() < 1.0, "{over}");
    }
}
