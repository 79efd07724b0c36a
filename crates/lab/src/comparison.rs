//! Compares the verdicts of two passes over one log: what other thresholds or another model would change.

use std::fmt;

use serde::Serialize;

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
pub struct DecisionChanges {
    allow: OtherDecisions,
    review: OtherDecisions,
    deny: OtherDecisions,
}

/// Counts by the other verdict.
#[derive(Debug, Default, Serialize)]
pub struct OtherDecisions {
    allow: u64,
    review: u64,
    deny: u64,
}

impl Comparison {
    /// Compares the verdicts of two passes over the same rows.
    pub fn new(against: String, present: &[RowVerdict], other: &[RowVerdict]) -> Self {
        let (mut legitimate, mut labelled) = (DecisionChanges::default(), DecisionChanges::default());
        for ((present, is_labelled), (other, _)) in present.iter().zip(other) {
            let changes = if *is_labelled { &mut labelled } else { &mut legitimate };
            *changes.count_mut(*present, *other) += 1;
        }
        Comparison { against, legitimate, labelled }
    }
}

impl DecisionChanges {
    fn count_mut(&mut self, present: Verdict, other: Verdict) -> &mut u64 {
        let others = match present {
            Verdict::Allow => &mut self.allow,
            Verdict::Review => &mut self.review,
            Verdict::Deny => &mut self.deny,
        };
        match other {
            Verdict::Allow => &mut others.allow,
            Verdict::Review => &mut others.review,
            Verdict::Deny => &mut others.deny,
        }
    }

    fn write(&self, title: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "  {title:<18}{:>10}{:>10}{:>10}", "allow", "review", "deny")?;
        for (verdict, others) in [("allow", &self.allow), ("review", &self.review), ("deny", &self.deny)] {
            writeln!(out, "  {verdict:>18}{:>10}{:>10}{:>10}", others.allow, others.review, others.deny)?;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        [&self.allow, &self.review, &self.deny].iter().all(|others| others.allow + others.review + others.deny == 0)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "against {}: rows are the present verdicts, columns are the other verdicts", self.against)?;
        self.legitimate.write("legitimate", out)?;
        if self.labelled.is_empty() { Ok(()) } else { self.labelled.write("labelled", out) }
    }
}
