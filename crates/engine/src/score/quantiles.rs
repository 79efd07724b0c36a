//! Conversion between S and the score: how rare a value of S is among legitimate sign-ins.
//!
//! The curves are piecewise linear and strictly rising, so every score has exactly one S. A risk service's score is converted to
//! the S that alone would give that score.

use crate::score::table::{Table, TableError};

/// The legitimate sign-ins that a score is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Cohort {
    /// Users with history, with a context.
    Known,
    /// Users without history, with a context.
    New,
    /// Sign-ins without a context.
    NoContext,
}

/// The curves of all cohorts.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantiles([Curve; 3]);

#[derive(Debug, Clone, PartialEq, Default)]
struct Curve {
    /// S and score, both strictly rising, from score 0 to score 100.
    knots: Vec<(f64, f64)>,
}

labels!(Cohort, "The name in `quantiles.csv`.", {
    Known "known"
    New "new"
    NoContext "no_context"
});

impl Quantiles {
    /// Parses the tables.
    pub(super) fn parse(text: &str) -> Result<Self, TableError> {
        let table = Table::read("quantiles.csv", text, &["table", "s", "score"])?;
        let words = Cohort::ALL.map(Cohort::as_label);
        let mut curves: [Curve; 3] = Default::default();
        for row in table.rows() {
            let knots = &mut curves[row.word(0, &words)?].knots;
            let knot = (row.number(1, -100.0, 100.0)?, row.number(2, 0.0, 100.0)?);
            if knots.last().is_some_and(|last| last.0 >= knot.0 || last.1 >= knot.1) {
                return Err(row.error("s and score must increase from row to row"));
            }
            knots.push(knot);
        }
        for (curve, cohort) in curves.iter().zip(Cohort::ALL) {
            match (curve.knots.first(), curve.knots.last()) {
                (Some((_, 0.0)), Some((_, 100.0))) => {}
                _ => return Err(table.error(format!("table {} must start at score 0 and end at score 100", cohort.as_label()))),
            }
        }
        Ok(Quantiles(curves))
    }

    /// The score for a value of S: 25 x -log10 of the share of the cohort at or above S; 0 to 100.
    pub fn score(&self, cohort: Cohort, s: f64) -> f64 {
        interpolate(&self.0[cohort as usize].knots, |knot| knot.0, |knot| knot.1, s)
    }

    /// The S that alone gives a score from 0 to 100.
    pub fn s(&self, cohort: Cohort, score: f64) -> f64 {
        interpolate(&self.0[cohort as usize].knots, |knot| knot.1, |knot| knot.0, score)
    }
}

type Knot = (f64, f64);

/// Linear interpolation between knots, constant outside of them.
fn interpolate(knots: &[Knot], x: impl Fn(&Knot) -> f64, y: impl Fn(&Knot) -> f64, at: f64) -> f64 {
    let above = knots.partition_point(|knot| x(knot) <= at);
    match (above.checked_sub(1).and_then(|below| knots.get(below)), knots.get(above)) {
        (Some(low), Some(high)) => y(low) + (at - x(low)) / (x(high) - x(low)) * (y(high) - y(low)),
        (None, Some(end)) | (Some(end), None) => y(end),
        (None, None) => 0.0,
    }
}
