//! One pass over a log: rows become evidence, the live judge judges, and what succeeded is learned.

use std::io::{self, Write};

use csv::ByteRecord;

use super::{
    census::Census,
    comparison::Judged,
    learn::Lessons,
    past::{Past, Trace},
    rows::{BadRow, Clock, Reading, Row},
    witness::Witness,
};
use crate::{
    assess::Judge,
    config::Config,
    decision::{Decision, Verdict},
    evidence::Evidence,
};

/// Bad rows that are shown.
const SHOWN: usize = 10;

/// The state of a pass.
pub struct Pass {
    judge: Judge,
    witness: Witness,
    past: Past,
    clock: Clock,
    last: Option<jiff::Timestamp>,
    /// What was counted.
    pub census: Census,
    /// What can be learned for the model's tables, when that is wanted.
    pub lessons: Option<Lessons>,
    /// Rows that were left out: file, line, why; the first ones.
    pub bad: Vec<(usize, u64, BadRow)>,
    /// Verdicts in order, when another pass is to be compared.
    pub verdicts: Option<Vec<Judged>>,
    scores: Option<Box<dyn Write + Send>>,
    counted_from: u64,
}

/// One line of `--scores`.
#[derive(Debug, serde::Serialize)]
struct ScoreLine<'a> {
    row: u64,
    score: f64,
    log_odds: f64,
    decision: &'static str,
    label: &'a str,
}

impl Pass {
    /// A pass under a configuration and a judge.
    pub fn new(config: &Config, judge: Judge, mono: tokio::time::Instant) -> Self {
        let ttl_days = u16::try_from(config.history.ttl.as_secs() / 86_400).unwrap_or(u16::MAX);
        Pass {
            judge,
            witness: Witness::open(config, mono),
            past: Past::new(ttl_days),
            clock: Clock::default(),
            last: None,
            census: Census::default(),
            lessons: None,
            bad: Vec::new(),
            verdicts: None,
            scores: None,
            counted_from: 0,
        }
    }

    /// Writes a line for each scored row.
    #[must_use]
    pub fn writing(self, scores: Box<dyn Write + Send>) -> Self {
        Pass { scores: Some(scores), ..self }
    }

    /// Counts from a row on; those before it are only learned from.
    #[must_use]
    pub fn counting_from(self, row: u64) -> Self {
        Pass { counted_from: row, ..self }
    }

    /// Gathers what the model's tables can be made of.
    #[must_use]
    pub fn learning(self, lessons: Lessons) -> Self {
        Pass { lessons: Some(lessons), ..self }
    }

    /// Keeps the verdicts, two bytes a row.
    #[must_use]
    pub fn keeping_verdicts(self) -> Self {
        Pass { verdicts: Some(Vec::new()), ..self }
    }

    /// The judge.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// How many people there are by now.
    pub fn people(&self) -> usize {
        self.past.people()
    }

    /// Times that had lost their date.
    pub fn dateless(&self) -> u64 {
        self.clock.dateless
    }

    /// Takes one record.
    ///
    /// # Errors
    ///
    /// Scores that cannot be written.
    pub fn record(&mut self, reading: &Reading, record: &ByteRecord, place: (usize, u64)) -> io::Result<()> {
        let number = self.census.rows;
        self.census.rows += 1;
        // The clock is lent out of self while the row borrows the record.
        let mut clock = self.clock;
        let done = reading.row(record, &mut clock, |row| self.row(&row, number, place));
        self.clock = clock;
        match done {
            Ok(written) => written,
            Err(why) => {
                self.census.bad += 1;
                if self.bad.len() < SHOWN {
                    self.bad.push((place.0, place.1, why));
                }
                Ok(())
            }
        }
    }

    /// Takes one row: a labelled one leaves no trace, a failed one is a failure, any other is learned when it was let in.
    pub fn row(&mut self, row: &Row<'_>, number: u64, place: (usize, u64)) -> io::Result<()> {
        self.census.backward += u64::from(self.last.is_some_and(|last| last > row.at));
        self.last = Some(row.at);
        self.census.rounded += u64::from(row.user.contains("E+"));
        let person = Witness::person(row);
        if !row.label.is_empty() {
            let (evidence, _) = self.witness.evidence(row, person, &mut self.past, Trace::None);
            let decision = self.judge.judge(evidence);
            self.scored(&decision, row, number, place)?;
            self.past.put_back(person, decision.score.signals.evidence.history.profile);
            return Ok(());
        }
        let (evidence, hour) = self.witness.evidence(row, person, &mut self.past, Trace::Leave);
        if !row.passed {
            self.census.failures += 1;
            if let Some(lessons) = &mut self.lessons {
                lessons.failed(&evidence, hour);
            }
            self.past.fail(person, &evidence);
            self.past.put_back(person, evidence.history.profile);
            return Ok(());
        }
        let decision = self.judge.judge(evidence);
        self.scored(&decision, row, number, place)?;
        if let Some(lessons) = &mut self.lessons {
            lessons.passed(&decision, hour);
        }
        let denied = decision.verdict == Verdict::Deny;
        let mut evidence = decision.score.signals.evidence;
        if self.lessons.as_ref().is_some_and(Lessons::wants_stripped) {
            evidence = self.stripped(evidence);
        }
        let profile = std::mem::take(&mut evidence.history.profile);
        if denied {
            // Live, nothing is learned from what was or would have been denied (invariant 5).
            self.past.put_back(person, profile);
        } else {
            self.past.succeed(person, profile, &evidence, hour);
        }
        Ok(())
    }

    /// Judges the same sign-in without its context, for the table of those that have none; gives the evidence back whole.
    fn stripped(&mut self, mut evidence: Evidence) -> Evidence {
        let context = std::mem::take(&mut evidence.sign_in.context);
        let networks = std::mem::take(&mut evidence.networks);
        let features = std::mem::take(&mut evidence.features);
        let services = std::mem::take(&mut evidence.services);
        let decision = self.judge.judge(evidence);
        if let Some(lessons) = &mut self.lessons {
            lessons.stripped(&decision);
        }
        let mut evidence = decision.score.signals.evidence;
        evidence.sign_in.context = context;
        Evidence { networks, features, services, ..evidence }
    }

    fn scored(&mut self, decision: &Decision, row: &Row<'_>, number: u64, place: (usize, u64)) -> io::Result<()> {
        if number >= self.counted_from {
            self.census.count(decision, row.label, place);
        }
        if let Some(lessons) = &mut self.lessons {
            lessons.labelled(decision, row.label);
        }
        if let Some(verdicts) = &mut self.verdicts {
            verdicts.push((decision.verdict, !row.label.is_empty()));
        }
        let Some(out) = &mut self.scores else { return Ok(()) };
        let score = &decision.score;
        let line = ScoreLine { row: number, score: score.value, log_odds: score.log_odds, decision: decision.verdict.as_label(), label: row.label };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    }

    /// Ends the pass.
    ///
    /// # Errors
    ///
    /// Scores that cannot be written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.scores.as_mut().map_or(Ok(()), |out| out.flush())
    }
}
