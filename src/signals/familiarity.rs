//! How familiar each value of a sign-in is to the person's history.

use crate::evidence::{
    Features,
    features::Level,
    history::{Profile, profile::Entry},
};

/// What the person's history says of one value, held under its parent in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Familiarity {
    /// Nothing to compare: the value is missing, or the person has no history.
    #[default]
    Unknown,
    /// The value above it is new to the person already; this one adds nothing.
    Beneath,
    /// Never seen under its parent.
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
        /// Whether on two days: only then may it speak for the person.
        established: bool,
    },
}

/// The familiarity of every level, and whether anything at all is established.
#[derive(Debug, Clone, Copy, Default)]
pub struct Familiarities {
    levels: [Familiarity; Level::ALL.len()],
    /// Whether anything was seen on two days, the same or not.
    pub established: bool,
}

impl Familiarity {
    /// Whether the person's history holds the parent but not the value.
    pub fn is_new(self) -> bool {
        matches!(self, Familiarity::New { .. })
    }

    /// Whether the person's history holds the value.
    pub fn is_seen(self) -> bool {
        matches!(self, Familiarity::Seen { .. })
    }
}

impl Familiarities {
    /// Holds a sign-in's values against a profile, in one pass over its entries.
    pub fn read(features: &Features, profile: &Profile) -> Self {
        if profile.is_new() {
            return Familiarities::default();
        }
        let mut seen: [Option<&Entry>; Level::ALL.len()] = [None; Level::ALL.len()];
        let (mut first_day, mut last_day) = (u16::MAX, 0);
        for entry in &profile.entries {
            first_day = first_day.min(entry.first_day);
            last_day = last_day.max(entry.last_day);
            if features.at(entry.level) == Some(entry.hash) {
                seen[entry.level as usize] = Some(entry);
            }
        }
        let established = last_day > first_day;
        let mut levels = [Familiarity::Unknown; Level::ALL.len()];
        for chain in CHAINS {
            // `None` once a value of the chain is new.
            let mut parent = Some(profile.successes);
            for level in chain {
                let at = *level as usize;
                if features.at(*level).is_none() {
                    continue;
                }
                (levels[at], parent) = match (parent, seen[at]) {
                    (None, _) => (Familiarity::Beneath, None),
                    (Some(of), None) => (Familiarity::New { of: of.max(1) }, None),
                    (Some(of), Some(entry)) => {
                        let count = u32::from(entry.count).max(1);
                        // Entries stay at 65535 and are evicted, so a child can outlive its parent's count.
                        (Familiarity::Seen { count, of: of.max(count), established: entry.is_established() }, Some(count))
                    }
                };
            }
        }
        Familiarities { levels, established }
    }

    /// The familiarity at a level.
    pub fn at(&self, level: Level) -> Familiarity {
        self.levels[level as usize]
    }
}

const CHAINS: [&[Level]; 3] =
    [&[Level::Country, Level::Asn, Level::Network, Level::Ip], &[Level::DeviceType, Level::Os, Level::Browser, Level::UserAgent], &[Level::Device]];
