//! The time of day where the person is: by the claimed zone, else by the address's country.

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::{Mutex, PoisonError},
};

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};
use smol_str::SmolStr;

use super::{
    NetworkFacts,
    networks::territory::{self, Territory, ZONES},
};
use crate::event::SignIn;

/// Names that were looked up before and what they name, each in the one place that its hash names: a look-up takes longer than a sign-in's hashes.
static KNOWN: [Mutex<Option<Named>>; 256] = [const { Mutex::new(None) }; 256];

/// A name and the zone of that name, where there is one.
type Named = (SmolStr, Option<TimeZone>);

/// The hour of the day where the person is, 0 to 23. `None` when neither zone nor country is known.
pub fn hour(sign_in: &SignIn, networks: &NetworkFacts) -> Option<u8> {
    let at = sign_in.received.wall;
    let zone = claimed(sign_in).or_else(|| of_place(networks, at))?;
    u8::try_from(zone.to_datetime(at).hour()).ok()
}

/// Whether a clock in the address's country, or in a neighbour, shows the time of the claimed zone. `None` when one of the two is missing.
pub fn zone_fits(sign_in: &SignIn, networks: &NetworkFacts) -> Option<bool> {
    let at = sign_in.received.wall;
    let claimed = claimed(sign_in)?;
    let home = territory::of(networks.country?)?;
    home.zones().first()?;
    // Most people claim a zone of the place itself: then no clock has to be worked out.
    if home.zones().iter().any(|zone| zone.iana_name() == claimed.iana_name()) {
        return Some(true);
    }
    let claimed = claimed.to_offset(at);
    let shows = |territory: &Territory| territory.zones().iter().any(|zone| zone.to_offset(at) == claimed);
    Some(shows(home) || home.neighbours().any(shows))
}

fn claimed(sign_in: &SignIn) -> Option<TimeZone> {
    let name = sign_in.context.timezone.as_ref()?.expose();
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    let place = usize::try_from(hasher.finish() % KNOWN.len() as u64).expect("a place's number fits");
    // Whole entries are put in and taken out: a panic leaves nothing half-changed.
    let mut known = KNOWN[place].lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some((of, zone)) if of == name => zone.clone(),
        Some(_) | None => known.insert((name.clone(), ZONES.get(name).ok())).1.clone(),
    }
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
