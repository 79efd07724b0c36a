//! One pass over a log: rows become evidence, the live judge judges, and what succeeded is learned.

use std::{
    io::{self, Write},
    sync::Arc,
};

use csv::ByteRecord;
use jiff::SignedDuration;

use super::{
    census::Census,
    comparison::Judged,
    learn::Lessons,
    past::{Key, Past, Trace},
    rows::{BadRow, Clock, Decided, Line, Reading, Row, Told},
    waiting::{Completed, Custom, Held, Waiting},
    witness::Witness,
};
use crate::{
    assess::Judge,
    config::Config,
    decision::{Decision, Verdict},
    evidence::{
        Evidence,
        history::ledger::{Learned, Report},
    },
};

/// Bad rows that are shown.
const SHOWN: usize = 10;

/// A gate writes its lines as sign-ins end, and one that came first may end last; none takes longer than the longest budget.
const OVERTAKING: SignedDuration = SignedDuration::from_secs(3);

/// The state of a pass.
pub struct Pass {
    judge: Judge,
    witness: Witness,
    past: Past,
    waiting: Waiting,
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

/// How a sign-in that waited ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The password was right.
    Passed,
    /// Nobody said; it is taken for a success.
    Presumed,
    /// The password was wrong.
    Failed,
    /// It was not the person.
    Fraud,
    /// It, or another one, was a success.
    Unclear,
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
            past: Past::new(ttl_days, config.history.pending_ttl),
            waiting: Waiting::new(config.history.pending_ttl),
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
        // The clock is lent out of self while the row borrows the record.
        let mut clock = self.clock;
        let done = reading.line(record, &mut clock, |line| self.line(&line, place));
        self.clock = clock;
        match done {
            Ok(written) => written,
            Err(why) => {
                self.census.rows += 1;
                self.census.bad += 1;
                if self.bad.len() < SHOWN {
                    self.bad.push((place.0, place.1, why));
                }
                Ok(())
            }
        }
    }

    fn line(&mut self, line: &Line<'_>, place: (usize, u64)) -> io::Result<()> {
        match line {
            Line::SignIn(row) => self.sign_in(row, place),
            Line::Outcome(told) => self.outcome(told),
            Line::Nobody => {
                self.census.log.nobody += 1;
                Ok(())
            }
            Line::Foreign => {
                self.census.log.foreign += 1;
                Ok(())
            }
        }
    }

    fn sign_in(&mut self, row: &Row<'_>, place: (usize, u64)) -> io::Result<()> {
        let person = Witness::person(row.pool, row.user);
        let client = row.decided.map(|decided| (decided, Key::of(&[row.pool.as_bytes(), row.client.as_bytes()])));
        if client.is_some() {
            self.let_go(row.at)?;
        }
        let is_again = client.is_some_and(|(decided, _)| self.waiting.holds(Key::of(&[decided.id.as_bytes()])));
        if is_again {
            self.census.log.foreign += 1;
            return Ok(());
        }
        let number = self.census.rows;
        self.census.rows += 1;
        self.census.read_from(place.0);
        let slack = if row.decided.is_some() { OVERTAKING } else { SignedDuration::ZERO };
        self.census.backward += u64::from(self.last.is_some_and(|last| last > row.at && last.duration_since(row.at) > slack));
        self.last = Some(row.at);
        self.census.rounded += u64::from(row.user.contains("E+"));
        match client {
            Some((decided, client)) if !decided.id.is_empty() && self.waiting.custom(client) != Custom::Silent => {
                self.hold(row, decided, client, person, (number, place));
                Ok(())
            }
            Some((Decided { is_denied: true, .. }, _)) => {
                let (evidence, _) = self.witness.evidence(row, person, &mut self.past, Trace::Leave);
                self.past.put_back(person, evidence.history.profile);
                self.kept_out();
                Ok(())
            }
            Some(_) => {
                self.census.log.presumed += 1;
                self.row(row, person, number, place)
            }
            None => self.row(row, person, number, place),
        }
    }

    /// Takes one row that says how it ended: a labelled one leaves no trace, a failed one is a failure, any other is learned when it was let in.
    fn row(&mut self, row: &Row<'_>, person: Key, number: u64, place: (usize, u64)) -> io::Result<()> {
        if !row.label.is_empty() {
            let (evidence, _) = self.witness.evidence(row, person, &mut self.past, Trace::None);
            let decision = self.judge.judge(evidence);
            self.scored(&decision, row.label, number, place)?;
            self.past.put_back(person, decision.score.signals.evidence.history.profile);
            return Ok(());
        }
        let (evidence, hour) = self.witness.evidence(row, person, &mut self.past, Trace::Leave);
        if !row.passed {
            self.census.failures += 1;
            if let Some(lessons) = &mut self.lessons {
                lessons.failed(&evidence, hour);
            }
            // One that would have been denied is a failure, and nowhere that the person was.
            let decision = self.judge.judge(evidence);
            let evidence = decision.score.signals.evidence;
            match decision.action {
                Verdict::Deny => self.past.keep_out(person, &evidence),
                Verdict::Allow | Verdict::Review => self.past.fail(person, &evidence),
            }
            self.past.put_back(person, evidence.history.profile);
            return Ok(());
        }
        let decision = self.judge.judge(evidence);
        self.scored(&decision, row.label, number, place)?;
        if let Some(lessons) = &mut self.lessons {
            lessons.passed(&decision, hour);
        }
        // Live, nothing is learned from what was or would have been denied, or was degraded (invariant 5).
        let is_teachable = decision.verdict != Verdict::Deny && row.decided.is_none_or(|decided| !decided.is_degraded);
        let mut evidence = decision.score.signals.evidence;
        if self.lessons.as_ref().is_some_and(Lessons::wants_stripped) {
            evidence = self.stripped(evidence);
        }
        let profile = std::mem::take(&mut evidence.history.profile);
        if is_teachable {
            self.past.succeed(person, profile, &evidence, hour);
        } else {
            self.past.put_back(person, profile);
            self.past.succeed_untaught(person, &evidence, row.at);
        }
        Ok(())
    }

    /// Judges a sign-in by what was known when it came, and lets it wait for its outcome.
    fn hold(&mut self, row: &Row<'_>, decided: Decided<'_>, client: Key, person: Key, (number, place): (u64, (usize, u64))) {
        let (evidence, hour) = self.witness.evidence(row, person, &mut self.past, Trace::Leave);
        let mut decision = Box::new(self.judge.judge(evidence));
        let evidence = &mut decision.score.signals.evidence;
        let profile = std::mem::take(&mut evidence.history.profile);
        // The size of the history is counted with the sign-in; the history itself goes on without it.
        evidence.history.profile.successes = profile.successes;
        self.past.put_back(person, profile);
        // Live, a sign-in counts as failed until a success follows, where somebody tells of successes.
        let is_marked = matches!(self.waiting.custom(client), Custom::ById | Custom::ByPerson);
        match () {
            () if is_marked && decided.is_denied => self.past.keep_out(person, evidence),
            () if is_marked => self.past.fail(person, evidence),
            () => {}
        }
        self.waiting.hold(Held {
            id: Key::of(&[decided.id.as_bytes()]),
            at: row.at,
            client,
            person,
            number,
            place,
            hour,
            decision,
            is_denied: decided.is_denied,
            is_judged_denial: decided.is_judged_denial,
            is_teachable: !decided.is_degraded,
            is_marked,
        });
    }

    /// Takes what became of a sign-in.
    fn outcome(&mut self, told: &Told<'_>) -> io::Result<()> {
        self.census.log.outcomes += 1;
        self.let_go(told.at)?;
        // After `POST /v1/outcome` only the id tells whose it was.
        let by = (!told.user.is_empty()).then(|| (Key::of(&[told.pool.as_bytes(), told.client.as_bytes()]), Witness::person(told.pool, told.user)));
        if !told.id.is_empty() {
            let Some(mut held) = self.waiting.take(Key::of(&[told.id.as_bytes()])) else {
                self.census.log.strays += 1;
                match by {
                    Some((client, _)) => self.waiting.found(client, Custom::ById),
                    None => self.waiting.doubt(),
                }
                return Ok(());
            };
            if matches!(told.report, Report::Success | Report::Failure) {
                self.waiting.found(held.client, Custom::ById);
            }
            // Neither denied nor degraded, and refused all the same: its context was a copy.
            held.is_teachable &= told.learned != Learned::NotTeachable.as_label() || held.is_judged_denial;
            let end = match told.report {
                Report::Success | Report::NotFraud => End::Passed,
                Report::Failure => End::Failed,
                Report::Fraud => End::Fraud,
            };
            return self.settle(held, end, told.at);
        }
        let Some((client, person)) = by else { return Ok(()) };
        let is_repeated = told.learned == Learned::NothingPending.as_label() && self.waiting.custom(client) == Custom::ById;
        if is_repeated {
            self.census.log.strays += 1;
            return Ok(());
        }
        self.waiting.found(client, Custom::ByPerson);
        match self.waiting.completed(client, person) {
            Completed::None => self.census.log.strays += 1,
            Completed::One(held) => self.settle(*held, End::Passed, told.at)?,
            Completed::Several(several) => several.into_iter().try_for_each(|held| self.settle(held, End::Unclear, told.at))?,
        }
        Ok(())
    }

    /// Settles what has waited for too long: a failure where the client tells of successes, else nobody knows and it is taken for a success.
    fn let_go(&mut self, now: jiff::Timestamp) -> io::Result<()> {
        while let Some(held) = self.waiting.overdue(now) {
            let (client, custom) = (held.client, self.waiting.custom(held.client));
            self.unanswered(held)?;
            if custom == Custom::Unknown {
                self.waiting.found(client, Custom::Silent);
                self.waiting.all_of(client).into_iter().try_for_each(|held| {
                    let at = held.at;
                    self.settle(held, End::Presumed, at)
                })?;
            }
        }
        Ok(())
    }

    fn unanswered(&mut self, held: Held) -> io::Result<()> {
        let end = match self.waiting.custom(held.client) {
            Custom::ById | Custom::ByPerson => End::Failed,
            Custom::Unknown | Custom::Silent => End::Presumed,
        };
        let at = held.at;
        self.settle(held, end, at)
    }

    /// Counts a sign-in that waited, and learns from it as the gate would have; it was reported at a moment.
    fn settle(&mut self, held: Held, end: End, told_at: jiff::Timestamp) -> io::Result<()> {
        let Held { at, person, number, place, hour, decision, is_denied, is_teachable, is_marked, .. } = held;
        if is_denied && matches!(end, End::Failed | End::Presumed) {
            self.kept_out();
            return Ok(());
        }
        match end {
            End::Passed | End::Presumed => {
                self.census.log.presumed += u64::from(end == End::Presumed);
                self.scored(&decision, "", number, place)?;
                if let Some(lessons) = &mut self.lessons {
                    lessons.passed(&decision, hour);
                }
                let is_denial = decision.verdict == Verdict::Deny;
                let mut evidence = decision.score.signals.evidence;
                if self.lessons.as_ref().is_some_and(Lessons::wants_stripped) {
                    evidence.history.profile = self.past.lend(person);
                    evidence = self.stripped(evidence);
                    self.past.put_back(person, std::mem::take(&mut evidence.history.profile));
                }
                match () {
                    () if is_teachable && !is_denial => self.past.succeed_later(person, &evidence, hour, told_at),
                    () => {
                        self.past.withdraw(person, at);
                        self.past.succeed_untaught(person, &evidence, told_at);
                    }
                }
            }
            End::Failed => {
                self.census.failures += 1;
                let evidence = &decision.score.signals.evidence;
                if let Some(lessons) = &mut self.lessons {
                    lessons.failed(evidence, hour);
                }
                if !is_marked {
                    self.past.fail(person, evidence);
                }
            }
            End::Fraud => {
                self.scored(&decision, Report::Fraud.as_label(), number, place)?;
                self.past.withdraw(person, at);
            }
            End::Unclear => {
                self.census.log.unclear += 1;
                self.past.forgive(person, told_at);
            }
        }
        Ok(())
    }

    /// Counts a sign-in that was kept out when it came, so that nobody knows its password.
    fn kept_out(&mut self) {
        self.census.failures += 1;
        self.census.log.kept_out += 1;
    }

    /// Judges the same sign-in without its context, for the table of those that have none; gives the evidence back whole.
    fn stripped(&mut self, mut evidence: Box<Evidence>) -> Box<Evidence> {
        let context = std::mem::take(&mut Arc::make_mut(&mut evidence.sign_in).context);
        let networks = std::mem::take(&mut evidence.networks);
        let features = std::mem::take(&mut evidence.features);
        let services = std::mem::take(&mut evidence.services);
        // The hour is read from the claimed zone or from the address's country.
        let local_time = std::mem::take(&mut evidence.local_time);
        let decision = self.judge.judge(evidence);
        if let Some(lessons) = &mut self.lessons {
            lessons.stripped(&decision);
        }
        let mut evidence = decision.score.signals.evidence;
        Arc::make_mut(&mut evidence.sign_in).context = context;
        (evidence.networks, evidence.features, evidence.services, evidence.local_time) = (networks, features, services, local_time);
        evidence
    }

    fn scored(&mut self, decision: &Decision, label: &str, number: u64, place: (usize, u64)) -> io::Result<()> {
        if number >= self.counted_from {
            self.census.count(decision, label, place);
        }
        if let Some(lessons) = &mut self.lessons {
            lessons.labelled(decision, label);
        }
        if let Some(verdicts) = &mut self.verdicts {
            verdicts.push((decision.verdict, !label.is_empty()));
        }
        let Some(out) = &mut self.scores else { return Ok(()) };
        let score = &decision.score;
        let line = ScoreLine { row: number, score: score.value, log_odds: score.log_odds, decision: decision.verdict.as_label(), label };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    }

    /// Ends the pass: what still waits will not be answered.
    ///
    /// # Errors
    ///
    /// Scores that cannot be written.
    pub fn finish(&mut self) -> io::Result<()> {
        while let Some(held) = self.waiting.oldest() {
            self.unanswered(held)?;
        }
        self.scores.as_mut().map_or(Ok(()), |out| out.flush())
    }
}
