//! Base rates of countries, providers and devices, among legitimate sign-ins and attacks.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use siphasher::sip::SipHasher13;

use crate::score::{
    table::{Table, TableError},
    weights::Weights,
};
use crate::{context::Country, features::FeatureLevel};

/// The levels that have base rates, of the hierarchies country > provider and device type > operating system > browser.
pub const PRIOR_LEVELS: [&str; 5] = ["country", "asn", "device_type", "os", "browser"];

/// Base rates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Priors {
    /// Counts by path from the root of a hierarchy.
    cells: HashMap<u64, Cell, BuildHasherDefault<PathHasher>>,
    /// ln of the share of a value whose parent has no listed children, by level.
    unlisted: [f64; PRIOR_LEVELS.len()],
    /// The number of listed values, by level.
    distinct: [f64; PRIOR_LEVELS.len()],
    /// The number of attacks, over all countries.
    attacks: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Cell {
    legit: f64,
    attack: f64,
    /// The sum of the children's `legit`.
    children_legit: f64,
}

/// The path of a value from the root of its hierarchy, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriorPath(u64);

/// A path is a hash already, and paths are those of the tables.
#[derive(Debug, Default)]
struct PathHasher(u64);

impl Hasher for PathHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, path: u64) {
        self.0 = path;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

const NETWORK_ROOT: PriorPath = PriorPath(1);
const DEVICE_ROOT: PriorPath = PriorPath(2);

impl PriorPath {
    /// The path of a country.
    pub fn country(country: Country) -> Self {
        NETWORK_ROOT.child(country.as_str().as_bytes())
    }

    /// The path of a device type, by its label.
    pub fn device_type(label: &str) -> Self {
        DEVICE_ROOT.child(label.as_bytes())
    }

    /// The path of an autonomous system in this country.
    pub fn asn(self, asn: u32) -> Self {
        // In decimal, as in the file.
        let mut digits = [0_u8; 10];
        let (mut at, mut rest) = (digits.len(), asn);
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).expect("a digit is under ten");
            rest /= 10;
            if rest == 0 {
                return self.child(&digits[at..]);
            }
        }
    }

    /// The path of a child value.
    pub fn child(self, value: &[u8]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(self.0, 0);
        hasher.write(value);
        PriorPath(hasher.finish())
    }
}

impl Priors {
    /// Parses the table. The columns `first`, `second` and `third` are a row's path.
    pub(super) fn parse(text: &str, weights: &Weights) -> Result<Self, TableError> {
        let table = Table::read("priors.csv", text, &["level", "first", "second", "third", "legit", "attack"])?;
        let unlisted = [1.0 / 250.0, weights.share_asn, weights.share_device_type, weights.share_os, weights.share_browser].map(f64::ln);
        let mut priors = Priors { unlisted, ..Priors::default() };
        for row in table.rows() {
            let level = row.word(0, &PRIOR_LEVELS)?;
            let (legit, attack) = (row.number(4, 0.0, 1e15)?, row.number(5, 0.0, 1e15)?);
            let (root, depth) = if level < 2 { (NETWORK_ROOT, level) } else { (DEVICE_ROOT, level - 2) };
            let mut parent = root;
            for column in 1..=depth {
                parent = parent.child(row.text(column).as_bytes());
            }
            let path = parent.child(row.text(depth + 1).as_bytes());
            let cell = priors.cells.entry(path.0).or_default();
            if cell.legit > 0.0 || cell.attack > 0.0 {
                return Err(row.error("duplicate row"));
            }
            (cell.legit, cell.attack) = (legit, attack);
            priors.cells.entry(parent.0).or_default().children_legit += legit;
            priors.distinct[level] += 1.0;
            if level == 0 {
                priors.attacks += attack;
            }
        }
        Ok(priors)
    }

    /// ln of the share of a value among its parent's children, smoothed: (C(value) + 1/K) / (C(parent) + 1), where K is the number
    /// of listed values of the level. Without a parent it is the constant of the level, because the root counts another level.
    pub fn ln_share(&self, level: FeatureLevel, parent: Option<PriorPath>, path: PriorPath) -> f64 {
        let at = match level {
            FeatureLevel::Country => 0,
            FeatureLevel::Asn => 1,
            FeatureLevel::DeviceType => 2,
            FeatureLevel::Os => 3,
            FeatureLevel::Browser => 4,
            FeatureLevel::Network | FeatureLevel::Ip | FeatureLevel::UserAgent | FeatureLevel::Device => return 0.0,
        };
        match parent.and_then(|parent| self.cells.get(&parent.0)).filter(|parent| parent.children_legit > 0.0) {
            None => self.unlisted[at],
            Some(parent) => ((self.cell(path).legit + 1.0 / self.distinct[at].max(1.0)) / (parent.children_legit + 1.0)).ln(),
        }
    }

    /// ln of the ratio of attacks to legitimate sign-ins from a country and provider. Half of the attacks are assumed to be spread
    /// evenly over all places. `None` without a table.
    pub fn ln_rarity(&self, country: Country, asn: Option<u32>) -> Option<f64> {
        let root = self.cells.get(&NETWORK_ROOT.0).filter(|root| root.children_legit > 0.0)?;
        let at = PriorPath::country(country);
        let cell = self.cell(at);
        let mut legit = (cell.legit + 1.0 / self.distinct[0].max(1.0)) / (root.children_legit + 1.0);
        let (mut attack, mut places) = (cell.attack, self.distinct[0]);
        if let Some(asn) = asn.filter(|_| self.distinct[1] > 0.0) {
            let provider = self.cell(at.asn(asn));
            legit *= (provider.legit + 1.0 / self.distinct[1]) / (cell.children_legit + 1.0);
            (attack, places) = (provider.attack, self.distinct[1]);
        }
        let anywhere = 1.0 / places.max(1.0);
        let share = if self.attacks > 0.0 { attack / self.attacks } else { anywhere };
        Some((0.5f64.mul_add(share, 0.5 * anywhere) / legit).ln())
    }

    /// The root of the hierarchy country > provider.
    pub fn network_root() -> PriorPath {
        NETWORK_ROOT
    }

    /// The root of the hierarchy device type > operating system > browser.
    pub fn device_root() -> PriorPath {
        DEVICE_ROOT
    }

    fn cell(&self, path: PriorPath) -> Cell {
        self.cells.get(&path.0).copied().unwrap_or_default()
    }
}
