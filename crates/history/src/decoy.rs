//! Decoy histories for unknown users.
//!
//! Without a history, the decisions for an unknown user would differ from those for known users and reveal which accounts exist. An unknown
//! user therefore gets a decoy: a template from a real user's profile, which a keyed hash of the name selects. Templates preserve the
//! pool's base rates: the length and age of profiles, countries, networks, and the user agents and addresses that many users share. Values
//! of few users are replaced by random values from the same hash.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use riskgate_engine::features::FeatureLevel;
use riskgate_engine::{
    encoding::Reader,
    profile::{Profile, ProfileEntry, seconds, timestamp_of},
};

/// The levels whose values many users share.
const SHARED_LEVELS: [FeatureLevel; 5] = [FeatureLevel::Country, FeatureLevel::Asn, FeatureLevel::DeviceType, FeatureLevel::Os, FeatureLevel::Browser];

/// Number of templates that must contain a value of another level before the value counts as shared.
const MIN_SHARED: u16 = 5;

/// The bits of a value's hash that a template stores until the value counts as shared. Many values have the same tag.
const TAG_MASK: u32 = 0xfff;

/// Maximum number of values in a template: the most frequent ones. This bounds the size of the list.
const MAX_ENTRIES: usize = 32;

/// Number of slots for templates.
const SLOTS: u32 = 4096;

/// Number of slots in earlier versions. The list may still contain their templates.
const EARLIER_SLOTS: u32 = 1024;

/// Number of slots to draw before falling back to any template. If one slot in twenty is filled, one name in thirty falls back.
const MAX_DRAWS: usize = 64;

/// Seconds after which a user's template is renewed. Decoys then age and change as real profiles do.
pub(super) const RENEW_AFTER: u32 = 3_600;

/// The version of the layout. Earlier layouts have the profile's version in this position.
const VERSION: u8 = 2;

/// The templates of a pool, as they were last read.
#[derive(Debug)]
pub(super) struct DecoyTemplates {
    filled: BTreeMap<u32, Template>,
    /// Tags of values that enough templates contain.
    shared_tags: BTreeSet<(FeatureLevel, u32)>,
    /// The last write of this process to each slot, as `Priority::at`. It prevents further writes until the list is read again.
    written: Vec<AtomicU64>,
    /// The number of entries that could not be read. They are not used.
    unreadable: usize,
}

/// A template to be written to the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TemplateContribution {
    slot: u32,
    priority: Priority,
    written_at: u32,
    bytes: Vec<u8>,
}

/// A user's priority for a slot. The user with the lowest rank fills it, regardless of how often they sign in, so that the templates are an
/// unbiased sample of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Priority(u32);

#[derive(Debug)]
struct Template {
    written_at: Timestamp,
    rank: u16,
    profile: Profile,
}

impl DecoyTemplates {
    pub(super) fn parse(entries: BTreeMap<String, Vec<u8>>) -> Self {
        let templates = entries.iter().filter_map(|(slot, bytes)| Some((slot.parse().ok().filter(|slot| *slot < SLOTS)?, Template::from_bytes(bytes)?)));
        let mut filled: BTreeMap<u32, Template> = templates.collect();
        let unreadable = entries.len() - filled.len();
        let shared_tags =
            count_values(&filled, |hash| hash & TAG_MASK).into_iter().filter(|(_, templates)| *templates >= MIN_SHARED).map(|(value, _)| value).collect();
        // For each tag, the most frequent value.
        let mut values: HashMap<(FeatureLevel, u32), (u16, u32)> = HashMap::new();
        for ((level, hash), templates) in count_values(&filled, |hash| hash) {
            if hash > TAG_MASK && templates >= MIN_SHARED {
                let value = values.entry((level, hash & TAG_MASK)).or_default();
                *value = (*value).max((templates, hash));
            }
        }
        for entry in filled.values_mut().flat_map(|template| &mut template.profile.entries).filter(|entry| !SHARED_LEVELS.contains(&entry.level)) {
            let common = values.get(&(entry.level, entry.hash & TAG_MASK)).filter(|_| entry.hash != 0);
            entry.hash = common.map_or(0, |(_, hash)| if entry.hash > TAG_MASK && entry.hash != *hash { 0 } else { *hash });
        }
        DecoyTemplates { filled, shared_tags, unreadable, ..DecoyTemplates::default() }
    }

    /// The number of entries that could not be read.
    pub(super) fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// The template to write for a user's profile, if the user may fill their slot now. It contains no identifying value.
    pub(super) fn contribute(&self, user: u32, profile: &Profile, now: Timestamp) -> Option<TemplateContribution> {
        let slot = slot(user);
        let rank = rank(user);
        let written_at = seconds(now);
        let priority = Priority::of(rank, profile);
        // A user without a profile has one soon, after the first success: then the profile replaces an empty template at once.
        let is_taken = |template: &Template| {
            let is_new = written_at.saturating_sub(seconds(template.written_at)) < RENEW_AFTER;
            template.rank < rank || (template.rank == rank && is_new && priority <= Priority::of(rank, &template.profile))
        };
        let renewed = written_at.saturating_sub(RENEW_AFTER).saturating_add(1);
        if self.written[slot as usize].load(Ordering::Relaxed) >= priority.at(renewed) || self.filled.get(&slot).is_some_and(is_taken) {
            return None;
        }
        let mut template = profile.clone();
        template.entries.sort_unstable_by_key(|entry| (std::cmp::Reverse(entry.count), entry.level, entry.hash));
        template.entries.truncate(MAX_ENTRIES);
        for entry in template.entries.iter_mut().filter(|entry| !SHARED_LEVELS.contains(&entry.level)) {
            if !self.shared_tags.contains(&(entry.level, entry.hash & TAG_MASK)) {
                entry.hash &= TAG_MASK;
            }
        }
        let head = [&written_at.to_be_bytes()[..], &[VERSION], &rank.to_be_bytes()].concat();
        Some(TemplateContribution { slot, priority, written_at, bytes: [head, template.to_bytes()].concat() })
    }

    /// Records that a template was written.
    pub(super) fn mark_written(&self, contribution: &TemplateContribution) {
        self.written[contribution.slot as usize].fetch_max(contribution.priority.at(contribution.written_at), Ordering::Relaxed);
    }

    /// The decoy profile for a seed; empty if there are no templates.
    pub(super) fn draw_profile(&self, seed: [u8; 32]) -> Profile {
        if self.filled.is_empty() {
            return Profile::default();
        }
        let mut draw = ChaCha8Rng::from_seed(seed);
        // The first filled slot among some drawn ones. Each template is equally likely, and a slot that is filled later changes few decoys.
        let drawn = (0..MAX_DRAWS).map(|_| draw.random_range(0..SLOTS)).find_map(|slot| self.filled.get(&slot));
        let Some(Template { profile, .. }) = drawn.or_else(|| self.filled.values().nth(draw.random_range(0..self.filled.len()))) else {
            return Profile::default();
        };
        let entries = profile.entries.iter().map(|entry| match entry.hash != 0 || SHARED_LEVELS.contains(&entry.level) {
            true => *entry,
            false => ProfileEntry { hash: draw.random(), ..*entry },
        });
        Profile { entries: entries.collect(), ..profile.clone() }
    }
}

impl Default for DecoyTemplates {
    fn default() -> Self {
        let written = std::iter::repeat_with(AtomicU64::default).take(SLOTS as usize).collect();
        DecoyTemplates { filled: BTreeMap::new(), shared_tags: BTreeSet::new(), written, unreadable: 0 }
    }
}

/// The number of templates that contain each value, by a part of its hash.
fn count_values(filled: &BTreeMap<u32, Template>, part: fn(u32) -> u32) -> HashMap<(FeatureLevel, u32), u16> {
    let mut counts: HashMap<(FeatureLevel, u32), u16> = HashMap::new();
    for template in filled.values() {
        let other_values = template.profile.entries.iter().filter(|entry| entry.hash != 0 && !SHARED_LEVELS.contains(&entry.level));
        let values: BTreeSet<(FeatureLevel, u32)> = other_values.map(|entry| (entry.level, part(entry.hash))).collect();
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
    }
    counts
}

impl Template {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let written_at = timestamp_of(reader.u32()?);
        // A template of an earlier version has no rank; any user of the slot replaces it.
        let earlier = Profile::from_bytes(reader.0).map(|profile| Template { written_at, rank: u16::MAX, profile });
        earlier.or_else(|| {
            let rank = (reader.u8()? == VERSION).then(|| reader.u16()).flatten()?;
            Some(Template { written_at, rank, profile: Profile::from_bytes(reader.0)? })
        })
    }
}

impl TemplateContribution {
    /// The name and the value of its list entry.
    pub(super) fn entry(&self) -> (String, &[u8]) {
        (self.slot.to_string(), &self.bytes)
    }
}

/// The slots that may contain a user's template, by the user's short hash: those of this version and of earlier ones. Users share slots.
pub(super) fn slots(user: u32) -> [u32; 2] {
    [slot(user), user % EARLIER_SLOTS]
}

fn slot(user: u32) -> u32 {
    user % SLOTS
}

/// A user's rank among the users who share a slot.
fn rank(user: u32) -> u16 {
    u16::try_from(user >> 16).expect("sixteen bits")
}

impl Priority {
    fn of(rank: u16, profile: &Profile) -> Self {
        Priority((u32::from(u16::MAX - rank) << 1 | u32::from(!profile.is_new())) + 1)
    }

    /// The priority and a time in one number: higher priorities are larger, and of equal priorities the later one is.
    fn at(self, seconds: u32) -> u64 {
        u64::from(self.0) << 32 | u64::from(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user_profile() -> Profile {
        let entry = |level, hash| ProfileEntry { level, hash, count: 9, first_day: 1, last_day: 9, verified: false };
        Profile { entries: vec![entry(FeatureLevel::Country, 7), entry(FeatureLevel::Ip, 8), entry(FeatureLevel::Ip, 9)], successes: 9, ..Profile::default() }
    }

    /// Two users of one slot. The first has the lower rank and fills it.
    const FIRST: u32 = 0x0001_0001;
    const SECOND: u32 = 0x0002_0001;

    fn list(contribution: &TemplateContribution) -> BTreeMap<String, Vec<u8>> {
        let (name, bytes) = contribution.entry();
        BTreeMap::from([(name, bytes.to_vec())])
    }

    fn templates_of(user: u32, profile: &Profile) -> DecoyTemplates {
        DecoyTemplates::parse(list(&DecoyTemplates::default().contribute(user, profile, timestamp_of(5)).expect("a free slot")))
    }

    #[test]
    fn a_template_is_anonymous_and_its_user_renews_it() {
        let templates = templates_of(SECOND, &user_profile());
        let stored = &templates.filled[&1].profile;
        assert!(stored.entry(FeatureLevel::Country, 7).is_some() && stored.entry(FeatureLevel::Ip, 8).is_none() && stored.entry(FeatureLevel::Ip, 9).is_none());
        assert_eq!(stored.entries.len(), 3);
        assert!(templates.contribute(SECOND, &user_profile(), timestamp_of(3_604)).is_none());
        assert!(templates.contribute(SECOND, &user_profile(), timestamp_of(3_605)).is_some());
        assert!(templates.contribute(SECOND + 1, &user_profile(), timestamp_of(6)).is_some(), "another slot");
        assert!(templates.contribute(FIRST, &Profile::default(), timestamp_of(6)).is_some(), "the lower rank fills the slot");
        assert!(templates.contribute(0x0003_0001, &user_profile(), timestamp_of(99_999)).is_none(), "a higher rank never fills it");
        let empty = templates_of(SECOND, &Profile::default());
        assert!(empty.contribute(SECOND, &user_profile(), timestamp_of(6)).is_some(), "a first success replaces the empty profile");
        assert!(empty.contribute(SECOND, &Profile::default(), timestamp_of(6)).is_none());
    }

    #[test]
    fn a_slot_is_written_once_until_the_list_is_read_again() {
        let templates = DecoyTemplates::default();
        templates.mark_written(&templates.contribute(SECOND, &Profile::default(), timestamp_of(5)).expect("a free slot"));
        assert!(templates.contribute(SECOND, &Profile::default(), timestamp_of(5)).is_none());
        templates.mark_written(&templates.contribute(SECOND, &user_profile(), timestamp_of(5)).expect("a profile replaces the empty one"));
        assert!(templates.contribute(SECOND, &user_profile(), timestamp_of(3_604)).is_none());
        assert!(templates.contribute(SECOND, &user_profile(), timestamp_of(3_605)).is_some(), "renewed after an hour, even if the list was not read again");
        assert!(templates.contribute(FIRST, &Profile::default(), timestamp_of(5)).is_some());
        assert!(templates.contribute(SECOND + 1, &user_profile(), timestamp_of(5)).is_some());
    }

    #[test]
    fn values_of_five_users_are_in_templates_and_values_of_fewer_are_not() {
        let (common, rare) = (0xabcd_e123, 0x1234_5678);
        let entry = |hash| ProfileEntry { level: FeatureLevel::UserAgent, hash, count: 9, first_day: 1, last_day: 9, verified: false };
        let profile = |user: u32| Profile { entries: vec![entry(common), entry(rare + user)], successes: 9, ..Profile::default() };
        let mut entries = BTreeMap::new();
        for user in 1..=5 {
            entries.extend(list(&DecoyTemplates::default().contribute(user, &profile(user), timestamp_of(5)).expect("a free slot")));
            assert!(DecoyTemplates::parse(entries.clone()).shared_tags.is_empty() || user == 5);
        }
        let tagged = DecoyTemplates::parse(entries.clone());
        assert!(entries.values().all(|bytes| !bytes.windows(4).any(|bytes| bytes == common.to_be_bytes())), "not known to be shared yet");
        assert!(tagged.draw_profile([1; 32]).entry(FeatureLevel::UserAgent, common).is_none());
        for user in 1..=5 {
            entries.extend(list(&tagged.contribute(user, &profile(user), timestamp_of(3_605)).expect("due")));
        }
        let shared = DecoyTemplates::parse(entries.clone());
        assert!((1..9).all(|seed| shared.draw_profile([seed; 32]).entry(FeatureLevel::UserAgent, common).is_some()));
        let is_stored = |hash: u32| entries.values().any(|bytes| bytes.windows(4).any(|bytes| bytes == hash.to_be_bytes()));
        assert!(is_stored(common) && (1..=5).all(|user| !is_stored(rare + user)));
    }

    #[test]
    fn a_template_has_the_marks_of_verified_values() {
        let mut profile = user_profile();
        profile.entries.iter_mut().filter(|entry| entry.hash != 9).for_each(|entry| entry.verified = true);
        let decoy = templates_of(FIRST, &profile).draw_profile([1; 32]);
        assert_eq!(decoy.entries.iter().filter(|entry| entry.verified).count(), 2, "also of values that are replaced");
    }

    #[test]
    fn templates_of_earlier_versions_are_read_and_replaced() {
        let earlier = [&seconds(timestamp_of(5)).to_be_bytes()[..], &user_profile().to_bytes()].concat();
        let templates = DecoyTemplates::parse(BTreeMap::from([("1".to_owned(), earlier)]));
        assert!(templates.draw_profile([1; 32]).entry(FeatureLevel::Country, 7).is_some());
        assert!(templates.contribute(SECOND, &user_profile(), timestamp_of(6)).is_some());
        assert_eq!(slots(0x0001_0401), [0x401, 1], "erasure includes the slots of earlier versions");
    }

    #[test]
    fn a_seed_determines_the_decoy() {
        let templates = templates_of(FIRST, &user_profile());
        assert_eq!(templates.draw_profile([1; 32]), templates.draw_profile([1; 32]));
        assert_ne!(templates.draw_profile([1; 32]), templates.draw_profile([2; 32]));
        assert!(DecoyTemplates::default().draw_profile([1; 32]).is_new());
    }
}
