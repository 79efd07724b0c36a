//! A rising map from the shipped score to the calibrated one.
//!
//! A curve holds, for each cell, the share of the sign-ins in or above it that are above it. This share blends the parent's share, as
//! [`PSEUDO_COUNTS`] sign-ins, with the counts. The product of the shares up to a cell is the share of all sign-ins at or above it. A cell
//! without counts has the parent's share: beyond what was observed, the curve has the parent's slope.

use crate::counts::{CELL_WIDTH, CELLS, CellCounts};

/// How many sign-ins the parent counts for, in each cell. With as many counts in and above a cell, half of the weight is theirs
/// (estimate: a tenth of the sign-ins that give 1 % with an error of a tenth).
pub const PSEUDO_COUNTS: f64 = 20.0;

/// The cells from which the number of stopped sign-ins is estimated: those within ten points below the stop.
const CELLS_BELOW_STOP: usize = 4;

/// Points per power of ten, by the definition of the score.
const POINTS: f64 = 25.0;

/// A curve: the calibrated score at the lower edge of each cell, and at 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    scores: [f64; CELLS + 1],
    /// The first cell that was not observed, because its sign-ins are stopped.
    observed: usize,
}

impl Default for Curve {
    fn default() -> Self {
        Curve::shipped()
    }
}

impl Curve {
    /// The shipped scale: every score stays as it is.
    pub fn shipped() -> Self {
        Curve { scores: std::array::from_fn(edge), observed: CELLS }
    }

    /// Blends counts with a parent. Cells from `observed` on were not counted, because their sign-ins are stopped.
    #[must_use]
    pub fn blend(parent: &Curve, counts: &CellCounts, observed: usize) -> Self {
        let observed = observed.min(CELLS);
        let counted: f64 = counts[..observed].iter().sum();
        let mut above = counted + parent.stopped_sign_ins(counts, observed);
        let mut scores = [0.0; CELLS + 1];
        for cell in 0..CELLS {
            let parent_share = share((parent.scores[cell + 1] - parent.scores[cell]).max(0.0));
            let blended = if cell < observed {
                let from_here = above;
                above -= counts[cell];
                // The present sign-in counts as one that is above, as in a conformal p-value, where counts have weight at all.
                let present = from_here / (from_here + PSEUDO_COUNTS);
                (PSEUDO_COUNTS * parent_share + above + present) / (PSEUDO_COUNTS + from_here + present)
            } else {
                parent_share
            };
            scores[cell + 1] = scores[cell] - POINTS * blended.log10();
        }
        Curve { scores, observed }
    }

    /// Estimates the sign-ins in cells that are stopped: in the proportion of the parent to those in the cells below.
    fn stopped_sign_ins(&self, counts: &CellCounts, observed: usize) -> f64 {
        let from = observed.saturating_sub(CELLS_BELOW_STOP);
        if observed == CELLS || from == observed {
            return 0.0;
        }
        let above = share(self.scores[observed] - self.scores[from]);
        counts[from..observed].iter().sum::<f64>() * above / (1.0 - above).max(f64::EPSILON)
    }

    /// Returns this curve, at most `down` points below and `up` points above another one.
    #[must_use]
    pub fn within(&self, other: &Curve, down: f64, up: f64) -> Self {
        let scores = std::array::from_fn(|at| self.scores[at].clamp(other.scores[at] - down, other.scores[at] + up));
        Curve { scores, observed: self.observed }
    }

    /// Returns this curve, at most `points` above another one.
    #[must_use]
    pub fn at_most_above(&self, other: &Curve, points: f64) -> Self {
        Curve { scores: std::array::from_fn(|at| self.scores[at].min(other.scores[at] + points)), observed: self.observed }
    }

    /// Returns the calibrated score of a shipped one; 0 to 100.
    pub fn score(&self, shipped: f64) -> f64 {
        let at = shipped.clamp(0.0, 100.0) / CELL_WIDTH;
        let below = crate::counts::cell(shipped);
        #[expect(clippy::cast_precision_loss, reason = "a few cells")]
        let part = at - below as f64;
        (self.scores[below] + part * (self.scores[below + 1] - self.scores[below])).clamp(0.0, 100.0)
    }

    /// The calibrated scores at the edges of a cell.
    pub(crate) fn edges(&self, cell: usize) -> (f64, f64) {
        (self.scores[cell], self.scores[cell + 1])
    }

    /// The scores in hundredths, and the first cell that was not observed.
    pub(crate) fn to_hundredths(self) -> ([u16; CELLS + 1], u8) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range")]
        let hundredths = self.scores.map(|score| (score * 100.0).round().clamp(0.0, f64::from(u16::MAX)) as u16);
        (hundredths, u8::try_from(self.observed).unwrap_or(u8::MAX))
    }

    /// A curve of scores in hundredths; `None` if they fall somewhere.
    pub(crate) fn from_hundredths(hundredths: [u16; CELLS + 1], observed: u8) -> Option<Self> {
        let is_rising = hundredths.is_sorted() && usize::from(observed) <= CELLS;
        is_rising.then(|| Curve { scores: hundredths.map(|score| f64::from(score) / 100.0), observed: observed.into() })
    }

    /// Returns the first cell whose sign-ins reach a calibrated score at its lower edge, or the number of cells.
    pub fn first_cell_from(&self, score: f64) -> usize {
        self.scores[..CELLS].iter().position(|at| *at >= score).unwrap_or(CELLS)
    }

    /// Whether sign-ins with this shipped score were observed, or stopped before they could be.
    pub fn is_observed(&self, shipped: f64) -> bool {
        crate::counts::cell(shipped) < self.observed
    }
}

/// The shipped score at the lower edge of a cell.
fn edge(cell: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few cells")]
    let cell = cell as f64;
    cell * CELL_WIDTH
}

/// The share of sign-ins that have this many more points.
pub(crate) fn share(points: f64) -> f64 {
    10_f64.powf(-points / POINTS)
}
