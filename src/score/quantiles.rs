//! S to the score and back: how rare a value of S is among legitimate sign-ins.
//!
//! Piecewise linear between knots, strictly rising, so that every score has exactly one S: an
//! outside service's score is turned into the S that alone would give that score.

use super::table::{Table, TableError};

/// Which sign-ins a score is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Peers {
    /// Of people with a history, and a context.
    Known = 0,
    /// Of people without a history, but with a context.
    New = 1,
    /// Without a context.
    NoContext = 2,
}

/// The three tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantiles([Curve; 3]);

#[derive(Debug, Clone, PartialEq, Default)]
struct Curve {
    /// S and score, both strictly rising, from score 0 to score 100.
    knots: Vec<(f64, f64)>,
}

// === impl Peers ===

impl Peers {
    /// All of them.
    pub const ALL: [Peers; 3] = [Peers::Known, Peers::New, Peers::NoContext];

    /// The name in `quantiles.csv`.
    pub fn as_label(self) -> &'static str {
        match self {
            Peers::Known => "known",
            Peers::New => "new",
            Peers::NoContext => "no_context",
        }
    }
}

// === impl Quantiles ===

impl Quantiles {
    /// Reads the tables.
    pub(super) fn parse(text: &str) -> Result<Self, TableError> {
        let table = Table::read("quantiles.csv", text, &["table", "s", "score"])?;
        let words = Peers::ALL.map(Peers::as_label);
        let mut curves: [Curve; 3] = Default::default();
        for row in table.rows() {
            let knots = &mut curves[row.word(0, &words)?].knots;
            let knot = (row.number(1, -100.0, 100.0)?, row.number(2, 0.0, 100.0)?);
            if knots.last().is_some_and(|last| last.0 >= knot.0 || last.1 >= knot.1) {
                return Err(row.fault("s and score have to rise from row to row"));
            }
            knots.push(knot);
        }
        for (curve, peers) in curves.iter().zip(Peers::ALL) {
            match (curve.knots.first(), curve.knots.last()) {
                (Some((_, 0.0)), Some((_, 100.0))) => {}
                _ => return Err(table.fault(format!("table {} has to run from score 0 to score 100", peers.as_label()))),
            }
        }
        Ok(Quantiles(curves))
    }

    /// The score of a value of S: 25 x -log10 of the share of peers at or above it; 0 to 100.
    pub fn score(&self, peers: Peers, s: f64) -> f64 {
        interpolate(&self.0[peers as usize].knots, |knot| knot.0, |knot| knot.1, s)
    }

    /// The S that alone gives a score.
    pub fn s(&self, peers: Peers, score: f64) -> f64 {
        interpolate(&self.0[peers as usize].knots, |knot| knot.1, |knot| knot.0, score)
    }
}

type Knot = (f64, f64);

/// Linear between knots, constant beyond them.
fn interpolate(knots: &[Knot], x: impl Fn(&Knot) -> f64, y: impl Fn(&Knot) -> f64, at: f64) -> f64 {
    let above = knots.partition_point(|knot| x(knot) <= at);
    match (above.checked_sub(1).and_then(|below| knots.get(below)), knots.get(above)) {
        (Some(low), Some(high)) => y(low) + (at - x(low)) / (x(high) - x(low)) * (y(high) - y(low)),
        (None, Some(end)) | (Some(end), None) => y(end),
        (None, None) => 0.0,
    }
}
