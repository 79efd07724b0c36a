//! Compares the verdicts of two passes over one log: what other thresholds or another model would change.

use std::fmt;

use serde::Serialize;

use crate::counters::VerdictTable;
use riskgate_engine::decision::Verdict;

/// A scored row: its verdict, and whether it has a label.
pub type RowVerdict = (Verdict, bool);

/// Counts of scored rows by the verdicts of both passes.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The model directory or the thresholds of the other pass.
    pub against: String,
    /// Legitimate sign-ins.
    pub legitimate: DecisionChanges,
    /// Labelled sign-ins.
    pub labelled: DecisionChanges,
}

/// Counts by the present verdict, then by the other one.
#[derive(Debug, Default, Serialize)]
pub struct DecisionChanges(VerdictTable<VerdictTable<u64>>);

impl Comparison {
    /// Compares the verdicts of two passes over the same rows.
    pub fn new(against: String, present: &[RowVerdict], other: &[RowVerdict]) -> Self {
        let (mut legitimate, mut labelled) = (DecisionChanges::default(), DecisionChanges::default());
        for ((present, is_labelled), (other, _)) in present.iter().zip(other) {
            let changes = if *is_labelled { &mut labelled } else { &mut legitimate };
            *changes.0.of_mut(*present).of_mut(*other) += 1;
        }
        Comparison { against, legitimate, labelled }
    }
}

impl DecisionChanges {
    fn write(&self, title: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "  {title:<18}")?;
        Verdict::ALL.into_iter().try_for_each(|verdict| write!(out, "{:>10}", verdict.as_label()))?;
        writeln!(out)?;
        for (verdict, others) in self.0.iter() {
            write!(out, "  {:>18}", verdict.as_label())?;
            others.iter().try_for_each(|(_, count)| write!(out, "{count:>10}"))?;
            writeln!(out)?;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, others)| others.iter().all(|(_, count)| *count == 0))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "against {}: rows are the present verdicts, columns are the other verdicts", self.against)?;
        self.legitimate.write("legitimate", out)?;
        if self.labelled.is_empty() { Ok(()) } else { self.labelled.write("labelled", out) }
    }
}
