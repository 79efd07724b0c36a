//! Two passes over one log, verdict by verdict: what other thresholds or another model would change.

use std::fmt;

use serde::Serialize;

use crate::decision::Verdict;

/// A scored row: its verdict, and whether it carries a label.
pub type Judged = (Verdict, bool);

/// Scored rows by present verdict and by the other's.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// What the present settings were compared with.
    pub against: String,
    /// Legitimate sign-ins.
    pub legitimate: Moves,
    /// Labelled ones.
    pub labelled: Moves,
}

/// Counts by present verdict, then by the other's.
#[derive(Debug, Default, Serialize)]
pub struct Moves {
    allow: Others,
    review: Others,
    deny: Others,
}

/// Counts by the other's verdict.
#[derive(Debug, Default, Serialize)]
pub struct Others {
    allow: u64,
    review: u64,
    deny: u64,
}

impl Comparison {
    /// Holds the verdicts of two passes over the same rows against each other.
    pub fn of(against: String, present: &[Judged], other: &[Judged]) -> Self {
        let (mut legitimate, mut labelled) = (Moves::default(), Moves::default());
        for ((present, is_labelled), (other, _)) in present.iter().zip(other) {
            let moves = if *is_labelled { &mut labelled } else { &mut legitimate };
            *moves.count_mut(*present, *other) += 1;
        }
        Comparison { against, legitimate, labelled }
    }
}

impl Moves {
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
        writeln!(out, "against {}: rows are the present verdicts, columns the other's", self.against)?;
        self.legitimate.write("legitimate", out)?;
        if self.labelled.is_empty() { Ok(()) } else { self.labelled.write("labelled", out) }
    }
}
