//! What was counted since a chart left zero: a campaign, if the chart reports one.

use std::collections::BTreeMap;

use crate::{attempt::threshold, cell::Cell, counts::Counts, sketch::Sketch, usual::Usual};

/// The most cells of an episode.
const MAX_EPISODE_CELLS: usize = 64;

/// A cell is over-represented from so many attempts on, at this multiple of the expected ones, and at so many standard deviations.
const MIN_CELL_ATTEMPTS: f64 = 8.0;
const MIN_CELL_RATIO: f64 = 3.0;
const MIN_CELL_DEVIATIONS: f64 = 4.0;

/// Unfamiliar attempts since a minute.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Episode {
    /// The first minute, in minutes since 1970.
    pub since: i64,
    /// Unfamiliar attempts.
    pub attempts: u32,
    /// The unfamiliar attempts that are usual in this time.
    pub expected: f64,
    /// Attempts at names that the pool does not have.
    pub unknown: u32,
    /// Successes of attempts in the wave.
    pub let_in: u32,
    /// Their accounts.
    pub users: Sketch,
    /// Their networks. A lower bound if attempts were sampled.
    pub networks: Sketch,
    /// The attempts by cell.
    pub cells: BTreeMap<Cell, u32>,
}

/// A cell with more attempts than usual.
#[derive(Debug, Clone, PartialEq)]
pub struct CellExcess {
    /// The cell.
    pub cell: Cell,
    /// Its unfamiliar attempts.
    pub attempts: u32,
    /// Those that are usual.
    pub expected: f64,
}

impl Episode {
    /// An empty episode.
    pub fn new(since: i64) -> Self {
        Episode { since, ..Episode::default() }
    }

    /// Adds a minute in which `expected` unfamiliar attempts are usual.
    pub fn add(&mut self, counts: &Counts, expected: f64) {
        self.attempts = self.attempts.saturating_add(counts.unfamiliar());
        self.unknown = self.unknown.saturating_add(counts.unknown);
        self.let_in = self.let_in.saturating_add(counts.let_in);
        self.expected += expected;
        self.users.add(&counts.users, threshold(counts.level));
        self.networks.add(&counts.networks, u32::MAX);
        for (cell, count) in &counts.cells {
            let own = self.cells.entry(cell.clone()).or_default();
            *own = own.saturating_add(*count);
        }
        // Cells in use are pruned rarely: a new cell may be the campaign's.
        if self.cells.len() > 4 * MAX_EPISODE_CELLS {
            self.prune();
        }
    }

    /// Removes the rarest cells. An episode is stored with few.
    pub(crate) fn prune(&mut self) {
        if self.cells.len() > MAX_EPISODE_CELLS {
            let mut counts: Vec<u32> = self.cells.values().copied().collect();
            counts.sort_unstable_by(|a, b| b.cmp(a));
            let least = counts[MAX_EPISODE_CELLS];
            self.cells.retain(|_, count| *count > least);
        }
    }

    /// The attempts above the usual ones.
    pub fn excess(&self) -> f64 {
        (f64::from(self.attempts) - self.expected).max(0.0)
    }

    /// The over-represented cells, by their excess.
    pub fn over_represented(&self, usual: &Usual) -> Vec<CellExcess> {
        let mut cells: Vec<CellExcess> =
            self.cells.iter().map(|(cell, attempts)| CellExcess::new(cell, *attempts, self.expected * usual.share(cell))).collect();
        cells.retain(CellExcess::is_over_represented);
        cells.sort_unstable_by(|a, b| b.excess().total_cmp(&a.excess()).then_with(|| a.cell.cmp(&b.cell)));
        cells
    }
}

impl CellExcess {
    fn new(cell: &Cell, attempts: u32, expected: f64) -> Self {
        CellExcess { cell: cell.clone(), attempts, expected: expected.max(0.1) }
    }

    fn is_over_represented(&self) -> bool {
        let count = f64::from(self.attempts);
        count >= MIN_CELL_ATTEMPTS && self.ratio() >= MIN_CELL_RATIO && self.excess() >= MIN_CELL_DEVIATIONS * (self.expected + 1.0).sqrt()
    }

    /// The attempts above the usual ones.
    pub fn excess(&self) -> f64 {
        f64::from(self.attempts) - self.expected
    }

    /// The attempts as a multiple of the usual ones: how much likelier an unfamiliar attempt of this cell is the campaign's.
    pub fn ratio(&self) -> f64 {
        f64::from(self.attempts) / self.expected
    }
}
