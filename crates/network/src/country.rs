//! Country data: position, extent, time zones and neighbours.

use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone, TimeZoneDatabase},
};
use smallvec::SmallVec;

use riskgate_engine::{context::Country, network_facts::Location};

/// One row of `data/countries.csv`.
#[derive(Debug)]
pub struct CountryData {
    /// The ISO 3166-1 alpha-2 code, or `XK`.
    pub country: Country,
    /// Latitude of the centroid, in degrees north.
    pub latitude: f64,
    /// Longitude of the centroid, in degrees east.
    pub longitude: f64,
    /// Radius in kilometres of a disc with the area of the country.
    pub radius_km: f64,
    /// Radius in kilometres of a disc with the same root mean square distance between its land and its centre.
    /// At least `radius_km`, and much larger for elongated or scattered countries such as Chile or Kiribati.
    pub spread_km: f64,
    zone_names: &'static str,
    /// The zones of `zone_names`, resolved at the first use because most countries are never looked up.
    zones: OnceLock<Vec<TimeZone>>,
    /// The UTC offsets of the zones in the minute that was last queried.
    cached_offsets: Mutex<Option<(Minute, SmallVec<[Offset; 4]>)>>,
    neighbour_codes: &'static str,
    neighbours: OnceLock<Vec<&'static CountryData>>,
}

/// A minute of UTC, counted from 1970. It is the key for cached offsets: no zone has changed its offset within a minute since
/// 1972, and to compute an offset takes longer than all other signals of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute(i64);

/// The bundled time zone database. No file of the machine is read, so every machine gives the same result.
pub static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The data of a country; `None` for codes that are not a country (`EU`, `ZZ`).
pub fn of(country: Country) -> Option<&'static CountryData> {
    COUNTRIES.binary_search_by_key(&country, |country_data| country_data.country).ok().map(|index| &COUNTRIES[index])
}

/// The data of every country, sorted by code.
pub fn all() -> &'static [CountryData] {
    &COUNTRIES
}

static COUNTRIES: LazyLock<Vec<CountryData>> = LazyLock::new(|| include_str!("../data/countries.csv").lines().skip(1).filter_map(CountryData::parse).collect());

impl CountryData {
    /// The centroid with `spread_km` as radius, for an address of which only the country is known.
    pub fn location(&self) -> Location {
        Location { latitude: self.latitude, longitude: self.longitude, radius_km: self.spread_km }
    }

    /// The time zones of the country, the most populous one first; empty for uninhabited islands.
    pub fn zones(&self) -> &[TimeZone] {
        self.zones.get_or_init(|| self.zone_names.split_ascii_whitespace().filter_map(|name| ZONES.get(name).ok()).collect())
    }

    /// Whether a zone of the country has this UTC offset at a given time.
    pub fn has_offset(&self, offset: Offset, at: Timestamp) -> bool {
        let minute = Minute::of(at);
        // The cache is replaced in one assignment, so a panic leaves no partial change.
        let mut cached = self.cached_offsets.lock().unwrap_or_else(PoisonError::into_inner);
        let offsets = match &mut *cached {
            Some((cached_minute, offsets)) if *cached_minute == minute => offsets,
            other => &mut other.insert((minute, self.zones().iter().map(|zone| zone.to_offset(at)).collect())).1,
        };
        offsets.contains(&offset)
    }

    /// The countries with which it shares a land border.
    pub fn neighbours(&self) -> impl Iterator<Item = &'static CountryData> {
        let codes = || self.neighbour_codes.split_ascii_whitespace();
        self.neighbours.get_or_init(|| codes().filter_map(|code| of(Country::parse(code)?)).collect()).iter().copied()
    }

    fn parse(row: &'static str) -> Option<Self> {
        let mut cells = row.split(',');
        let country = Country::parse(cells.next()?)?;
        let mut number = || cells.next()?.parse().ok();
        let (latitude, longitude, radius_km, spread_km) = (number()?, number()?, number()?, number()?);
        let (zone_names, neighbour_codes) = (cells.next()?, cells.next()?);
        let (zones, cached_offsets, neighbours) = (OnceLock::new(), Mutex::new(None), OnceLock::new());
        Some(CountryData { country, latitude, longitude, radius_km, spread_km, zone_names, zones, cached_offsets, neighbour_codes, neighbours })
    }
}

impl Minute {
    /// The minute that contains a time.
    pub fn of(at: Timestamp) -> Self {
        Minute(at.as_second().div_euclid(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country_data(code: &str) -> &'static CountryData {
        of(Country::parse(code).unwrap()).unwrap()
    }

    #[test]
    fn every_row_is_parsed_and_plausible() {
        assert_eq!(all().len(), 250);
        assert!(all().is_sorted_by_key(|country_data| country_data.country));
        for country_data in all() {
            assert!((-90.0..=90.0).contains(&country_data.latitude) && (-180.0..=180.0).contains(&country_data.longitude), "{country_data:?}");
            assert!((5.0..6000.0).contains(&country_data.radius_km) && country_data.spread_km >= country_data.radius_km, "{country_data:?}");
            assert_eq!(country_data.neighbours().count(), country_data.neighbour_codes.split(' ').filter(|code| !code.is_empty()).count());
            for neighbour in country_data.neighbours() {
                assert!(neighbour.neighbours().any(|back| back.country == country_data.country), "{country_data:?} borders {neighbour:?} one way only");
            }
            assert_eq!(country_data.zones().len(), country_data.zone_names.split(' ').filter(|name| !name.is_empty()).count(), "{}", country_data.zone_names);
        }
    }

    #[test]
    fn areas_match_published_values() {
        // Published areas in thousand square kilometres.
        for (code, area) in [("FR", 549.0), ("DE", 357.0), ("NO", 324.0), ("US", 9_500.0), ("GF", 84.0), ("SJ", 61.0), ("XK", 10.9)] {
            let computed = std::f64::consts::PI * country_data(code).radius_km.powi(2) / 1e3;
            assert!((computed / area - 1.0).abs() < 0.03, "{code}: {computed} is not {area}");
        }
    }

    #[test]
    fn the_spread_of_an_elongated_country_exceeds_its_radius() {
        assert!(country_data("CL").spread_km > 3.0 * country_data("CL").radius_km);
        assert!(country_data("DE").spread_km < 1.1 * country_data("DE").radius_km);
    }

    #[test]
    fn the_first_zone_is_the_most_populous() {
        for (code, zone) in
            [("AU", "Australia/Sydney"), ("BR", "America/Sao_Paulo"), ("RU", "Europe/Moscow"), ("US", "America/New_York"), ("XK", "Europe/Belgrade")]
        {
            assert_eq!(country_data(code).zones().first().and_then(TimeZone::iana_name), Some(zone), "{code}");
        }
        assert_eq!(country_data("BV").zones().len(), 0);
    }

    #[test]
    fn neighbours_share_a_land_border() {
        let borders = |one: &str, other: &str| country_data(one).neighbours().any(|neighbour| neighbour.country.as_str() == other);
        assert!(borders("NO", "SE") && borders("GF", "BR"));
        assert!(!borders("FR", "BR") && !borders("FR", "GB"));
        assert!(of(Country::parse("ZB").unwrap()).is_none());
    }
}
