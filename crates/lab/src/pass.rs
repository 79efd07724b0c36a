//! One pass over a log: enriches the rows, evaluates them as in live operation, and learns from successes.

use std::io::{self, Write};
use std::sync::Arc;

use csv::ByteRecord;
use jiff::SignedDuration;

use crate::attacks::AttackDetection;
use crate::comparison::RowVerdict;
use crate::counters::Counters;
use crate::enrich::RowEnricher;
use crate::history::{AttemptRecording, InMemoryHistory, Key};
use crate::pending::{OutcomeReporting, PendingSignIns};
use crate::promises::PromiseCheck;
use crate::rows::time::TimeParser;
use crate::rows::{BadRow, LogLine, LogRecord, RecordReader, RecordedDecision};
use crate::selection::UserSelection;
use crate::tables::TableBuilder;
use riskgate_config::{Config, pseudonym::Pseudonyms};
use riskgate_engine::decision::{Decision, Verdict};
use riskgate_engine::evaluator::Evaluator;
use riskgate_engine::evidence::Evidence;

mod options;
mod outcomes;

/// The most bad rows that are stored for error messages.
const MAX_REPORTED_BAD_ROWS: usize = 10;

/// How far the decisions of an audit log may be out of order. A line is written when its sign-in ends, and no time budget is longer than this.
const MAX_REORDERING: SignedDuration = SignedDuration::from_secs(3);

/// The state of a pass.
pub struct Pass {
    evaluator: Evaluator,
    enricher: RowEnricher,
    histories: InMemoryHistory,
    pending: PendingSignIns,
    time_parser: TimeParser,
    pseudonyms: Pseudonyms,
    last_time: Option<jiff::Timestamp>,
    /// The counts so far.
    pub counters: Counters,
    /// Collects the statistics for the model's tables, if they are learned.
    pub table_builder: Option<TableBuilder>,
    /// The first bad rows: row_number of the file, line, error.
    pub bad_rows: Vec<(usize, u64, BadRow)>,
    /// The verdicts in order, if they are compared with another pass.
    pub verdicts: Option<Vec<RowVerdict>>,
    /// Calibrates the score on the log, if that is checked.
    pub promise_check: Option<PromiseCheck>,
    /// Detects attacks on the pools of the log.
    pub attacks: AttackDetection,
    /// Whether attacks raise scores.
    weighs_attacks: bool,
    scores: Option<Box<dyn Write + Send>>,
    count_from: u64,
    users: UserSelection,
    /// Whether the user of the present sign-in is selected.
    is_selected: bool,
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
    /// Creates a pass with a configuration and an evaluator.
    pub fn new(config: &Config, evaluator: Evaluator, mono: std::time::Instant) -> Self {
        let ttl_days = u16::try_from(config.history.ttl.as_secs() / 86_400).unwrap_or(u16::MAX);
        Pass {
            evaluator,
            enricher: RowEnricher::open(config, mono),
            histories: InMemoryHistory::new(ttl_days, config.history.pending_ttl),
            pending: PendingSignIns::new(config.history.pending_ttl),
            time_parser: TimeParser::default(),
            pseudonyms: Pseudonyms::new(&config.history.pseudonym_keys),
            last_time: None,
            counters: Counters::default(),
            table_builder: None,
            bad_rows: Vec::new(),
            verdicts: None,
            promise_check: None,
            attacks: AttackDetection::default(),
            weighs_attacks: false,
            scores: None,
            count_from: 0,
            users: UserSelection::All,
            is_selected: true,
        }
    }

    /// Returns the evaluator.
    pub fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// The table builder, if the present user is selected.
    fn builder(&mut self) -> Option<&mut TableBuilder> {
        self.table_builder.as_mut().filter(|_| self.is_selected)
    }

    /// Returns the number of users with a history so far.
    pub fn user_count(&self) -> usize {
        self.histories.user_count()
    }

    /// Returns the number of times that had neither date nor hour.
    pub fn dateless_times(&self) -> u64 {
        self.time_parser.dateless
    }

    /// Processes one record. `place` is the number of its file, and its line.
    ///
    /// # Errors
    ///
    /// If scores cannot be written.
    pub fn process_record(&mut self, reader: &RecordReader, record: &ByteRecord, place: (usize, u64)) -> io::Result<()> {
        // A copy, because the closure borrows `self`.
        let mut time_parser = self.time_parser;
        let processed = reader.read_line(record, &mut time_parser, |line| self.process_line(&line, place));
        self.time_parser = time_parser;
        match processed {
            Ok(written) => written,
            Err(error) => {
                self.counters.rows += 1;
                self.counters.bad += 1;
                if self.bad_rows.len() < MAX_REPORTED_BAD_ROWS {
                    self.bad_rows.push((place.0, place.1, error));
                }
                Ok(())
            }
        }
    }

    fn process_line(&mut self, line: &LogLine<'_>, place: (usize, u64)) -> io::Result<()> {
        match line {
            LogLine::SignIn(record) => self.process_sign_in(record, place),
            LogLine::Outcome(outcome) => self.process_outcome(outcome),
            LogLine::WithoutUser => {
                self.counters.log.without_user += 1;
                Ok(())
            }
            LogLine::Other => {
                self.counters.log.other_lines += 1;
                Ok(())
            }
        }
    }

    fn process_sign_in(&mut self, record: &LogRecord<'_>, place: (usize, u64)) -> io::Result<()> {
        let user = RowEnricher::user_key(record.pool, record.user);
        let client = record.decision.map(|decision| (decision, Key::of(&[record.pool.as_bytes(), record.client.as_bytes()])));
        if client.is_some() {
            self.expire_pending(record.at)?;
        }
        let is_repeated = client.is_some_and(|(decision, _)| self.pending.contains(Key::of(&[decision.id.as_bytes()])));
        if is_repeated {
            self.counters.log.other_lines += 1;
            return Ok(());
        }
        let row_number = self.counters.rows;
        self.counters.rows += 1;
        self.counters.count_read(place.0);
        let slack = if record.decision.is_some() { MAX_REORDERING } else { SignedDuration::ZERO };
        self.counters.out_of_order += u64::from(self.last_time.is_some_and(|last| last > record.at && last.duration_since(record.at) > slack));
        self.last_time = Some(record.at);
        self.counters.rounded_users += u64::from(record.user.contains("E+"));
        match client {
            Some((decision, client)) if !decision.id.is_empty() && self.pending.reporting(client) != OutcomeReporting::Never => {
                self.add_pending(record, decision, client, user, (row_number, place));
                Ok(())
            }
            Some((RecordedDecision { is_denied: true, .. }, _)) => {
                let (evidence, _) = self.enrich(record, user, AttemptRecording::Record);
                let decision = self.evaluate(evidence, user, false);
                self.histories.put_profile(user, decision.score.signals.evidence.history.profile);
                self.count_denied();
                Ok(())
            }
            Some(_) => {
                self.counters.log.presumed += 1;
                self.process_known_outcome(record, user, row_number, place)
            }
            None => self.process_known_outcome(record, user, row_number, place),
        }
    }

    /// Processes a sign-in whose outcome is known. Labelled rows are only scored. Failures are recorded. Successes are scored and learned from.
    fn process_known_outcome(&mut self, record: &LogRecord<'_>, user: Key, row_number: u64, place: (usize, u64)) -> io::Result<()> {
        self.is_selected = self.users.includes(user);
        if is_campaign(record) {
            return self.process_campaign_attempt(record, user, row_number, place);
        }
        if !record.label.is_empty() {
            let (evidence, _) = self.enrich(record, user, AttemptRecording::Skip);
            let decision = self.evaluator.evaluate(evidence);
            self.add_scored(&decision, record.label, row_number, place)?;
            self.histories.put_profile(user, decision.score.signals.evidence.history.profile);
            return Ok(());
        }
        if !record.surge.is_empty() {
            self.attacks.add_surge(record.surge);
        }
        let (evidence, hour) = self.enrich(record, user, AttemptRecording::Record);
        if !record.passed {
            self.counters.failures += u64::from(self.is_selected);
            if let Some(builder) = self.builder() {
                builder.add_failure(&evidence, hour);
            }
            // As in live operation, the place of a failure counts only if the sign-in was not denied.
            let decision = self.evaluate(evidence, user, false);
            let evidence = decision.score.signals.evidence;
            match decision.action {
                Verdict::Deny => self.histories.record_denial(user, &evidence),
                Verdict::Allow | Verdict::Review | Verdict::Challenge => self.histories.record_failure(user, &evidence),
            }
            self.histories.put_profile(user, evidence.history.profile);
            return Ok(());
        }
        let decision = self.evaluate(evidence, user, true);
        self.add_scored(&decision, record.label, row_number, place)?;
        if let Some(builder) = self.builder() {
            builder.add_success(&decision, hour);
        }
        // As in live operation, sign-ins that are degraded or have a deny verdict are not learned from.
        let is_learnable = decision.verdict != Verdict::Deny && record.decision.is_none_or(|decision| !decision.is_degraded);
        // A legitimate user passes the challenge.
        let proven = decision.action == Verdict::Challenge;
        let mut evidence = decision.score.signals.evidence;
        if self.table_builder.as_ref().is_some_and(TableBuilder::needs_evaluation_without_context) {
            evidence = self.evaluate_without_context(evidence);
        }
        let profile = std::mem::take(&mut evidence.history.profile);
        if is_learnable {
            self.histories.record_success(user, profile, &evidence, hour, proven);
        } else {
            self.histories.put_profile(user, profile);
            self.histories.record_success_time(user, &evidence, record.at);
        }
        Ok(())
    }

    /// Processes an attempt of a campaign. Unlike other labelled rows, which imitate a sign-in, it is one: it is counted, and a failure is recorded.
    fn process_campaign_attempt(&mut self, record: &LogRecord<'_>, user: Key, row_number: u64, place: (usize, u64)) -> io::Result<()> {
        self.attacks.add_campaign(record.label, record.at);
        let (evidence, _) = self.enrich(record, user, AttemptRecording::Record);
        let decision = self.evaluate(evidence, user, record.passed);
        self.add_scored(&decision, record.label, row_number, place)?;
        let evidence = decision.score.signals.evidence;
        if !record.passed && decision.action != Verdict::Deny && !record.is_unknown_user {
            self.histories.record_failure(user, &evidence);
        }
        self.histories.put_profile(user, evidence.history.profile);
        Ok(())
    }

    /// Enriches a record, with what it has in common with an attack on its pool.
    fn enrich(&mut self, record: &LogRecord<'_>, user: Key, recording: AttemptRecording) -> (Box<Evidence>, Option<u8>) {
        let (mut evidence, hour) = self.enricher.enrich(record, user, &mut self.histories, recording);
        let wave = self.attacks.matching(pool_key(record.pool), &evidence);
        evidence.history.attack_wave = wave.filter(|_| self.weighs_attacks);
        (evidence, hour)
    }

    /// Evaluates an attempt, and counts it in its pool.
    fn evaluate(&mut self, evidence: Box<Evidence>, user: Key, passed: bool) -> Decision {
        let pool = pool_key(&evidence.sign_in.pool);
        let decision = self.evaluator.evaluate(evidence);
        self.attacks.count(pool, user, &decision.score.signals, passed);
        decision
    }

    /// Counts a sign-in that was denied live. It is unknown whether its password was right.
    fn count_denied(&mut self) {
        self.counters.failures += 1;
        self.counters.log.denied_live += 1;
    }

    /// Evaluates the same sign-in without its context, for the quantiles of sign-ins without context. Returns the complete evidence.
    fn evaluate_without_context(&mut self, mut evidence: Box<Evidence>) -> Box<Evidence> {
        let context = std::mem::take(&mut Arc::make_mut(&mut evidence.sign_in).context);
        let networks = std::mem::take(&mut evidence.networks);
        let features = std::mem::take(&mut evidence.features);
        let services = std::mem::take(&mut evidence.services);
        // The hour is read from the claimed zone or from the address's country.
        let local_time = std::mem::take(&mut evidence.local_time);
        let decision = self.evaluator.evaluate(evidence);
        if let Some(builder) = self.builder() {
            builder.add_without_context(&decision);
        }
        let mut evidence = decision.score.signals.evidence;
        Arc::make_mut(&mut evidence.sign_in).context = context;
        (evidence.networks, evidence.features, evidence.services, evidence.local_time) = (networks, features, services, local_time);
        evidence
    }

    /// Counts a decision, and writes it to the outputs that are enabled.
    fn add_scored(&mut self, decision: &Decision, label: &str, row_number: u64, place: (usize, u64)) -> io::Result<()> {
        if !self.is_selected {
            return Ok(());
        }
        if row_number >= self.count_from {
            self.counters.count_decision(decision, label, place, &self.pseudonyms);
        }
        if let Some(builder) = self.builder() {
            builder.add_labelled(decision, label);
        }
        if let Some(check) = self.promise_check.as_mut().filter(|_| label.is_empty()) {
            check.add_legitimate(decision);
        }
        if let Some(verdicts) = &mut self.verdicts {
            verdicts.push((decision.verdict, !label.is_empty()));
        }
        let Some(out) = &mut self.scores else { return Ok(()) };
        let score = &decision.score;
        let line = ScoreLine { row: row_number, score: score.value, log_odds: score.log_odds, decision: decision.verdict.as_label(), label };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    }

    /// Ends the pass: resolves the pending sign-ins and flushes the scores.
    ///
    /// # Errors
    ///
    /// If scores cannot be written.
    pub fn finish(&mut self) -> io::Result<()> {
        while let Some(pending) = self.pending.pop_oldest() {
            self.resolve_without_outcome(pending)?;
        }
        self.scores.as_mut().map_or(Ok(()), |out| out.flush())
    }
}

fn pool_key(pool: &str) -> Key {
    Key::of(&[b"pool", pool.as_bytes()])
}

/// Whether a labelled row is an attempt of a campaign. `riskgate synth` names them so.
fn is_campaign(record: &LogRecord<'_>) -> bool {
    matches!(record.label, "botnet" | "spray")
}
