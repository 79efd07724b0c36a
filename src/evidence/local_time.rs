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
    LocalTime, NetworkFacts,
    networks::territory::{self, Minute, ZONES},
};
use crate::event::SignIn;

/// Names that were looked up before and what they name, each in the one place that its hash names: a look-up takes longer than a sign-in's hashes.
static KNOWN: [Mutex<Option<Named>>; 256] = [const { Mutex::new(None) }; 256];

/// A name, the zone of that name where there is one, and what its clock showed last.
struct Named {
    name: SmolStr,
    zone: Option<TimeZone>,
    shown: Option<(Minute, Offset)>,
}

/// Reads the local time of a sign-in. A part is `None` when neither zone nor country is known.
pub fn read(sign_in: &SignIn, networks: &NetworkFacts) -> LocalTime {
    let at = sign_in.at.timestamp();
    let claimed = claimed(sign_in);
    let offset = claimed.or_else(|| of_place(networks, at));
    LocalTime {
        hour: offset.and_then(|offset| u8::try_from(offset.to_datetime(at).hour()).ok()),
        zone_fits: claimed.and_then(|claimed| fits(claimed, networks, at)),
    }
}

/// Whether a clock in the address's country, or in a neighbour, shows the time of the claimed zone.
fn fits(claimed: Offset, networks: &NetworkFacts, at: Timestamp) -> Option<bool> {
    let home = territory::of(networks.country?)?;
    home.zones().first()?;
    Some(home.shows(claimed, at) || home.neighbours().any(|territory| territory.shows(claimed, at)))
}

/// How far the clock of the claimed zone is from UTC.
fn claimed(sign_in: &SignIn) -> Option<Offset> {
    let name = sign_in.context.timezone.as_ref()?.expose();
    let at = sign_in.at.timestamp();
    let minute = Minute::of(at);
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    let place = usize::try_from(hasher.finish() % KNOWN.len() as u64).expect("a place's number fits");
    // Whole entries are put in and taken out: a panic leaves nothing half-changed.
    let mut known = KNOWN[place].lock().unwrap_or_else(PoisonError::into_inner);
    let known = match &mut *known {
        Some(known) if known.name == *name => known,
        other => other.insert(Named { name: name.clone(), zone: ZONES.get(name).ok(), shown: None }),
    };
    let zone = known.zone.as_ref()?;
    match known.shown {
        Some((then, offset)) if then == minute => Some(offset),
        Some(_) | None => Some(known.shown.insert((minute, zone.to_offset(at))).1),
    }
}

/// How far the clock of a place is from UTC: of several zones in a country the one nearest by the sun, where the place is known better than the country; else the first.
fn of_place(networks: &NetworkFacts, at: Timestamp) -> Option<Offset> {
    let territory = territory::of(networks.country?)?;
    let mut offsets = territory.zones().iter().map(|zone| zone.to_offset(at));
    match networks.location.filter(|place| place.radius_km < territory.radius_km) {
        Some(place) => offsets.min_by_key(|offset| from_the_sun(*offset, place.longitude)),
        None => offsets.next(),
    }
}

/// Seconds between a zone's clock and the sun's at a longitude: four minutes a degree.
#[expect(clippy::cast_possible_truncation, reason = "a day's seconds fit")]
fn from_the_sun(offset: Offset, longitude: f64) -> i32 {
    (offset.seconds() - (longitude * 240.0) as i32).abs()
}
