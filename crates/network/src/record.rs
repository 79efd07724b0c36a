//! Tolerant parsing of the records of third-party databases.
//!
//! MaxMind nests its fields (`country.iso_code`, `location.latitude`), others are flat (`country_code`,
//! `latitude`). Coordinates are floats of 32 or 64 bits or text; AS numbers are `64500` or `"AS64500"`.
//! A field of an unexpected type is treated as unknown. Only damaged bytes are an error.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::CITY_RADIUS_KM;
use riskgate_engine::{
    context::Country,
    network_facts::{Location, NetworkKind},
};

/// The supported contents of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Record {
    pub(super) country: Option<Country>,
    pub(super) asn: Option<u32>,
    pub(super) kind: NetworkKind,
    coordinates: Coordinates,
}

/// The supported fields in all known layouts.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Fields {
    country: CountryField,
    country_code: CountryField,
    location: Coordinates,
    latitude: Scalar<f64>,
    lat: Scalar<f64>,
    longitude: Scalar<f64>,
    lng: Scalar<f64>,
    lon: Scalar<f64>,
    autonomous_system_number: Scalar<u32>,
    asn: Scalar<u32>,
    as_number: Scalar<u32>,
    is_anonymous: Scalar<bool>,
    is_anonymous_vpn: Scalar<bool>,
    is_tor_exit_node: Scalar<bool>,
    is_public_proxy: Scalar<bool>,
    is_residential_proxy: Scalar<bool>,
    is_hosting_provider: Scalar<bool>,
    kind: Scalar<NetworkKind>,
    proxy_type: Scalar<ProxyType>,
    anonymous: Scalar<bool>,
    vpn: Scalar<bool>,
    is_vpn: Scalar<bool>,
    tor: Scalar<bool>,
    is_tor: Scalar<bool>,
    proxy: Scalar<bool>,
    is_proxy: Scalar<bool>,
    public_proxy: Scalar<bool>,
    residential_proxy: Scalar<bool>,
    hosting: Scalar<bool>,
    is_hosting: Scalar<bool>,
    datacenter: Scalar<bool>,
    is_datacenter: Scalar<bool>,
    relay: Scalar<bool>,
    is_relay: Scalar<bool>,
}

/// The `proxy_type` of IP2Proxy: VPN, TOR, DCH, PUB, WEB, RES and others.
struct ProxyType(NetworkKind);

/// Coordinates in degrees, and the accuracy radius in kilometres.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Coordinates {
    latitude: Option<f64>,
    longitude: Option<f64>,
    accuracy_radius: Option<f64>,
}

/// A country: a two-letter code, or a map with `iso_code`.
#[derive(Default)]
struct CountryField(Option<Country>);

/// A field that may be a number, a boolean or text.
struct Scalar<T>(Option<T>);

/// Conversion from a field of any type. A method that is not overridden returns the unknown value.
trait Lenient<'de>: Default {
    fn number(_number: f64) -> Self {
        Self::default()
    }

    fn text(_text: &str) -> Self {
        Self::default()
    }

    fn map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

/// A visitor that accepts a field of any type and fails only on damaged bytes.
struct AnyShape<T>(PhantomData<T>);

/// Conversion from a number or text.
trait FromScalar: Sized {
    fn from_number(number: f64) -> Option<Self>;
    fn from_text(text: &str) -> Option<Self>;
}

impl Record {
    /// The coordinates with their radius; `None` when they are unknown or out of range.
    pub(super) fn location(&self) -> Option<Location> {
        let (latitude, longitude) = (self.coordinates.latitude?, self.coordinates.longitude?);
        let is_in_range = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        // Databases use 0, 0 ("Null Island") for unknown coordinates.
        let is_unknown = latitude == 0.0 && longitude == 0.0;
        let radius_km = self.coordinates.accuracy_radius.filter(|radius| radius.is_finite() && *radius > 0.0).unwrap_or(CITY_RADIUS_KM);
        (is_in_range && !is_unknown).then_some(Location { latitude, longitude, radius_km })
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer).map(Record::from)
    }
}

impl From<Fields> for Record {
    fn from(fields: Fields) -> Self {
        Record {
            country: fields.country.0.or(fields.country_code.0),
            asn: fields.autonomous_system_number.0.or(fields.asn.0).or(fields.as_number.0).filter(|asn| *asn != 0),
            kind: fields.kind(),
            coordinates: Coordinates {
                latitude: fields.location.latitude.or(fields.latitude.0).or(fields.lat.0),
                longitude: fields.location.longitude.or(fields.longitude.0).or(fields.lng.0).or(fields.lon.0),
                accuracy_radius: fields.location.accuracy_radius,
            },
        }
    }
}

impl Fields {
    fn kind(&self) -> NetworkKind {
        let any = |flags: &[&Scalar<bool>]| flags.iter().any(|flag| flag.0 == Some(true));
        let named = self.kind.0.unwrap_or_default();
        let typed = self.proxy_type.0.as_ref().map(|found| found.0).unwrap_or_default();
        let mut kind = NetworkKind {
            anonymous: named.anonymous,
            vpn: named.vpn || typed.vpn || any(&[&self.is_anonymous_vpn, &self.vpn, &self.is_vpn]),
            tor: named.tor || typed.tor || any(&[&self.is_tor_exit_node, &self.tor, &self.is_tor]),
            public_proxy: typed.public_proxy || any(&[&self.is_public_proxy, &self.proxy, &self.is_proxy, &self.public_proxy]),
            residential_proxy: typed.residential_proxy || any(&[&self.is_residential_proxy, &self.residential_proxy]),
            hosting: named.hosting
                || typed.hosting
                || any(&[&self.is_hosting_provider, &self.hosting, &self.is_hosting, &self.datacenter, &self.is_datacenter]),
            relay: named.relay || any(&[&self.relay, &self.is_relay]),
        };
        // MaxMind also marks hosting providers as anonymous. Here a hosting network without another kind is only hosting.
        kind.anonymous |= kind.vpn || kind.tor || kind.public_proxy || kind.residential_proxy || (any(&[&self.is_anonymous, &self.anonymous]) && !kind.hosting);
        kind
    }
}

impl<'de> Lenient<'de> for Coordinates {
    fn map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Nested {
            latitude: Scalar<f64>,
            longitude: Scalar<f64>,
            accuracy_radius: Scalar<f64>,
        }
        let nested = Nested::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Coordinates { latitude: nested.latitude.0, longitude: nested.longitude.0, accuracy_radius: nested.accuracy_radius.0 })
    }
}

impl<'de> Deserialize<'de> for Coordinates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyShape(PhantomData))
    }
}

impl<'de> Lenient<'de> for CountryField {
    fn text(text: &str) -> Self {
        CountryField(Country::parse(text))
    }

    fn map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Nested {
            iso_code: CountryField,
        }
        Ok(Nested::deserialize(MapAccessDeserializer::new(map))?.iso_code)
    }
}

impl<'de> Deserialize<'de> for CountryField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyShape(PhantomData))
    }
}

impl<T> Default for Scalar<T> {
    fn default() -> Self {
        Scalar(None)
    }
}

impl<'de, T: FromScalar> Lenient<'de> for Scalar<T> {
    fn number(number: f64) -> Self {
        Scalar(T::from_number(number))
    }

    fn text(text: &str) -> Self {
        Scalar(T::from_text(text))
    }
}

impl<'de, T: FromScalar> Deserialize<'de> for Scalar<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyShape(PhantomData))
    }
}

impl FromScalar for f64 {
    fn from_number(number: f64) -> Option<Self> {
        Some(number)
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromScalar for u32 {
    fn from_number(number: f64) -> Option<Self> {
        // Only whole numbers in range are converted, so the cast is exact.
        (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u32)
    }

    fn from_text(text: &str) -> Option<Self> {
        text.strip_prefix("AS").unwrap_or(text).parse().ok()
    }
}

impl FromScalar for bool {
    fn from_number(number: f64) -> Option<Self> {
        Some(number == 1.0)
    }

    fn from_text(text: &str) -> Option<Self> {
        match text.trim() {
            "1" => Some(true),
            "" | "0" => Some(false),
            word if ["true", "yes", "t", "y"].iter().any(|yes| word.eq_ignore_ascii_case(yes)) => Some(true),
            word if ["false", "no", "f", "n"].iter().any(|no| word.eq_ignore_ascii_case(no)) => Some(false),
            _ => None,
        }
    }
}

impl FromScalar for ProxyType {
    fn from_number(_number: f64) -> Option<Self> {
        None
    }

    fn from_text(text: &str) -> Option<Self> {
        let none = NetworkKind::default();
        Some(ProxyType(match text.trim().to_ascii_uppercase().as_str() {
            "VPN" => NetworkKind { vpn: true, ..none },
            "TOR" => NetworkKind { tor: true, ..none },
            "DCH" => NetworkKind { hosting: true, ..none },
            "PUB" | "WEB" => NetworkKind { public_proxy: true, ..none },
            "RES" => NetworkKind { residential_proxy: true, ..none },
            _ => none,
        }))
    }
}

impl FromScalar for NetworkKind {
    fn from_number(_number: f64) -> Option<Self> {
        None
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(NetworkKind::from_name(text))
    }
}

impl<'de, T: Lenient<'de>> Visitor<'de> for AnyShape<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<T, E> {
        Ok(T::number(f64::from(flag)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::number(number as f64))
    }

    fn visit_u128<E>(self, number: u128) -> Result<T, E> {
        Ok(T::number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<T, E> {
        Ok(T::number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_bytes<E>(self, _bytes: &[u8]) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::map(map)
    }
}
