//! What is usual for a pool: attempts and unfamiliar attempts in each hour of the week, and the cells of unfamiliar attempts.

use std::collections::BTreeMap;

use crate::{cell::Cell, counts::Counts};

/// The hours of a week.
pub const WEEK_HOURS: usize = 168;

/// A week ago counts for this much of today, in the hours of the week.
const WEEK_FADE: f64 = 0.75;

/// The overall rate counts for so many weeks in each hour of the week.
const PRIOR_WEEKS: f64 = 1.0;

/// The time constant of the overall rates, in minutes: five days.
const RATE_MINUTES: f64 = 5.0 * 1_440.0;

/// The minutes that must be observed before a detector may report anything: three days.
pub const LEARNING_MINUTES: f64 = 3.0 * 1_440.0;

/// The most cells whose usual share is stored.
pub(crate) const MAX_USUAL_CELLS: usize = 256;

/// Unfamiliar attempts for which an unseen cell is expected once: the share of a cell is never estimated as zero.
const CELL_PRIOR: f64 = 200.0;

/// The least share of attempts at unknown names that is expected: people mistype their names.
const LEAST_UNKNOWN_SHARE: f64 = 0.01;

/// Sums of attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Familiar attempts.
    pub familiar: f64,
    /// Unfamiliar attempts.
    pub unfamiliar: f64,
    /// Attempts at unknown names.
    pub unknown: f64,
}

/// The usual counts of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Usual {
    /// Minutes of which this was learned.
    pub(crate) minutes: f64,
    /// Faded sums of each hour of the week, and the faded number of minutes.
    pub(crate) hours: Vec<(Sums, f64)>,
    /// Faded sums of all minutes, and the faded number of minutes.
    pub(crate) all: (Sums, f64),
    /// Faded unfamiliar attempts by cell.
    pub(crate) cells: BTreeMap<Cell, f64>,
}

impl Default for Usual {
    fn default() -> Self {
        Usual { minutes: 0.0, hours: vec![(Sums::default(), 0.0); WEEK_HOURS], all: (Sums::default(), 0.0), cells: BTreeMap::new() }
    }
}

impl Sums {
    /// The sums of a minute.
    pub fn of(counts: &Counts) -> Self {
        Sums { familiar: f64::from(counts.familiar()), unfamiliar: f64::from(counts.unfamiliar()), unknown: f64::from(counts.unknown) }
    }

    /// Adds other sums, times a factor.
    pub fn add(&mut self, other: &Sums, factor: f64) {
        self.familiar += other.familiar * factor;
        self.unfamiliar += other.unfamiliar * factor;
        self.unknown += other.unknown * factor;
    }

    fn scaled(mut self, factor: f64) -> Self {
        for value in [&mut self.familiar, &mut self.unfamiliar, &mut self.unknown] {
            *value *= factor;
        }
        self
    }
}

impl Usual {
    /// Whether enough was observed to compare with.
    pub fn is_learned(&self) -> bool {
        self.minutes >= LEARNING_MINUTES
    }

    /// The usual sums of a minute in an hour of the week: its own past, blended with the rate of all hours.
    pub fn rates(&self, hour: usize) -> Sums {
        let (own, minutes) = self.hours[hour % WEEK_HOURS];
        let mut rates = self.all.0.scaled(PRIOR_WEEKS * 60.0 / self.all.1.max(1.0));
        rates.add(&own, 1.0);
        rates.scaled(1.0 / (minutes + PRIOR_WEEKS * 60.0))
    }

    /// Usual unfamiliar attempts for each familiar one.
    pub fn unfamiliar_ratio(&self) -> f64 {
        (self.all.0.unfamiliar + 0.5) / (self.all.0.familiar + 1.0)
    }

    /// The usual share of attempts at unknown names among all attempts.
    pub fn unknown_share(&self) -> f64 {
        (self.all.0.unknown / (self.all.0.familiar + self.all.0.unfamiliar).max(1.0)).max(LEAST_UNKNOWN_SHARE)
    }

    /// The usual share of a cell among unfamiliar attempts.
    pub fn share(&self, cell: &Cell) -> f64 {
        let all = self.all.0.unfamiliar;
        (self.cells.get(cell).copied().unwrap_or_default() + 1.0) / (all.max(0.0) + CELL_PRIOR)
    }

    /// Learns from a minute. `part` is the part of its unfamiliar attempts that is learned.
    pub fn learn(&mut self, hour: usize, counts: &Counts, part: f64) {
        let mut sums = Sums::of(counts);
        sums.unfamiliar *= part;
        sums.unknown *= part;
        self.minutes += 1.0;
        let keep = 1.0 - 1.0 / RATE_MINUTES;
        self.all.0 = self.all.0.scaled(keep);
        self.all.0.add(&sums, 1.0);
        self.all.1 = self.all.1 * keep + 1.0;
        let (own, minutes) = &mut self.hours[hour % WEEK_HOURS];
        own.add(&sums, 1.0);
        *minutes += 1.0;
        for (cell, count) in &counts.cells {
            *self.cells.entry(cell.clone()).or_default() += f64::from(*count) * part;
        }
    }

    /// Learns that an hour, or a part of it, had no attempts.
    pub fn learn_empty(&mut self, hour: usize, minutes: f64) {
        self.minutes += minutes;
        let keep = (1.0 - 1.0 / RATE_MINUTES).powf(minutes);
        self.all.0 = self.all.0.scaled(keep);
        self.all.1 = self.all.1 * keep + minutes;
        self.hours[hour % WEEK_HOURS].1 += minutes;
    }

    /// Ends an hour of the week: its past fades. Cells fade as the overall rates do, and the rarest are removed.
    pub fn end_hour(&mut self, hour: usize) {
        let (sums, minutes) = &mut self.hours[hour % WEEK_HOURS];
        *sums = sums.scaled(WEEK_FADE);
        *minutes *= WEEK_FADE;
        let keep = (1.0 - 1.0 / RATE_MINUTES).powi(60);
        self.cells.values_mut().for_each(|count| *count *= keep);
        if self.cells.len() > MAX_USUAL_CELLS {
            let mut counts: Vec<f64> = self.cells.values().copied().collect();
            counts.sort_unstable_by(|a, b| b.total_cmp(a));
            let least = counts.get(MAX_USUAL_CELLS).copied().unwrap_or_default();
            self.cells.retain(|_, count| *count > least);
        }
    }
}
