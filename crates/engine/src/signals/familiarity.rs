//! Familiarity signals: whether each value of a sign-in occurs in the user's history.

use crate::{evidence::Evidence, features::FeatureLevel, profile::ProfileEntry};

/// How often the user's history has one value, relative to its parent in the hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Familiarity {
    /// Not comparable: the value is missing, or the user has no history.
    #[default]
    Unknown,
    /// A value above it in the hierarchy is new to the user, so this value adds no evidence.
    ParentIsNew,
    /// A user agent that was seen with a lower version of the browser. An update adds no evidence.
    Updated,
    /// Not seen with its parent.
    New {
        /// How often the parent was seen, such as 12; at least 1.
        of: u32,
    },
    /// Seen before.
    Seen {
        /// How often, such as 9.
        count: u32,
        /// How often the parent was seen, such as 12; never less than `count`.
        of: u32,
        /// Whether it was seen on two days and, if the history has verified values of the network, is one of them. Only then may it count in the
        /// user's favour.
        established: bool,
    },
}

/// The familiarity at every level, and whether the history spans two days.
#[derive(Debug, Clone, Copy, Default)]
pub struct Familiarities {
    levels: [Familiarity; FeatureLevel::ALL.len()],
    /// Whether the history has values from at least two days.
    pub established: bool,
}

impl Familiarity {
    /// Whether the user's history has the parent but not the value.
    pub fn is_new(self) -> bool {
        matches!(self, Familiarity::New { .. })
    }

    /// Whether the user's history has the value.
    pub fn is_seen(self) -> bool {
        matches!(self, Familiarity::Seen { .. })
    }
}

impl Familiarities {
    /// Compares a sign-in's values with the user's profile, in one pass over its entries.
    pub fn read(evidence: &Evidence) -> Self {
        let (features, profile) = (&evidence.features, &evidence.history.profile);
        if profile.is_new() {
            return Familiarities::default();
        }
        let mut seen: [Option<&ProfileEntry>; FeatureLevel::ALL.len()] = [None; FeatureLevel::ALL.len()];
        let (mut first_day, mut last_day, mut has_verified) = (u16::MAX, 0, false);
        for entry in &profile.entries {
            first_day = first_day.min(entry.first_day);
            last_day = last_day.max(entry.last_day);
            has_verified |= entry.verified;
            if features.at(entry.level) == Some(entry.hash) {
                seen[entry.level as usize] = Some(entry);
            }
        }
        let established = last_day > first_day;
        let mut levels = [Familiarity::Unknown; FeatureLevel::ALL.len()];
        for hierarchy in HIERARCHIES {
            // `None` below a new value.
            let mut parent = Some(profile.successes);
            for level in hierarchy {
                let at = *level as usize;
                if features.at(*level).is_none() {
                    continue;
                }
                (levels[at], parent) = match (parent, seen[at]) {
                    (None, _) => (Familiarity::ParentIsNew, None),
                    (Some(_), None) if *level == FeatureLevel::UserAgent && evidence.is_browser_update => (Familiarity::Updated, None),
                    (Some(of), None) => (Familiarity::New { of: of.max(1) }, None),
                    (Some(of), Some(entry)) => {
                        let count = u32::from(entry.count).max(1);
                        let is_claim = has_verified && !entry.verified && level.is_network();
                        // Counts saturate and entries are evicted, so a child's count can exceed its parent's.
                        (Familiarity::Seen { count, of: of.max(count), established: entry.is_established() && !is_claim }, Some(count))
                    }
                };
            }
        }
        Familiarities { levels, established }
    }

    /// The familiarity at a level.
    pub fn at(&self, level: FeatureLevel) -> Familiarity {
        self.levels[level as usize]
    }
}

const HIERARCHIES: [&[FeatureLevel]; 3] = [
    &[FeatureLevel::Country, FeatureLevel::Asn, FeatureLevel::Network, FeatureLevel::Ip],
    &[FeatureLevel::DeviceType, FeatureLevel::Os, FeatureLevel::Browser, FeatureLevel::UserAgent],
    &[FeatureLevel::Device],
];
