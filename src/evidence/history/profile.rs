//! How one person signs in: counts of keyed hashes, hours, and the last place. Under 1 KB.

use jiff::Timestamp;

use super::encoding::{Reader, put_varint};
use crate::evidence::{
    features::{Features, Level},
    network_facts::{Location, NetworkFacts, NetworkKind},
};

/// A person's profile. It holds no value in clear, positions rounded to half a degree apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// What was seen at successful sign-ins; at most 100.
    pub entries: Vec<Entry>,
    /// Successful sign-ins by hour of the day where the person was; halved all together when one would pass 255.
    pub hours: [u8; 24],
    /// Successful sign-ins learned.
    pub successes: u32,
    /// The last of them.
    pub last: Option<Sighting>,
}

/// One value that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// At which level.
    pub level: Level,
    /// Its keyed hash.
    pub hash: u32,
    /// How often; stays at 65535.
    pub count: u16,
    /// The first day, counted from 1970-01-01.
    pub first_day: u16,
    /// The last day.
    pub last_day: u16,
}

/// A moment and place of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// Where, if that was known; rounded to half a degree.
    pub place: Option<Location>,
    /// Whether the address was an anonymiser, hosting or a relay: then the place says nothing.
    pub anonymous: bool,
}

/// What a sign-in that succeeded teaches.
#[derive(Debug)]
pub struct Lesson<'a> {
    /// Its values.
    pub features: &'a Features,
    /// The hour of the day where the person was.
    pub hour: Option<u8>,
    /// When and where.
    pub sighting: Sighting,
    /// What the pool itself says of the device.
    pub device: DeviceNews,
}

/// What the pool itself says of the device (`newDeviceUsed`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceNews {
    /// Nothing: it remembers no devices.
    #[default]
    Unsaid,
    /// It knows the device.
    Known,
    /// It has never seen the device.
    New,
}

/// The most values that are kept of a person.
const MOST_ENTRIES: usize = 100;

/// The most bytes of a stored profile: with the keys and the pending attempts of ordinary times the record stays under 1 KB.
const MOST_BYTES: usize = 900;

/// The most bytes of one stored entry: its hash and three varints of 16 bits.
const LARGEST_ENTRY: usize = 4 + 3 * 3;

/// The fewest bytes of one stored entry.
const SMALLEST_ENTRY: usize = 4 + 3;

/// The most bytes of a stored profile beside its entries.
const HEAD: usize = 60;

/// The most bytes of a stored sighting.
pub(super) const LARGEST_SIGHTING: usize = 11;

/// The layout's version, its first byte.
const VERSION: u8 = 1;

// === impl Profile ===

impl Profile {
    /// Whether the person has never signed in as far as is known.
    pub fn is_new(&self) -> bool {
        self.successes == 0
    }

    /// The entry of a value.
    pub fn entry(&self, level: Level, hash: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.hash == hash && entry.level == level)
    }

    /// Learns a sign-in that succeeded, and forgets what is older than `ttl_days`.
    pub fn learn(&mut self, lesson: &Lesson<'_>, ttl_days: u16) {
        let day = day_of(lesson.sighting.at);
        for level in Level::ALL {
            let Some(hash) = lesson.features.at(level) else { continue };
            match self.entries.iter_mut().find(|entry| entry.hash == hash && entry.level == level) {
                Some(entry) => {
                    entry.count = entry.count.saturating_add(1);
                    entry.last_day = entry.last_day.max(day);
                    entry.first_day = entry.first_day.min(day);
                    if lesson.device == DeviceNews::New && matches!(level, Level::Device | Level::UserAgent) {
                        // The pool has never seen this device, though it bears a known name: its credit starts again.
                        entry.first_day = day;
                        entry.last_day = day;
                    }
                }
                None => self.entries.push(Entry { level, hash, count: 1, first_day: day, last_day: day }),
            }
        }
        if let Some(hour) = lesson.hour.filter(|hour| *hour < 24) {
            if self.hours[usize::from(hour)] == u8::MAX {
                self.hours.iter_mut().for_each(|count| *count /= 2);
            }
            self.hours[usize::from(hour)] += 1;
        }
        self.successes = self.successes.saturating_add(1);
        if self.last.is_none_or(|last| last.at <= lesson.sighting.at) {
            self.last = Some(lesson.sighting);
        }
        self.forget(day, ttl_days);
    }

    /// Drops entries that were last seen too long ago, then the least recent and least frequent beyond the bound.
    pub fn forget(&mut self, today: u16, ttl_days: u16) {
        self.entries.retain(|entry| entry.last_day.saturating_add(ttl_days) >= today);
        if self.entries.len() > MOST_ENTRIES {
            self.entries.sort_unstable_by_key(|entry| std::cmp::Reverse((entry.last_day, entry.count, entry.level, entry.hash)));
            self.entries.truncate(MOST_ENTRIES);
        }
    }

    /// Renames hashes that an older key made, where the present sign-in tells what they stand for.
    pub(super) fn rename(&mut self, older: &Features, newest: &Features) {
        for level in Level::ALL {
            let (Some(from), Some(to)) = (older.at(level), newest.at(level)) else { continue };
            let Some(at) = self.entries.iter().position(|entry| entry.level == level && entry.hash == from) else { continue };
            if from == to {
                continue;
            }
            let renamed = Entry { hash: to, ..self.entries.swap_remove(at) };
            self.add(renamed);
        }
    }

    /// Adds what was learned under another key. Values that both know under one hash are one value; others stay apart until `rename` meets them.
    pub(super) fn merge(&mut self, other: Profile) {
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

    fn add(&mut self, added: Entry) {
        match self.entries.iter_mut().find(|entry| entry.level == added.level && entry.hash == added.hash) {
            Some(entry) => {
                entry.count = entry.count.saturating_add(added.count);
                entry.first_day = entry.first_day.min(added.first_day);
                entry.last_day = entry.last_day.max(added.last_day);
            }
            None => self.entries.push(added),
        }
    }

    /// The bytes that are stored, under 1 KB: the layout is in `docs/STORE.md`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut entries = self.entries.clone();
        loop {
            entries.sort_unstable_by_key(|entry| (entry.level, entry.hash));
            let bytes = self.encode(&entries);
            let Some(excess @ 1..) = bytes.len().checked_sub(MOST_BYTES) else { return bytes };
            // The least recent and least frequent go, as few as may do.
            entries.sort_unstable_by_key(|entry| std::cmp::Reverse((entry.last_day, entry.count, entry.level, entry.hash)));
            entries.truncate(entries.len().saturating_sub(excess.div_ceil(LARGEST_ENTRY)));
        }
    }

    /// Reads stored bytes; `None` for a layout of another version or a torn one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        let successes = reader.varint()?;
        let base = reader.u16()?;
        let last = match reader.u8()? {
            0 => None,
            _ => Some(Sighting::read(&mut reader)?),
        };
        let hours = reader.array::<24>()?;
        let mut entries = Vec::with_capacity((reader.0.len() / SMALLEST_ENTRY).min(MOST_ENTRIES));
        for level in Level::ALL {
            for _ in 0..reader.u8()? {
                let (hash, count) = (reader.u32()?, reader.varint()?);
                let last_day = base.saturating_sub(u16::try_from(reader.varint()?).ok()?);
                let first_day = last_day.saturating_sub(u16::try_from(reader.varint()?).ok()?);
                entries.push(Entry { level, hash, count: u16::try_from(count).unwrap_or(u16::MAX), first_day, last_day });
            }
        }
        (entries.len() <= MOST_ENTRIES).then_some(Profile { entries, hours, successes, last })
    }

    /// Writes the entries, which are sorted by level and hash.
    fn encode(&self, entries: &[Entry]) -> Vec<u8> {
        let base = entries.iter().map(|entry| entry.last_day).max().unwrap_or_default();
        let mut out = Vec::with_capacity(HEAD + entries.len() * LARGEST_ENTRY);
        out.push(VERSION);
        put_varint(&mut out, self.successes);
        out.extend_from_slice(&base.to_be_bytes());
        out.push(u8::from(self.last.is_some()));
        if let Some(last) = self.last {
            last.write(&mut out);
        }
        out.extend_from_slice(&self.hours);
        let mut rest = entries;
        for level in Level::ALL {
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
        out
    }
}

// === impl Entry ===

impl Entry {
    /// Whether it was seen on two days: only then does it speak for the person.
    pub fn is_established(&self) -> bool {
        self.last_day > self.first_day
    }
}

// === impl Sighting ===

impl Sighting {
    /// A sighting as it may be kept: to the second, the place to half a degree.
    pub fn rounded(at: Timestamp, networks: &NetworkFacts) -> Self {
        let place = networks.location.map(|at| Location { latitude: half_degrees(at.latitude), longitude: half_degrees(at.longitude), ..at });
        let kind = networks.kind;
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        Sighting { at, place, anonymous: kind != NetworkKind::default() }
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&seconds(self.at).to_be_bytes());
        out.push(u8::from(self.place.is_some()) | u8::from(self.anonymous) << 1);
        if let Some(place) = self.place {
            out.extend_from_slice(&doubled(place.latitude).to_be_bytes());
            out.extend_from_slice(&doubled(place.longitude).to_be_bytes());
            out.extend_from_slice(&kilometres(place.radius_km).to_be_bytes());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let at = moment(reader.u32()?);
        let flags = reader.u8()?;
        let place = match flags & 1 {
            0 => None,
            _ => Some(Location { latitude: f64::from(reader.i16()?) / 2.0, longitude: f64::from(reader.i16()?) / 2.0, radius_km: f64::from(reader.u16()?) }),
        };
        Some(Sighting { at, place, anonymous: flags & 2 != 0 })
    }
}

/// Whole days since 1970-01-01 UTC.
pub fn day_of(at: Timestamp) -> u16 {
    u16::try_from(at.as_second().max(0) / 86_400).unwrap_or(u16::MAX)
}

/// Seconds since 1970, as stored: good until 2106.
pub(super) fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_second().max(0)).unwrap_or(u32::MAX)
}

/// The moment of stored seconds.
pub(super) fn moment(seconds: u32) -> Timestamp {
    Timestamp::from_second(i64::from(seconds)).expect("32 bits of seconds end in 2106")
}

fn half_degrees(degrees: f64) -> f64 {
    (degrees * 2.0).round() / 2.0
}

#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and degrees fit by far")]
fn doubled(degrees: f64) -> i16 {
    (degrees * 2.0).round() as i16
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates; the Earth has fewer kilometres than 65535")]
fn kilometres(radius: f64) -> u16 {
    radius.round() as u16
}

#[cfg(test)]
mod tests;
