//! Invented histories for names that no account has (invariant 6).
//!
//! Scored without a history, an unknown name would stand out among known ones by its verdicts.
//! So it gets one: the shape of a real person's, drawn by a keyed hash of the name, with every value
//! that could belong to one person only replaced by noise of the same hash. The shapes are the pool's
//! own base rates: how long histories are, from which countries and providers, how long ago.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Profile, blocks::SHAPES, profile::Entry};
use crate::evidence::features::Level;

/// The levels whose values many people share.
const SHARED_LEVELS: [Level; 5] = [Level::Country, Level::Asn, Level::DeviceType, Level::Os, Level::Browser];

/// A shape keeps the most frequent values only, so that 64 of them stay a short read.
const MOST_ENTRIES: usize = 24;

/// What may be kept of a history for others to be invented from, under which name: each person has one place of 64.
pub(super) fn shape(profile: &Profile, person: u32) -> (String, Vec<u8>) {
    let mut shape = profile.clone();
    shape.entries.sort_unstable_by_key(|entry| (std::cmp::Reverse(entry.count), entry.level, entry.hash));
    shape.entries.truncate(MOST_ENTRIES);
    for entry in shape.entries.iter_mut().filter(|entry| !SHARED_LEVELS.contains(&entry.level)) {
        entry.hash = 0;
    }
    (format!("shape#{:02}", person % u32::from(SHAPES)), shape.to_bytes())
}

/// The history of a name that no account has; empty while the pool has no shapes.
pub(super) fn decoy(shapes: &[Profile], seed: [u8; 32]) -> Profile {
    let mut draw = ChaCha8Rng::from_seed(seed);
    let at: usize = draw.random_range(0..usize::from(SHAPES));
    let Some(shape) = shapes.get(at % shapes.len().max(1)) else { return Profile::default() };
    let entries = shape.entries.iter().map(|entry| match SHARED_LEVELS.contains(&entry.level) {
        true => *entry,
        false => Entry { hash: draw.random(), ..*entry },
    });
    Profile { entries: entries.collect(), ..shape.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Profile {
        let entry = |level, hash| Entry { level, hash, count: 9, first_day: 1, last_day: 9 };
        Profile { entries: vec![entry(Level::Country, 7), entry(Level::Ip, 8), entry(Level::Ip, 9)], successes: 9, ..Profile::default() }
    }

    #[test]
    fn a_shape_names_nobody() {
        let (name, bytes) = shape(&person(), 65);
        let kept = Profile::from_bytes(&bytes).expect("a profile");
        assert_eq!(name, "shape#01");
        assert!(kept.entry(Level::Country, 7).is_some() && kept.entry(Level::Ip, 8).is_none() && kept.entry(Level::Ip, 9).is_none());
        assert_eq!(kept.entries.len(), 3);
    }

    #[test]
    fn a_name_always_has_the_same_history_and_another_name_another() {
        let shapes = [Profile::from_bytes(&shape(&person(), 1).1).expect("a profile")];
        assert_eq!(decoy(&shapes, [1; 32]), decoy(&shapes, [1; 32]));
        assert_ne!(decoy(&shapes, [1; 32]), decoy(&shapes, [2; 32]));
        assert!(decoy(&[], [1; 32]).is_new());
    }
}
