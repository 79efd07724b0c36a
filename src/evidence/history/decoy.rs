//! Invented histories for names that no account has (invariant 6).
//!
//! Scored without a history, an unknown name would stand out among known ones by its verdicts.
//! So it gets one: the shape of a real person's, drawn by a keyed hash of the name, with every value
//! that could belong to one person only replaced by noise of the same hash. The shapes are the pool's
//! own base rates: how long histories are, from which countries and providers, how long ago.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU8, Ordering},
};

use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{
    Profile,
    encoding::Reader,
    profile::{Entry, moment, seconds},
};
use crate::evidence::features::Level;

/// The levels whose values many people share.
const SHARED_LEVELS: [Level; 5] = [Level::Country, Level::Asn, Level::DeviceType, Level::Os, Level::Browser];

/// A shape keeps the most frequent values only, so that all of them stay a short read.
const MOST_ENTRIES: usize = 12;

/// Places for shapes: a rate drawn from a thousand people is right within three points.
const PLACES: u32 = 1024;

/// Places that are drawn for a name before any shape will do: with one in twenty filled, one name in thirty misses.
const DRAWS: usize = 64;

/// A shape stands for a day; then the next person of its place lends theirs. So writing them costs a thousand writes a day at most.
const AGE: i64 = 86_400;

/// The shapes of a pool's histories, as they were last read.
#[derive(Debug)]
pub(super) struct Shapes {
    filled: BTreeMap<u32, Shape>,
    /// Places that this process has filled since: as `Filled`. Without it everybody would lend until the list is read again.
    since: [AtomicU8; PLACES as usize],
}

/// A shape on its way into the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Loan {
    place: u32,
    filled: Filled,
    bytes: Vec<u8>,
}

/// What stands in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Filled {
    /// An empty history: of somebody who signed in for the first time.
    Empty = 1,
    /// A history.
    Known = 2,
}

#[derive(Debug)]
struct Shape {
    made: Timestamp,
    profile: Profile,
}

// === impl Shapes ===

impl Shapes {
    pub(super) fn read(entries: BTreeMap<String, Vec<u8>>) -> Self {
        let shape = |bytes: &[u8]| {
            let mut reader = Reader(bytes);
            Some(Shape { made: moment(reader.u32()?), profile: Profile::from_bytes(reader.0)? })
        };
        let filled = entries.iter().filter_map(|(place, bytes)| Some((place.parse().ok()?, shape(bytes)?))).collect();
        Shapes { filled, ..Shapes::default() }
    }

    /// What is to be kept of a person's history when their place is free: what names nobody.
    pub(super) fn lend(&self, person: u32, profile: &Profile, now: Timestamp) -> Option<Loan> {
        let place = place(person);
        let filled = Filled::of(profile);
        // Whoever signs in for the first time has no history only for that moment: a success takes the empty one's place.
        let is_taken = |shape: &Shape| now.as_second() - shape.made.as_second() < AGE && filled <= Filled::of(&shape.profile);
        if self.since[place as usize].load(Ordering::Relaxed) >= filled as u8 || self.filled.get(&place).is_some_and(is_taken) {
            return None;
        }
        let mut shape = profile.clone();
        shape.entries.sort_unstable_by_key(|entry| (std::cmp::Reverse(entry.count), entry.level, entry.hash));
        shape.entries.truncate(MOST_ENTRIES);
        for entry in shape.entries.iter_mut().filter(|entry| !SHARED_LEVELS.contains(&entry.level)) {
            entry.hash = 0;
        }
        Some(Loan { place, filled, bytes: [&seconds(now).to_be_bytes()[..], &shape.to_bytes()].concat() })
    }

    /// Notes that a shape was lent.
    pub(super) fn note(&self, loan: &Loan) {
        self.since[loan.place as usize].fetch_max(loan.filled as u8, Ordering::Relaxed);
    }

    /// The history of a name that no account has; empty while the pool has no shapes.
    pub(super) fn decoy(&self, seed: [u8; 32]) -> Profile {
        let mut draw = ChaCha8Rng::from_seed(seed);
        // The first filled one of some drawn places: each shape is as likely as any other, and a place that is filled
        // later changes few names' histories.
        let drawn = (0..DRAWS).map(|_| draw.random_range(0..PLACES)).find_map(|place| self.filled.get(&place));
        let Some(Shape { profile, .. }) = drawn.or(self.filled.values().next()) else { return Profile::default() };
        let entries = profile.entries.iter().map(|entry| match SHARED_LEVELS.contains(&entry.level) {
            true => *entry,
            false => Entry { hash: draw.random(), ..*entry },
        });
        Profile { entries: entries.collect(), ..profile.clone() }
    }
}

impl Default for Shapes {
    fn default() -> Self {
        Shapes { filled: BTreeMap::new(), since: [const { AtomicU8::new(0) }; PLACES as usize] }
    }
}

// === impl Loan ===

impl Loan {
    /// Its name in the list and what is kept there.
    pub(super) fn entry(&self) -> (String, &[u8]) {
        (self.place.to_string(), &self.bytes)
    }
}

/// Where in the list a person's shape may stand, by their mark: one of 1024 places, which they share with others.
pub(super) fn place(person: u32) -> u32 {
    person % PLACES
}

// === impl Filled ===

impl Filled {
    fn of(profile: &Profile) -> Self {
        if profile.is_new() { Filled::Empty } else { Filled::Known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Profile {
        let entry = |level, hash| Entry { level, hash, count: 9, first_day: 1, last_day: 9 };
        Profile { entries: vec![entry(Level::Country, 7), entry(Level::Ip, 8), entry(Level::Ip, 9)], successes: 9, ..Profile::default() }
    }

    fn read(loan: &Loan) -> Shapes {
        let (name, bytes) = loan.entry();
        Shapes::read(BTreeMap::from([(name, bytes.to_vec())]))
    }

    fn shapes() -> Shapes {
        read(&Shapes::default().lend(1025, &person(), moment(5)).expect("a free place"))
    }

    #[test]
    fn a_shape_names_nobody_and_stands_for_a_day() {
        let shapes = shapes();
        let kept = &shapes.filled[&1].profile;
        assert!(kept.entry(Level::Country, 7).is_some() && kept.entry(Level::Ip, 8).is_none() && kept.entry(Level::Ip, 9).is_none());
        assert_eq!(kept.entries.len(), 3);
        assert!(shapes.lend(1, &person(), moment(86_404)).is_none());
        assert!(shapes.lend(1, &person(), moment(86_405)).is_some());
        assert!(shapes.lend(2, &person(), moment(6)).is_some());
        let empty = read(&Shapes::default().lend(1, &Profile::default(), moment(5)).expect("a free place"));
        assert!(empty.lend(1, &person(), moment(6)).is_some(), "a history takes an empty one's place");
        assert!(empty.lend(1, &Profile::default(), moment(6)).is_none());
    }

    #[test]
    fn a_place_is_filled_once_until_the_list_is_read_again() {
        let shapes = Shapes::default();
        shapes.note(&shapes.lend(1, &Profile::default(), moment(5)).expect("a free place"));
        assert!(shapes.lend(1025, &Profile::default(), moment(5)).is_none());
        shapes.note(&shapes.lend(1025, &person(), moment(5)).expect("a history takes an empty one's place"));
        assert!(shapes.lend(1, &person(), moment(5)).is_none());
        assert!(shapes.lend(2, &person(), moment(5)).is_some());
    }

    #[test]
    fn a_name_always_has_the_same_history_and_another_name_another() {
        let shapes = shapes();
        assert_eq!(shapes.decoy([1; 32]), shapes.decoy([1; 32]));
        assert_ne!(shapes.decoy([1; 32]), shapes.decoy([2; 32]));
        assert!(Shapes::default().decoy([1; 32]).is_new());
    }
}
