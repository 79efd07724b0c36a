//! How often legitimate sign-ins bring something new: measured, by level, by how much was seen, and by the time since.

use jiff::SignedDuration;

use super::table::{Table, TableError};
use crate::evidence::features::Level;

/// Names of the levels in tables.
pub const LEVELS: [&str; 9] = ["country", "asn", "network", "ip", "device_type", "os", "browser", "user_agent", "device"];

/// Buckets of how often the parent was seen: up to 1, 2, 4, 8, 16, more.
pub const SEEN: [&str; 6] = ["1", "2", "4", "8", "16", "more"];

/// Buckets of the time since the last success: under a minute, ten minutes, an hour, a day, a week, 30 days, more.
pub const GAPS: [&str; 7] = ["1m", "10m", "1h", "1d", "7d", "30d", "more"];

/// Pseudo-counts that a cell borrows from its gap, and a gap from its level: few cells are well filled.
const BORROWED: f64 = 20.0;

/// Bounds of a rate: nothing is certain.
const BOUNDS: (f64, f64) = (0.002, 0.98);

/// Log rates of novelty, ready for use.
#[derive(Debug, Clone, PartialEq)]
pub struct Novelty {
    /// ln of the rate, and ln of its complement.
    cells: [[[(f64, f64); GAPS.len()]; SEEN.len()]; LEVELS.len()],
}

/// Counts of legitimate sign-ins: those that brought something new, and all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NoveltyCounts {
    /// Novel and all, by level, seen and gap.
    pub cells: [[[(f64, f64); GAPS.len()]; SEEN.len()]; LEVELS.len()],
}

/// The bucket of how often a parent was seen.
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

/// The bucket of the time since the last success.
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

// === impl Novelty ===

impl Novelty {
    /// Reads the table.
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

    /// Rates from counts, each shrunk towards the rate of its gap, and that towards the rate of its level.
    pub fn of(counts: &NoveltyCounts) -> Self {
        let mut cells = [[[(0.0, 0.0); GAPS.len()]; SEEN.len()]; LEVELS.len()];
        for (level, table) in counts.cells.iter().enumerate() {
            let sum = |cells: &mut dyn Iterator<Item = &(f64, f64)>| cells.fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
            let whole = sum(&mut table.iter().flatten());
            // A level that was never measured: one in ten.
            let of_level = (whole.0 + 1.0) / (whole.1 + 10.0);
            for gap in 0..GAPS.len() {
                let column = sum(&mut table.iter().map(|row| &row[gap]));
                let of_gap = (column.0 + BORROWED * of_level) / (column.1 + BORROWED);
                for seen in 0..SEEN.len() {
                    let (novel, total) = table[seen][gap];
                    let rate = ((novel + BORROWED * of_gap) / (total + BORROWED)).clamp(BOUNDS.0, BOUNDS.1);
                    cells[level][seen][gap] = (rate.ln(), (-rate).ln_1p());
                }
            }
        }
        Novelty { cells }
    }

    /// ln of the rate of novelty, and ln of its complement.
    pub fn ln_rate(&self, level: Level, of: u32, gap: usize) -> (f64, f64) {
        self.cells[level as usize][seen_bucket(of)][gap]
    }
}
