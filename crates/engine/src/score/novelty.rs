//! Novelty: measured rates at which legitimate sign-ins have a new value, by level, by how often the parent was seen, and by the
//! time since the last success.

use jiff::SignedDuration;

use crate::features::FeatureLevel;
use crate::score::table::{Table, TableError};

/// Names of the levels in `novelty.csv`.
pub const LEVELS: [&str; 9] = ["country", "asn", "network", "ip", "device_type", "os", "browser", "user_agent", "device"];

/// Buckets of how often the parent was seen: at most 1, 2, 4, 8, 16, or more.
pub const SEEN: [&str; 6] = ["1", "2", "4", "8", "16", "more"];

/// Buckets of the time since the last success: under a minute, ten minutes, an hour, a day, a week, 30 days, more.
pub const GAPS: [&str; 7] = ["1m", "10m", "1h", "1d", "7d", "30d", "more"];

/// Pseudo-count of shrinkage towards the parent rate. Many cells have few samples.
const SHRINKAGE: f64 = 20.0;

/// Lower and upper bound of a rate.
const BOUNDS: (f64, f64) = (0.002, 0.98);

/// Logarithmic rates of novelty.
#[derive(Debug, Clone, PartialEq)]
pub struct Novelty {
    /// ln of the rate and ln of its complement, by level, seen bucket and gap bucket.
    cells: [[[(f64, f64); GAPS.len()]; SEEN.len()]; LEVELS.len()],
}

/// Counts of legitimate sign-ins: those with a new value, and all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NoveltyCounts {
    /// New and total counts, by level, seen bucket and gap bucket.
    pub cells: [[[(f64, f64); GAPS.len()]; SEEN.len()]; LEVELS.len()],
}

/// The index in [`SEEN`] for how often a parent was seen.
pub fn seen_bucket(of: u32) -> usize {
    match of {
        0..=1 => 0,
        2 => 1,
        3..=4 => 2,
        5..=8 => 3,
        9..=16 => 4,
        _ => 5,
    }
}

/// The index in [`GAPS`] for the time since the last success.
pub fn gap_bucket(gap: SignedDuration) -> usize {
    match gap.as_secs() {
        ..60 => 0,
        60..600 => 1,
        600..3_600 => 2,
        3_600..86_400 => 3,
        86_400..604_800 => 4,
        604_800..2_592_000 => 5,
        _ => 6,
    }
}

impl Novelty {
    /// Parses the table.
    pub(super) fn parse(text: &str) -> Result<Self, TableError> {
        let table = Table::read("novelty.csv", text, &["level", "seen", "gap", "novel", "total"])?;
        let mut counts = NoveltyCounts::default();
        for row in table.rows() {
            let cell = &mut counts.cells[row.word(0, &LEVELS)?][row.word(1, &SEEN)?][row.word(2, &GAPS)?];
            let total = row.number(4, 0.0, 1e12)?;
            *cell = (row.number(3, 0.0, total)?, total);
        }
        Ok(Novelty::of(&counts))
    }

    /// Rates from counts. A cell is shrunk towards the rate of its gap, and that rate towards the rate of its level.
    pub fn of(counts: &NoveltyCounts) -> Self {
        let mut cells = [[[(0.0, 0.0); GAPS.len()]; SEEN.len()]; LEVELS.len()];
        for (level, table) in counts.cells.iter().enumerate() {
            let sum = |cells: &mut dyn Iterator<Item = &(f64, f64)>| cells.fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
            let total_of_level = sum(&mut table.iter().flatten());
            // Without measurements, the rate of a level is one in ten.
            let of_level = (total_of_level.0 + 1.0) / (total_of_level.1 + 10.0);
            for gap in 0..GAPS.len() {
                let column = sum(&mut table.iter().map(|row| &row[gap]));
                let of_gap = (column.0 + SHRINKAGE * of_level) / (column.1 + SHRINKAGE);
                for seen in 0..SEEN.len() {
                    let (novel, total) = table[seen][gap];
                    let rate = ((novel + SHRINKAGE * of_gap) / (total + SHRINKAGE)).clamp(BOUNDS.0, BOUNDS.1);
                    cells[level][seen][gap] = (rate.ln(), (-rate).ln_1p());
                }
            }
        }
        Novelty { cells }
    }

    /// ln of the rate of novelty and ln of its complement. `of` is how often the parent was seen, `gap` an index in [`GAPS`].
    pub fn ln_rate(&self, level: FeatureLevel, of: u32, gap: usize) -> (f64, f64) {
        self.cells[level as usize][seen_bucket(of)][gap]
    }
}
