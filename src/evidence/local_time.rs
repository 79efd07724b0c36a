//! The time of day where the person is: by the claimed zone, else by the address's country.

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};

use super::{
    NetworkFacts,
    networks::territory::{self, Territory, ZONES},
};
use crate::event::SignIn;

/// The hour of the day where the person is, 0 to 23. `None` when neither zone nor country is known.
pub fn hour(sign_in: &SignIn, networks: &NetworkFacts) -> Option<u8> {
    let at = sign_in.received.wall;
    let zone = claimed(sign_in).or_else(|| of_place(networks, at))?;
    u8::try_from(zone.to_datetime(at).hour()).ok()
}

/// Whether a clock in the address's country, or in a neighbour, shows the time of the claimed zone. `None` when one of the two is missing.
pub fn zone_fits(sign_in: &SignIn, networks: &NetworkFacts) -> Option<bool> {
    let at = sign_in.received.wall;
    let claimed = claimed(sign_in)?.to_offset(at);
    let home = territory::of(networks.country?)?;
    home.zones().first()?;
    let shows = |territory: &Territory| territory.zones().iter().any(|zone| zone.to_offset(at) == claimed);
    Some(shows(home) || home.neighbours().any(shows))
}

fn claimed(sign_in: &SignIn) -> Option<TimeZone> {
    ZONES.get(sign_in.context.timezone.as_ref()?.expose()).ok()
}

/// The zone of a place: of several in a country the one nearest by the sun, where the place is known better than the country; else the first.
fn of_place(networks: &NetworkFacts, at: Timestamp) -> Option<TimeZone> {
    let territory = territory::of(networks.country?)?;
    match networks.location.filter(|place| place.radius_km < territory.radius_km) {
        Some(place) => territory.zones().iter().min_by_key(|zone| from_the_sun(zone.to_offset(at), place.longitude)),
        None => territory.zones().first(),
    }
    .cloned()
}

/// Seconds between a zone's clock and the sun's at a longitude: four minutes a degree.
#[expect(clippy::cast_possible_truncation, reason = "a day's seconds fit")]
fn from_the_sun(offset: Offset, longitude: f64) -> i32 {
    (offset.seconds() - (longitude * 240.0) as i32).abs()
}
