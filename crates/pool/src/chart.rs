//! The sequential test: a CUSUM of counts over windows of one length.
//!
//! After each window its logarithmic likelihood ratio is added, "the rate is `ratio` times the expected one" against "it is the expected
//! one". The sum never falls below 0. Counts vary more than a Poisson count of independent attempts would, so the ratio is divided by the
//! dispersion that was measured.

use crate::usual::Sums;

/// The lengths of the windows, in minutes.
pub const WINDOWS: [i64; 3] = [1, 10, 60];

/// The rates that are tested, as multiples of the expected one.
const RATIOS: [f64; 3] = [3.0, 2.0, 1.5];

/// Added to the expected count of a window, in attempts: a few at once are usual in any pool, because people and bots try again.
const MARGIN: [f64; 3] = [0.7, 1.5, 3.0];

/// The least excess that is tested, in attempts.
const LEAST_EXCESS: [f64; 3] = [1.0, 2.0, 4.0];

/// The sum from which a chart reports an attack, for each length.
pub const LIMITS: [f64; 3] = [12.0, 12.0, 12.0];

/// The most that a sum can be, in multiples of the limit. It bounds the time until an attack that ended is over.
const MAX_SUM: f64 = 1.3;

/// The weight of a window in the measured dispersion.
const DISPERSION_WEIGHT: f64 = 0.01;

/// The largest dispersion.
const MAX_DISPERSION: f64 = 8.0;

/// The chart of one length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chart {
    /// Which of [`WINDOWS`].
    pub(crate) window: usize,
    /// The sum after the last complete window.
    pub(crate) sum: f64,
    /// The minute in which the sum left 0.
    pub(crate) since: Option<i64>,
    /// What was counted in the present window.
    pub(crate) counted: Sums,
    /// What is usual in it.
    pub(crate) expected: Sums,
    /// The measured variance of counts, as a multiple of the expected one.
    pub(crate) dispersion: f64,
}

/// What a chart compares counts with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expectation {
    /// The usual sums of the window.
    pub usual: Sums,
    /// Usual unfamiliar attempts for each familiar one.
    pub unfamiliar_ratio: f64,
    /// The usual share of attempts at unknown names.
    pub unknown_share: f64,
}

impl Chart {
    pub(crate) fn new(window: usize) -> Self {
        Chart { window, sum: 0.0, since: None, counted: Sums::default(), expected: Sums::default(), dispersion: 1.5 }
    }

    /// Adds a minute. Ends the window if the minute is its last.
    pub(crate) fn add_minute(&mut self, minute: i64, counted: &Sums, expectation: &Expectation, is_learning: bool) {
        if self.sum <= 0.0 && self.counted == Sums::default() {
            self.since = Some(minute);
        }
        self.counted.add(counted, 1.0);
        self.expected.add(&expectation.usual, 1.0);
        if (minute + 1).rem_euclid(WINDOWS[self.window]) != 0 {
            return;
        }
        if is_learning {
            let (count, expected) = (self.counted.unfamiliar, self.expected_unfamiliar(&self.counted, &self.expected, expectation));
            let squared = (count - expected).powi(2) / expected.max(1.0);
            self.dispersion += DISPERSION_WEIGHT * (squared.min(4.0 * MAX_DISPERSION) - self.dispersion);
            self.dispersion = self.dispersion.clamp(1.0, MAX_DISPERSION);
        }
        let evidence = self.evidence(&self.counted, &self.expected, expectation);
        self.sum = (self.sum + evidence).clamp(0.0, MAX_SUM * LIMITS[self.window]);
        (self.counted, self.expected) = (Sums::default(), Sums::default());
        if self.sum <= 0.0 {
            self.since = None;
        }
    }

    /// Ends a time without attempts that was longer than any window.
    pub(crate) fn reset(&mut self) {
        *self = Chart { dispersion: self.dispersion, ..Chart::new(self.window) };
    }

    /// The sum with the minutes of a window that is not over.
    pub fn sum(&self, expectation: &Expectation) -> f64 {
        if self.counted == Sums::default() && self.expected == Sums::default() {
            return self.sum;
        }
        (self.sum + self.evidence(&self.counted, &self.expected, expectation)).clamp(0.0, MAX_SUM * LIMITS[self.window])
    }

    /// The sum as a multiple of its limit.
    pub fn level(&self, expectation: &Expectation) -> f64 {
        self.sum(expectation) / LIMITS[self.window]
    }

    /// The minute in which the sum left 0.
    pub fn since(&self) -> Option<i64> {
        self.since
    }

    /// The expected unfamiliar attempts: what is usual at this hour, or, in a surge of sign-ins, what usually goes with so many familiar ones.
    fn expected_unfamiliar(&self, counted: &Sums, expected: &Sums, expectation: &Expectation) -> f64 {
        expected.unfamiliar.max(expectation.unfamiliar_ratio * counted.familiar)
    }

    /// The logarithmic likelihood ratio of a window. Unknown names are evidence of their own, because a pool has few of them.
    fn evidence(&self, counted: &Sums, expected: &Sums, expectation: &Expectation) -> f64 {
        let unfamiliar = self.ratio(counted.unfamiliar, self.expected_unfamiliar(counted, expected, expectation));
        let usual_unknown = expected.unknown.max(expectation.unknown_share * (counted.familiar + expected.unfamiliar.min(counted.unfamiliar)));
        let unknown = self.ratio(counted.unknown, usual_unknown);
        unfamiliar.max(unknown)
    }

    fn ratio(&self, count: f64, expected: f64) -> f64 {
        let expected = expected + MARGIN[self.window];
        let tested = expected * RATIOS[self.window] + LEAST_EXCESS[self.window];
        (count * (tested / expected).ln() - (tested - expected)) / self.dispersion
    }
}
