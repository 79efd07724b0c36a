//! How one person signs in: counts of keyed hashes, hours, and the last place. Under 1 KB.

use jiff::Timestamp;

use crate::evidence::{features::Level, networks::Location};

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

impl Profile {
    /// Whether the person has never signed in as far as is known.
    pub fn is_new(&self) -> bool {
        self.successes == 0
    }

    /// The entry of a value.
    pub fn entry(&self, level: Level, hash: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.hash == hash && entry.level == level)
    }
}

impl Entry {
    /// Whether it was seen on two days: only then does it speak for the person.
    pub fn is_established(&self) -> bool {
        self.last_day > self.first_day
    }
}
