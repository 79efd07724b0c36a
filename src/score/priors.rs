//! Base rates: which countries, providers and devices legitimate sign-ins come from, and attacks.

use std::{collections::HashMap, hash::Hasher};

use siphasher::sip::SipHasher13;

use super::{
    table::{Table, TableError},
    weights::Weights,
};
use crate::{event::context::Country, evidence::features::Level};

/// Names of the levels that have base rates: the chain country > provider, and the chain device type > system > browser.
pub const PRIOR_LEVELS: [&str; 5] = ["country", "asn", "device_type", "os", "browser"];

/// Base rates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Priors {
    /// By hash of the path from the chain's root.
    cells: HashMap<u64, Cell>,
    /// ln of the share of a value whose parent has no listed children at all, by level.
    unlisted: [f64; PRIOR_LEVELS.len()],
    /// Distinct values listed, by level.
    distinct: [f64; PRIOR_LEVELS.len()],
    /// Attacks by country.
    attacks: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Cell {
    legit: f64,
    attack: f64,
    /// Sum of the children's legit counts.
    below: f64,
}

/// A place in a chain: the hash of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path(u64);

const ROOT_OF_NET: Path = Path(1);
const ROOT_OF_DEVICE: Path = Path(2);

// === impl Path ===

impl Path {
    /// A country.
    pub fn country(country: Country) -> Self {
        ROOT_OF_NET.child(country.as_str().as_bytes())
    }

    /// A kind of device, by its label.
    pub fn device_type(label: &str) -> Self {
        ROOT_OF_DEVICE.child(label.as_bytes())
    }

    /// A provider, in this country.
    pub fn asn(self, asn: u32) -> Self {
        // As in the file, in decimal.
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

    /// The value under this one.
    pub fn child(self, value: &[u8]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(self.0, 0);
        hasher.write(value);
        Path(hasher.finish())
    }
}

// === impl Priors ===

impl Priors {
    /// Reads the table. A row's path is in its columns `first`, `second` and `third`.
    pub(super) fn parse(text: &str, weights: &Weights) -> Result<Self, TableError> {
        let table = Table::read("priors.csv", text, &["level", "first", "second", "third", "legit", "attack"])?;
        let unlisted = [1.0 / 250.0, weights.share_asn, weights.share_device_type, weights.share_os, weights.share_browser].map(f64::ln);
        let mut priors = Priors { unlisted, ..Priors::default() };
        for row in table.rows() {
            let level = row.word(0, &PRIOR_LEVELS)?;
            let (legit, attack) = (row.number(4, 0.0, 1e15)?, row.number(5, 0.0, 1e15)?);
            let (root, depth) = if level < 2 { (ROOT_OF_NET, level) } else { (ROOT_OF_DEVICE, level - 2) };
            let mut parent = root;
            for column in 1..=depth {
                parent = parent.child(row.text(column).as_bytes());
            }
            let path = parent.child(row.text(depth + 1).as_bytes());
            let cell = priors.cells.entry(path.0).or_default();
            if cell.legit > 0.0 || cell.attack > 0.0 {
                return Err(row.fault("stands there twice"));
            }
            (cell.legit, cell.attack) = (legit, attack);
            priors.cells.entry(parent.0).or_default().below += legit;
            priors.distinct[level] += 1.0;
            if level == 0 {
                priors.attacks += attack;
            }
        }
        Ok(priors)
    }

    /// ln of the share of a value among those of its parent: (C(value) + 1/K) / (C(parent) + 1). Without a parent the
    /// constant of the level stands in: the root counts values of another level.
    pub fn ln_share(&self, level: Level, parent: Option<Path>, path: Path) -> f64 {
        let at = match level {
            Level::Country => 0,
            Level::Asn => 1,
            Level::DeviceType => 2,
            Level::Os => 3,
            Level::Browser => 4,
            Level::Network | Level::Ip | Level::UserAgent | Level::Device => return 0.0,
        };
        match parent.and_then(|parent| self.cells.get(&parent.0)).filter(|parent| parent.below > 0.0) {
            None => self.unlisted[at],
            Some(parent) => ((self.cell(path).legit + 1.0 / self.distinct[at].max(1.0)) / (parent.below + 1.0)).ln(),
        }
    }

    /// ln of how much likelier attacks are than legitimate sign-ins to come from a country and provider; half of the
    /// attackers are taken to come from anywhere alike. `None` when no table says.
    pub fn ln_rarity(&self, country: Country, asn: Option<u32>) -> Option<f64> {
        let root = self.cells.get(&ROOT_OF_NET.0).filter(|root| root.below > 0.0)?;
        let at = Path::country(country);
        let cell = self.cell(at);
        let mut legit = (cell.legit + 1.0 / self.distinct[0].max(1.0)) / (root.below + 1.0);
        let (mut attack, mut places) = (cell.attack, self.distinct[0]);
        if let Some(asn) = asn.filter(|_| self.distinct[1] > 0.0) {
            let provider = self.cell(at.asn(asn));
            legit *= (provider.legit + 1.0 / self.distinct[1]) / (cell.below + 1.0);
            (attack, places) = (provider.attack, self.distinct[1]);
        }
        let anywhere = 1.0 / places.max(1.0);
        let share = if self.attacks > 0.0 { attack / self.attacks } else { anywhere };
        Some((0.5f64.mul_add(share, 0.5 * anywhere) / legit).ln())
    }

    /// The root of the chain country > provider.
    pub fn net() -> Path {
        ROOT_OF_NET
    }

    /// The root of the chain device type > system > browser.
    pub fn device() -> Path {
        ROOT_OF_DEVICE
    }

    fn cell(&self, path: Path) -> Cell {
        self.cells.get(&path.0).copied().unwrap_or_default()
    }
}
