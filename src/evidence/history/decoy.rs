//! Invented histories for names that no account has (invariant 6).
//!
//! Scored without a history, an unknown name would stand out among known ones by its verdicts.
//! So it gets one: the shape of a real person's, drawn by a keyed hash of the name. The shapes are the pool's
//! own base rates: how long histories are, from which countries and providers, how long ago, and which
//! user agents, networks and addresses many people have in common. A value of few people is replaced by noise of the same hash.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::atomic::{AtomicU64, Ordering},
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

/// A value of another level counts as shared when so many shapes hold it.
const LEAST_SHARED: u16 = 5;

/// The bits of a value's hash that a shape holds until the value is known to be shared: many values have the same.
const TAG: u32 = 0xfff;

/// A shape keeps the most frequent values only, so that all of them stay a short read.
const MOST_ENTRIES: usize = 32;

/// Places for shapes.
const PLACES: u32 = 4096;

/// Places of earlier versions: a shape of theirs may be in one of these.
const EARLIER_PLACES: u32 = 1024;

/// Places that are drawn for a name before any shape will do: with one in twenty filled, one name in thirty misses.
const DRAWS: usize = 64;

/// The person of a place lends again after an hour, so decoys age and change as people do.
const AGE: u32 = 3_600;

/// The layout's version; earlier ones have the profile's own version in its place.
const VERSION: u8 = 2;

/// The shapes of a pool's histories, as they were last read.
#[derive(Debug)]
pub(super) struct Shapes {
    filled: BTreeMap<u32, Shape>,
    /// Tags of values that enough shapes hold to lend these values.
    shared_tags: BTreeSet<(Level, u32)>,
    /// What this process has filled places with since, as `Claim::at`. Without it everybody would lend until the list is read again.
    since: Vec<AtomicU64>,
}

/// A shape on its way into the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Loan {
    place: u32,
    claim: Claim,
    made: u32,
    bytes: Vec<u8>,
}

/// How well a person's claim to a place is founded. The person of the lowest rank has it, however often they sign in:
/// whoever is there is a fair sample, and stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim(u32);

#[derive(Debug)]
struct Shape {
    made: Timestamp,
    rank: u16,
    profile: Profile,
}

// === impl Shapes ===

impl Shapes {
    pub(super) fn read(entries: BTreeMap<String, Vec<u8>>) -> Self {
        let shapes = entries.iter().filter_map(|(place, bytes)| Some((place.parse().ok().filter(|place| *place < PLACES)?, Shape::from_bytes(bytes)?)));
        let mut filled: BTreeMap<u32, Shape> = shapes.collect();
        let shared_tags = count(&filled, |hash| hash & TAG).into_iter().filter(|(_, shapes)| *shapes >= LEAST_SHARED).map(|(value, _)| value).collect();
        // Of a tag's values the most frequent.
        let mut values: HashMap<(Level, u32), (u16, u32)> = HashMap::new();
        for ((level, hash), shapes) in count(&filled, |hash| hash) {
            if hash > TAG && shapes >= LEAST_SHARED {
                let value = values.entry((level, hash & TAG)).or_default();
                *value = (*value).max((shapes, hash));
            }
        }
        for entry in filled.values_mut().flat_map(|shape| &mut shape.profile.entries).filter(|entry| !SHARED_LEVELS.contains(&entry.level)) {
            let shared = values.get(&(entry.level, entry.hash & TAG)).filter(|_| entry.hash != 0);
            entry.hash = shared.map_or(0, |(_, hash)| if entry.hash > TAG && entry.hash != *hash { 0 } else { *hash });
        }
        Shapes { filled, shared_tags, ..Shapes::default() }
    }

    /// What is to be kept of a person's history when their place is free: what names nobody.
    pub(super) fn lend(&self, person: u32, profile: &Profile, now: Timestamp) -> Option<Loan> {
        let place = place(person);
        let rank = rank(person);
        let made = seconds(now);
        let claim = Claim::of(rank, profile);
        // Whoever signs in for the first time has no history only for that moment: their success follows at once.
        let is_taken = |shape: &Shape| {
            let is_new = made.saturating_sub(seconds(shape.made)) < AGE;
            shape.rank < rank || (shape.rank == rank && is_new && claim <= Claim::of(rank, &shape.profile))
        };
        let renewed = made.saturating_sub(AGE).saturating_add(1);
        if self.since[place as usize].load(Ordering::Relaxed) >= claim.at(renewed) || self.filled.get(&place).is_some_and(is_taken) {
            return None;
        }
        let mut shape = profile.clone();
        shape.entries.sort_unstable_by_key(|entry| (std::cmp::Reverse(entry.count), entry.level, entry.hash));
        shape.entries.truncate(MOST_ENTRIES);
        for entry in shape.entries.iter_mut().filter(|entry| !SHARED_LEVELS.contains(&entry.level)) {
            if !self.shared_tags.contains(&(entry.level, entry.hash & TAG)) {
                entry.hash &= TAG;
            }
        }
        let head = [&made.to_be_bytes()[..], &[VERSION], &rank.to_be_bytes()].concat();
        Some(Loan { place, claim, made, bytes: [head, shape.to_bytes()].concat() })
    }

    /// Notes that a shape was lent.
    pub(super) fn note(&self, loan: &Loan) {
        self.since[loan.place as usize].fetch_max(loan.claim.at(loan.made), Ordering::Relaxed);
    }

    /// The history of a name that no account has; empty while the pool has no shapes.
    pub(super) fn decoy(&self, seed: [u8; 32]) -> Profile {
        if self.filled.is_empty() {
            return Profile::default();
        }
        let mut draw = ChaCha8Rng::from_seed(seed);
        // The first filled one of some drawn places: each shape is as likely as any other, and a place that is filled
        // later changes few names' histories.
        let drawn = (0..DRAWS).map(|_| draw.random_range(0..PLACES)).find_map(|place| self.filled.get(&place));
        let Some(Shape { profile, .. }) = drawn.or_else(|| self.filled.values().nth(draw.random_range(0..self.filled.len()))) else {
            return Profile::default();
        };
        let entries = profile.entries.iter().map(|entry| match entry.hash != 0 || SHARED_LEVELS.contains(&entry.level) {
            true => *entry,
            false => Entry { hash: draw.random(), ..*entry },
        });
        Profile { entries: entries.collect(), ..profile.clone() }
    }
}

impl Default for Shapes {
    fn default() -> Self {
        let since = std::iter::repeat_with(AtomicU64::default).take(PLACES as usize).collect();
        Shapes { filled: BTreeMap::new(), shared_tags: BTreeSet::new(), since }
    }
}

/// In how many shapes each value is, by a part of its hash.
fn count(filled: &BTreeMap<u32, Shape>, part: fn(u32) -> u32) -> HashMap<(Level, u32), u16> {
    let mut counts: HashMap<(Level, u32), u16> = HashMap::new();
    for shape in filled.values() {
        let of_few = shape.profile.entries.iter().filter(|entry| entry.hash != 0 && !SHARED_LEVELS.contains(&entry.level));
        let values: BTreeSet<(Level, u32)> = of_few.map(|entry| (entry.level, part(entry.hash))).collect();
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
    }
    counts
}

// === impl Shape ===

impl Shape {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let made = moment(reader.u32()?);
        // Whoever signs in next takes the place of a shape that has no rank.
        let earlier = Profile::from_bytes(reader.0).map(|profile| Shape { made, rank: u16::MAX, profile });
        earlier.or_else(|| {
            let rank = (reader.u8()? == VERSION).then(|| reader.u16()).flatten()?;
            Some(Shape { made, rank, profile: Profile::from_bytes(reader.0)? })
        })
    }
}

// === impl Loan ===

impl Loan {
    /// Its name in the list and what is kept there.
    pub(super) fn entry(&self) -> (String, &[u8]) {
        (self.place.to_string(), &self.bytes)
    }
}

/// Where in the list a person's shape may be, by their mark: places of this version and of earlier ones, which they share with others.
pub(super) fn places(person: u32) -> [u32; 2] {
    [place(person), person % EARLIER_PLACES]
}

fn place(person: u32) -> u32 {
    person % PLACES
}

/// A person's rank among those who share a place.
fn rank(person: u32) -> u16 {
    u16::try_from(person >> 16).expect("sixteen bits")
}

// === impl Claim ===

impl Claim {
    fn of(rank: u16, profile: &Profile) -> Self {
        Claim((u32::from(u16::MAX - rank) << 1 | u32::from(!profile.is_new())) + 1)
    }

    /// A claim and when it was made, in one number: of two claims the better is larger, of equal ones the later.
    fn at(self, seconds: u32) -> u64 {
        u64::from(self.0) << 32 | u64::from(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Profile {
        let entry = |level, hash| Entry { level, hash, count: 9, first_day: 1, last_day: 9 };
        Profile { entries: vec![entry(Level::Country, 7), entry(Level::Ip, 8), entry(Level::Ip, 9)], successes: 9, ..Profile::default() }
    }

    /// Marks of one place: the lower rank has it.
    const FIRST: u32 = 0x0001_0001;
    const SECOND: u32 = 0x0002_0001;

    fn list(loan: &Loan) -> BTreeMap<String, Vec<u8>> {
        let (name, bytes) = loan.entry();
        BTreeMap::from([(name, bytes.to_vec())])
    }

    fn lent(person: u32, profile: &Profile) -> Shapes {
        Shapes::read(list(&Shapes::default().lend(person, profile, moment(5)).expect("a free place")))
    }

    #[test]
    fn a_shape_names_nobody_and_its_person_renews_it() {
        let shapes = lent(SECOND, &person());
        let stored = &shapes.filled[&1].profile;
        assert!(stored.entry(Level::Country, 7).is_some() && stored.entry(Level::Ip, 8).is_none() && stored.entry(Level::Ip, 9).is_none());
        assert_eq!(stored.entries.len(), 3);
        assert!(shapes.lend(SECOND, &person(), moment(3_604)).is_none());
        assert!(shapes.lend(SECOND, &person(), moment(3_605)).is_some());
        assert!(shapes.lend(SECOND + 1, &person(), moment(6)).is_some(), "another place");
        assert!(shapes.lend(FIRST, &Profile::default(), moment(6)).is_some(), "the lower rank has the place");
        assert!(shapes.lend(0x0003_0001, &person(), moment(99_999)).is_none(), "a higher one never has");
        let empty = lent(SECOND, &Profile::default());
        assert!(empty.lend(SECOND, &person(), moment(6)).is_some(), "a first success replaces the empty history");
        assert!(empty.lend(SECOND, &Profile::default(), moment(6)).is_none());
    }

    #[test]
    fn a_place_is_filled_once_until_the_list_is_read_again() {
        let shapes = Shapes::default();
        shapes.note(&shapes.lend(SECOND, &Profile::default(), moment(5)).expect("a free place"));
        assert!(shapes.lend(SECOND, &Profile::default(), moment(5)).is_none());
        shapes.note(&shapes.lend(SECOND, &person(), moment(5)).expect("a history replaces the empty one"));
        assert!(shapes.lend(SECOND, &person(), moment(3_604)).is_none());
        assert!(shapes.lend(SECOND, &person(), moment(3_605)).is_some(), "an hour later it is renewed, whether the list was read or not");
        assert!(shapes.lend(FIRST, &Profile::default(), moment(5)).is_some());
        assert!(shapes.lend(SECOND + 1, &person(), moment(5)).is_some());
    }

    #[test]
    fn values_of_five_people_are_lent_and_values_of_fewer_are_not() {
        let (common, rare) = (0xabcd_e123, 0x1234_5678);
        let entry = |hash| Entry { level: Level::UserAgent, hash, count: 9, first_day: 1, last_day: 9 };
        let profile = |person: u32| Profile { entries: vec![entry(common), entry(rare + person)], successes: 9, ..Profile::default() };
        let mut entries = BTreeMap::new();
        for people in 1..=5 {
            entries.extend(list(&Shapes::default().lend(people, &profile(people), moment(5)).expect("a free place")));
            assert!(Shapes::read(entries.clone()).shared_tags.is_empty() || people == 5);
        }
        let tagged = Shapes::read(entries.clone());
        assert!(entries.values().all(|bytes| !bytes.windows(4).any(|bytes| bytes == common.to_be_bytes())), "not known to be shared yet");
        assert!(tagged.decoy([1; 32]).entry(Level::UserAgent, common).is_none());
        for person in 1..=5 {
            entries.extend(list(&tagged.lend(person, &profile(person), moment(3_605)).expect("due")));
        }
        let shared = Shapes::read(entries.clone());
        assert!((1..9).all(|seed| shared.decoy([seed; 32]).entry(Level::UserAgent, common).is_some()));
        let is_stored = |hash: u32| entries.values().any(|bytes| bytes.windows(4).any(|bytes| bytes == hash.to_be_bytes()));
        assert!(is_stored(common) && (1..=5).all(|person| !is_stored(rare + person)));
    }

    #[test]
    fn shapes_of_earlier_versions_are_read_and_give_way() {
        let earlier = [&seconds(moment(5)).to_be_bytes()[..], &person().to_bytes()].concat();
        let shapes = Shapes::read(BTreeMap::from([("1".to_owned(), earlier)]));
        assert!(shapes.decoy([1; 32]).entry(Level::Country, 7).is_some());
        assert!(shapes.lend(SECOND, &person(), moment(6)).is_some());
        assert_eq!(places(0x0001_0401), [0x401, 1], "erasure looks where an earlier version wrote");
    }

    #[test]
    fn a_name_always_has_the_same_history_and_another_name_another() {
        let shapes = lent(FIRST, &person());
        assert_eq!(shapes.decoy([1; 32]), shapes.decoy([1; 32]));
        assert_ne!(shapes.decoy([1; 32]), shapes.decoy([2; 32]));
        assert!(Shapes::default().decoy([1; 32]).is_new());
    }
}
