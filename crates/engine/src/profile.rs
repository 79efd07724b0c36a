//! The profile of a user's past sign-ins: counts of keyed feature hashes, hours of the day, and the last location. Under 1 KB.

use jiff::Timestamp;

use crate::encoding::{Reader, put_varint};
use crate::{
    features::{FeatureLevel, Features},
    network_facts::{Location, NetworkFacts, NetworkKind},
};

/// A user's profile. All values are hashed except the last location, which is rounded to half a degree.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// The feature values of successful sign-ins; at most 100.
    pub entries: Vec<ProfileEntry>,
    /// Successful sign-ins by hour of the user's local day. All are halved when one would exceed 255.
    pub hours: [u8; 24],
    /// The number of successful sign-ins learned.
    pub successes: u32,
    /// The time and location of the last one.
    pub last: Option<SignInLocation>,
}

/// One feature value that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileEntry {
    /// The level of the value.
    pub level: FeatureLevel,
    /// Its keyed hash.
    pub hash: u32,
    /// How often it was seen; at most 65535.
    pub count: u16,
    /// The day when it was seen first, in days since 1970-01-01 UTC.
    pub first_day: u16,
    /// The day when it was seen last.
    pub last_day: u16,
    /// Whether it was seen in a verified context, and not only claimed. Only values of the network hierarchy are verified.
    pub verified: bool,
}

/// The time and location of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignInLocation {
    /// When the sign-in happened.
    pub at: Timestamp,
    /// Where, if known; rounded to half a degree in stored profiles.
    pub location: Option<Location>,
    /// Whether the address was an anonymiser, hosting or a relay. Its location is then not the user's.
    pub anonymous: bool,
}

/// A successful sign-in to learn from.
#[derive(Debug)]
pub struct Observation<'a> {
    /// Its feature hashes.
    pub features: &'a Features,
    /// The hour of the user's local day, 0 to 23.
    pub hour: Option<u8>,
    /// When and where.
    pub location: SignInLocation,
    /// What the user pool reports about the device.
    pub device: DeviceStatus,
    /// Whether the user passed a challenge. Its values then count as seen on an earlier day too.
    pub proven: bool,
    /// Whether the address is not only claimed. Its values of the network hierarchy are then verified.
    pub verified: bool,
}

/// What the user pool reports about the device, in the event's `newDeviceUsed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceStatus {
    /// Nothing: the pool does not remember devices.
    #[default]
    NotReported,
    /// The device is known: `false`.
    Known,
    /// The device is new: `true`.
    New,
}

/// The maximum number of entries of a profile.
pub const MAX_ENTRIES: usize = 100;

/// The maximum size of a stored profile in bytes. With its keys and a usual number of pending attempts, a record stays under 1 KB.
const MAX_BYTES: usize = 900;

/// The maximum size of a stored entry in bytes: its hash and three varints of 16-bit numbers.
const MAX_ENTRY_BYTES: usize = 4 + 3 * 3;

/// The minimum size of a stored entry in bytes.
const MIN_ENTRY_BYTES: usize = 4 + 3;

/// The maximum size of a stored profile without its entries, in bytes.
const MAX_HEADER_BYTES: usize = 60;

/// The maximum size of a stored location in bytes.
pub const MAX_LOCATION_BYTES: usize = 11;

/// The version of the layout, which is its first byte.
const VERSION: u8 = 1;

impl Profile {
    /// Whether no successful sign-in was learned.
    pub fn is_new(&self) -> bool {
        self.successes == 0
    }

    /// The entry of a value, if it was seen.
    pub fn entry(&self, level: FeatureLevel, hash: u32) -> Option<&ProfileEntry> {
        self.entries.iter().find(|entry| entry.hash == hash && entry.level == level)
    }

    /// Whether any value is verified. Values that were only claimed then no longer count in the user's favour.
    pub fn has_verified(&self) -> bool {
        self.entries.iter().any(|entry| entry.verified)
    }

    /// Learns a successful sign-in, and removes entries that were not seen for `ttl_days`.
    pub fn learn(&mut self, observation: &Observation<'_>, ttl_days: u16) {
        let day = day_of(observation.location.at);
        let first_day = day.saturating_sub(u16::from(observation.proven));
        for level in FeatureLevel::ALL {
            let Some(hash) = observation.features.at(level) else { continue };
            let verified = observation.verified && level.is_network();
            match self.entries.iter_mut().find(|entry| entry.hash == hash && entry.level == level) {
                Some(entry) => {
                    entry.count = entry.count.saturating_add(1);
                    entry.last_day = entry.last_day.max(day);
                    entry.first_day = entry.first_day.min(first_day);
                    entry.verified |= verified;
                    if observation.device == DeviceStatus::New && !observation.proven && matches!(level, FeatureLevel::Device | FeatureLevel::UserAgent) {
                        // The pool has never seen this device although its id is known, so it has to be established again.
                        entry.first_day = day;
                        entry.last_day = day;
                    }
                }
                None => self.entries.push(ProfileEntry { level, hash, count: 1, first_day, last_day: day, verified }),
            }
        }
        if let Some(hour) = observation.hour.filter(|hour| *hour < 24) {
            if self.hours[usize::from(hour)] == u8::MAX {
                self.hours.iter_mut().for_each(|count| *count /= 2);
            }
            self.hours[usize::from(hour)] += 1;
        }
        self.successes = self.successes.saturating_add(1);
        if self.last.is_none_or(|last| last.at <= observation.location.at) {
            self.last = Some(observation.location);
        }
        self.forget(day, ttl_days);
    }

    /// Removes entries that were not seen for `ttl_days`, then the least recent and least frequent beyond the maximum.
    pub fn forget(&mut self, today: u16, ttl_days: u16) {
        self.entries.retain(|entry| entry.last_day.saturating_add(ttl_days) >= today);
        if self.entries.len() > MAX_ENTRIES {
            self.entries.sort_unstable_by_key(|entry| std::cmp::Reverse((entry.last_day, entry.count, entry.level, entry.hash)));
            self.entries.truncate(MAX_ENTRIES);
        }
    }

    /// Replaces hashes under an older key for which the current sign-in has the same value under the newest key.
    pub fn rehash(&mut self, older: &Features, newest: &Features) {
        for level in FeatureLevel::ALL {
            let (Some(from), Some(to)) = (older.at(level), newest.at(level)) else { continue };
            let Some(at) = self.entries.iter().position(|entry| entry.level == level && entry.hash == from) else { continue };
            if from == to {
                continue;
            }
            let renamed = ProfileEntry { hash: to, ..self.entries.swap_remove(at) };
            self.add(renamed);
        }
    }

    /// Adds a profile that was learned under another key. Entries with equal hashes are combined; others stay separate until
    /// [`Self::rehash`] finds them.
    pub fn merge(&mut self, other: Profile) {
        for entry in other.entries {
            self.add(entry);
        }
        for (count, other) in self.hours.iter_mut().zip(other.hours) {
            *count = count.saturating_add(other);
        }
        self.successes = self.successes.saturating_add(other.successes);
        if self.last.is_none_or(|last| other.last.is_some_and(|other| other.at > last.at)) {
            self.last = other.last;
        }
        self.forget(0, u16::MAX);
    }

    fn add(&mut self, added: ProfileEntry) {
        match self.entries.iter_mut().find(|entry| entry.level == added.level && entry.hash == added.hash) {
            Some(entry) => {
                entry.count = entry.count.saturating_add(added.count);
                entry.first_day = entry.first_day.min(added.first_day);
                entry.last_day = entry.last_day.max(added.last_day);
                entry.verified |= added.verified;
            }
            None => self.entries.push(added),
        }
    }

    /// Encodes the profile in the layout that `docs/STORE.md` describes, in at most 900 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut entries = self.entries.clone();
        loop {
            entries.sort_unstable_by_key(|entry| (entry.level, entry.hash));
            let bytes = self.encode(&entries);
            let Some(excess @ 1..) = bytes.len().checked_sub(MAX_BYTES) else { return bytes };
            // Removes the least recent and least frequent entries: as few as possible.
            entries.sort_unstable_by_key(|entry| std::cmp::Reverse((entry.last_day, entry.count, entry.level, entry.hash)));
            entries.truncate(entries.len().saturating_sub(excess.div_ceil(MAX_ENTRY_BYTES)));
        }
    }

    /// Decodes stored bytes; `None` if the version is unknown or the bytes are truncated or malformed.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        let successes = reader.varint()?;
        let base = reader.u16()?;
        let last = match reader.u8()? {
            0 => None,
            _ => Some(SignInLocation::read(&mut reader)?),
        };
        let hours = reader.array::<24>()?;
        let mut entries = Vec::with_capacity((reader.0.len() / MIN_ENTRY_BYTES).min(MAX_ENTRIES));
        for level in FeatureLevel::ALL {
            for _ in 0..reader.u8()? {
                let (hash, count) = (reader.u32()?, reader.varint()?);
                let last_day = base.saturating_sub(u16::try_from(reader.varint()?).ok()?);
                let first_day = last_day.saturating_sub(u16::try_from(reader.varint()?).ok()?);
                entries.push(ProfileEntry { level, hash, count: u16::try_from(count).unwrap_or(u16::MAX), first_day, last_day, verified: false });
            }
        }
        for (of_byte, bits) in entries.chunks_mut(8).zip(reader.0) {
            of_byte.iter_mut().enumerate().for_each(|(at, entry)| entry.verified = bits >> at & 1 == 1);
        }
        (entries.len() <= MAX_ENTRIES).then_some(Profile { entries, hours, successes, last })
    }

    /// Encodes the profile with these entries, which are sorted by level and hash.
    fn encode(&self, entries: &[ProfileEntry]) -> Vec<u8> {
        let base = entries.iter().map(|entry| entry.last_day).max().unwrap_or_default();
        let mut out = Vec::with_capacity(MAX_HEADER_BYTES + entries.len() * MAX_ENTRY_BYTES);
        out.push(VERSION);
        put_varint(&mut out, self.successes);
        out.extend_from_slice(&base.to_be_bytes());
        out.push(u8::from(self.last.is_some()));
        if let Some(last) = self.last {
            last.write(&mut out);
        }
        out.extend_from_slice(&self.hours);
        let mut rest = entries;
        for level in FeatureLevel::ALL {
            let (of_level, after) = rest.split_at(rest.partition_point(|entry| entry.level <= level));
            rest = after;
            out.push(u8::try_from(of_level.len()).expect("a profile has at most 100 entries"));
            for entry in of_level {
                out.extend_from_slice(&entry.hash.to_be_bytes());
                put_varint(&mut out, u32::from(entry.count));
                put_varint(&mut out, u32::from(base - entry.last_day));
                put_varint(&mut out, u32::from(entry.last_day - entry.first_day.min(entry.last_day)));
            }
        }
        // Earlier versions ignore what follows the entries. Without a verified value, nothing does.
        if entries.iter().any(|entry| entry.verified) {
            out.extend(entries.chunks(8).map(|of_byte| of_byte.iter().rev().fold(0, |bits, entry| bits << 1 | u8::from(entry.verified))));
        }
        out
    }
}

impl ProfileEntry {
    /// Whether it was seen on two days. Only then may it count in the user's favour.
    pub fn is_established(&self) -> bool {
        self.last_day > self.first_day
    }
}

impl SignInLocation {
    /// A location as it may be stored: the time to the second, the coordinates to half a degree.
    pub fn rounded(at: Timestamp, networks: &NetworkFacts) -> Self {
        let round = |exact: Location| Location { latitude: half_degrees(exact.latitude), longitude: half_degrees(exact.longitude), ..exact };
        let (location, kind) = (networks.location.map(round), networks.kind);
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        SignInLocation { at, location, anonymous: kind != NetworkKind::default() }
    }

    /// Appends the stored bytes.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&seconds(self.at).to_be_bytes());
        out.push(u8::from(self.location.is_some()) | u8::from(self.anonymous) << 1);
        if let Some(location) = self.location {
            out.extend_from_slice(&doubled(location.latitude).to_be_bytes());
            out.extend_from_slice(&doubled(location.longitude).to_be_bytes());
            out.extend_from_slice(&kilometres(location.radius_km).to_be_bytes());
        }
    }

    /// Reads the stored bytes; `None` when bytes are missing.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let at = timestamp_of(reader.u32()?);
        let flags = reader.u8()?;
        let location = match flags & 1 {
            0 => None,
            _ => Some(Location { latitude: f64::from(reader.i16()?) / 2.0, longitude: f64::from(reader.i16()?) / 2.0, radius_km: f64::from(reader.u16()?) }),
        };
        Some(SignInLocation { at, location, anonymous: flags & 2 != 0 })
    }
}

/// Complete days since 1970-01-01 UTC, 0 to 65535.
pub fn day_of(at: Timestamp) -> u16 {
    u16::try_from(at.as_second().max(0) / 86_400).unwrap_or(u16::MAX)
}

/// Seconds since 1970-01-01 UTC as stored, which lasts until 2106.
pub fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_second().max(0)).unwrap_or(u32::MAX)
}

/// The timestamp of stored seconds.
pub fn timestamp_of(seconds: u32) -> Timestamp {
    Timestamp::from_second(i64::from(seconds)).expect("32 bits of seconds end in 2106")
}

fn half_degrees(degrees: f64) -> f64 {
    (degrees * 2.0).round() / 2.0
}

#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and doubled degrees fit 16 bits")]
fn doubled(degrees: f64) -> i16 {
    (degrees * 2.0).round() as i16
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates, and no radius on Earth exceeds 65535 km")]
fn kilometres(radius: f64) -> u16 {
    radius.round() as u16
}
