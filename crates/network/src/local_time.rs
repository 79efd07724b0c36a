//! The local time of a sign-in, by the claimed time zone, else by the location of the address.

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::{Mutex, PoisonError},
};

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};
use smol_str::SmolStr;

use crate::country::{self, Minute, ZONES};
use riskgate_engine::sign_in::SignIn;
use riskgate_engine::{evidence::LocalTime, network_facts::NetworkFacts};

/// A cache of zone look-ups by name. The hash of a name selects its slot. A look-up in the zone database would take longer than
/// all hashes of a sign-in.
static CACHE: [Mutex<Option<CachedZone>>; 256] = [const { Mutex::new(None) }; 256];

/// A name, the zone of that name if there is one, and the offset in the minute that was last queried.
struct CachedZone {
    name: SmolStr,
    zone: Option<TimeZone>,
    offset: Option<(Minute, Offset)>,
}

/// Determines the local time of a sign-in. A field is `None` when the zone and the country it depends on are unknown.
pub fn read(sign_in: &SignIn, networks: &NetworkFacts) -> LocalTime {
    let at = sign_in.at.timestamp();
    let claimed = claimed_offset(sign_in);
    let offset = claimed.or_else(|| location_offset(networks, at));
    LocalTime {
        hour: offset.and_then(|offset| u8::try_from(offset.to_datetime(at).hour()).ok()),
        zone_fits: claimed.and_then(|claimed| is_offset_near(claimed, networks, at)),
    }
}

/// Whether the sign-in claims a time zone that the zone database does not have.
pub fn has_unknown_zone(sign_in: &SignIn) -> bool {
    sign_in.context.timezone.is_some() && claimed_offset(sign_in).is_none()
}

/// Whether the address's country or a neighbour has a zone with the claimed UTC offset.
fn is_offset_near(claimed: Offset, networks: &NetworkFacts, at: Timestamp) -> Option<bool> {
    let home = country::of(networks.country?)?;
    home.zones().first()?;
    Some(home.has_offset(claimed, at) || home.neighbours().any(|country_data| country_data.has_offset(claimed, at)))
}

/// The UTC offset of the claimed zone.
fn claimed_offset(sign_in: &SignIn) -> Option<Offset> {
    let name = sign_in.context.timezone.as_ref()?.expose();
    let at = sign_in.at.timestamp();
    let minute = Minute::of(at);
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    let slot = usize::try_from(hasher.finish() % CACHE.len() as u64).expect("a slot's number fits");
    // Each write is a single assignment, so a panic leaves no partial change.
    let mut cached = CACHE[slot].lock().unwrap_or_else(PoisonError::into_inner);
    let cached = match &mut *cached {
        Some(cached) if cached.name == *name => cached,
        other => other.insert(CachedZone { name: name.clone(), zone: ZONES.get(name).ok(), offset: None }),
    };
    let zone = cached.zone.as_ref()?;
    match cached.offset {
        Some((cached_minute, offset)) if cached_minute == minute => Some(offset),
        Some(_) | None => Some(cached.offset.insert((minute, zone.to_offset(at))).1),
    }
}

/// The UTC offset at the location. If the location is more precise than the country, this is the zone nearest to solar time,
/// else the first zone of the country.
fn location_offset(networks: &NetworkFacts, at: Timestamp) -> Option<Offset> {
    let country_data = country::of(networks.country?)?;
    let mut offsets = country_data.zones().iter().map(|zone| zone.to_offset(at));
    match networks.location.filter(|location| location.radius_km < country_data.radius_km) {
        Some(location) => offsets.min_by_key(|offset| solar_difference(*offset, location.longitude)),
        None => offsets.next(),
    }
}

/// The difference in seconds between a UTC offset and mean solar time at a longitude, which is four minutes per degree.
#[expect(clippy::cast_possible_truncation, reason = "a day's seconds fit")]
fn solar_difference(offset: Offset, longitude: f64) -> i32 {
    (offset.seconds() - (longitude * 240.0) as i32).abs()
}
