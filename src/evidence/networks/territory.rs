//! Countries on the map: where each lies, how far it reaches, its time zones, its neighbours.

use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone, TimeZoneDatabase},
};
use smallvec::SmallVec;

use crate::{event::context::Country, evidence::network_facts::Location};

/// One row of `data/countries.csv`.
#[derive(Debug)]
pub struct Territory {
    /// Its ISO 3166-1 alpha-2 code, or `XK`.
    pub country: Country,
    /// Degrees north of the land's centroid.
    pub latitude: f64,
    /// Degrees east of the land's centroid.
    pub longitude: f64,
    /// Kilometres: the radius of the disc with the territory's area.
    pub radius_km: f64,
    /// Kilometres: the radius of the disc whose land lies as far from its centre, in the mean of squares,
    /// as this territory's from its centroid. Never below `radius_km`; far above it for Chile or Kiribati.
    pub spread_km: f64,
    zone_names: &'static str,
    /// What the names stand for, looked up at the first question: most territories are never asked about.
    zones: OnceLock<Vec<TimeZone>>,
    /// What their clocks showed last.
    shown: Mutex<Option<(Minute, SmallVec<[Offset; 4]>)>>,
    neighbour_codes: &'static str,
    neighbours: OnceLock<Vec<&'static Territory>>,
}

/// A minute of the world's time, counted from 1970. No zone has changed its clocks within one since 1972, and working out
/// what a clock shows takes longer than the rest of a sign-in's signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute(i64);

/// The zones that are compiled in: no file of the machine's is read, so every machine agrees.
pub static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The territory of a country code; none for codes that stand for no place (`EU`, `ZZ`).
pub fn of(country: Country) -> Option<&'static Territory> {
    TERRITORIES.binary_search_by_key(&country, |territory| territory.country).ok().map(|at| &TERRITORIES[at])
}

/// Every territory, by code.
pub fn all() -> &'static [Territory] {
    &TERRITORIES
}

static TERRITORIES: LazyLock<Vec<Territory>> =
    LazyLock::new(|| include_str!("../../../data/countries.csv").lines().skip(1).filter_map(Territory::parse).collect());

impl Territory {
    /// Its place, with the spread as radius: somewhere in this country.
    pub fn location(&self) -> Location {
        Location { latitude: self.latitude, longitude: self.longitude, radius_km: self.spread_km }
    }

    /// Time zones in use there, the one that most people live in first; none for uninhabited islands.
    pub fn zones(&self) -> &[TimeZone] {
        self.zones.get_or_init(|| self.zone_names.split_ascii_whitespace().filter_map(|name| ZONES.get(name).ok()).collect())
    }

    /// Whether a clock there is so far from UTC at a moment.
    pub fn shows(&self, offset: Offset, at: Timestamp) -> bool {
        let minute = Minute::of(at);
        // Whole lists are put in: a panic leaves nothing half-changed.
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let offsets = match &mut *shown {
            Some((then, offsets)) if *then == minute => offsets,
            other => &mut other.insert((minute, self.zones().iter().map(|zone| zone.to_offset(at)).collect())).1,
        };
        offsets.contains(&offset)
    }

    /// The territories with which it shares a land border.
    pub fn neighbours(&self) -> impl Iterator<Item = &'static Territory> {
        let codes = || self.neighbour_codes.split_ascii_whitespace();
        self.neighbours.get_or_init(|| codes().filter_map(|code| of(Country::parse(code)?)).collect()).iter().copied()
    }

    fn parse(row: &'static str) -> Option<Self> {
        let mut cells = row.split(',');
        let country = Country::parse(cells.next()?)?;
        let mut number = || cells.next()?.parse().ok();
        let (latitude, longitude, radius_km, spread_km) = (number()?, number()?, number()?, number()?);
        let (zone_names, neighbour_codes) = (cells.next()?, cells.next()?);
        let (zones, shown, neighbours) = (OnceLock::new(), Mutex::new(None), OnceLock::new());
        Some(Territory { country, latitude, longitude, radius_km, spread_km, zone_names, zones, shown, neighbour_codes, neighbours })
    }
}

impl Minute {
    /// The minute in which a moment lies.
    pub fn of(at: Timestamp) -> Self {
        Minute(at.as_second().div_euclid(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn territory(code: &str) -> &'static Territory {
        of(Country::parse(code).unwrap()).unwrap()
    }

    #[test]
    fn every_row_is_read_and_makes_sense() {
        assert_eq!(all().len(), 250);
        assert!(all().is_sorted_by_key(|territory| territory.country));
        for territory in all() {
            assert!((-90.0..=90.0).contains(&territory.latitude) && (-180.0..=180.0).contains(&territory.longitude), "{territory:?}");
            assert!((5.0..6000.0).contains(&territory.radius_km) && territory.spread_km >= territory.radius_km, "{territory:?}");
            assert_eq!(territory.neighbours().count(), territory.neighbour_codes.split(' ').filter(|code| !code.is_empty()).count());
            for neighbour in territory.neighbours() {
                assert!(neighbour.neighbours().any(|back| back.country == territory.country), "{territory:?} borders {neighbour:?} one way only");
            }
            assert_eq!(territory.zones().len(), territory.zone_names.split(' ').filter(|name| !name.is_empty()).count(), "{}", territory.zone_names);
        }
    }

    #[test]
    fn areas_are_those_of_the_atlas() {
        // Areas in thousand square kilometres, as any atlas has them.
        for (code, area) in [("FR", 549.0), ("DE", 357.0), ("NO", 324.0), ("US", 9_500.0), ("GF", 84.0), ("SJ", 61.0), ("XK", 10.9)] {
            let ours = std::f64::consts::PI * territory(code).radius_km.powi(2) / 1e3;
            assert!((ours / area - 1.0).abs() < 0.03, "{code}: {ours} is not {area}");
        }
    }

    #[test]
    fn a_long_country_reaches_further_than_its_area_says() {
        assert!(territory("CL").spread_km > 3.0 * territory("CL").radius_km);
        assert!(territory("DE").spread_km < 1.1 * territory("DE").radius_km);
    }

    #[test]
    fn the_first_zone_is_where_most_people_live() {
        for (code, zone) in
            [("AU", "Australia/Sydney"), ("BR", "America/Sao_Paulo"), ("RU", "Europe/Moscow"), ("US", "America/New_York"), ("XK", "Europe/Belgrade")]
        {
            assert_eq!(territory(code).zones().first().and_then(TimeZone::iana_name), Some(zone), "{code}");
        }
        assert_eq!(territory("BV").zones().len(), 0);
    }

    #[test]
    fn borders_are_land_borders() {
        let borders = |one: &str, other: &str| territory(one).neighbours().any(|neighbour| neighbour.country.as_str() == other);
        assert!(borders("NO", "SE") && borders("GF", "BR"));
        assert!(!borders("FR", "BR") && !borders("FR", "GB"));
        assert!(of(Country::parse("ZB").unwrap()).is_none());
    }
}
