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
use crate::pending::{OutcomeReporting, PendingSignIn, PendingSignIns, SuccessMatch};
use crate::promises::PromiseCheck;
use crate::rows::time::TimeParser;
use crate::rows::{BadRow, LogLine, LogRecord, RecordReader, RecordedDecision, RecordedOutcome};
use crate::selection::UserSelection;
use crate::tables::TableBuilder;
use riskgate_config::{Config, pseudonym::Pseudonyms};
use riskgate_engine::decision::{Decision, Verdict};
use riskgate_engine::evaluator::Evaluator;
use riskgate_engine::evidence::Evidence;
use riskgate_history::repository::{learning::Learned, outcome::ReportedOutcome};

mod options;

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

/// How a pending sign-in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolution {
    /// The password was right.
    Success,
    /// No outcome was reported. It counts as a success.
    PresumedSuccess,
    /// The password was wrong.
    Failure,
    /// It was an attack.
    Fraud,
    /// Either this sign-in or another one was a success.
    Ambiguous,
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

    /// Evaluates a sign-in with the history at its time, and stores it until its outcome is read.
    fn add_pending(&mut self, record: &LogRecord<'_>, live: RecordedDecision<'_>, client: Key, user: Key, (row_number, place): (u64, (usize, u64))) {
        let (evidence, hour) = self.enrich(record, user, AttemptRecording::Record);
        let mut decision = Box::new(self.evaluate(evidence, user, false));
        let evidence = &mut decision.score.signals.evidence;
        let profile = std::mem::take(&mut evidence.history.profile);
        // The profile goes back to the history. Only its size is stored, for the counters.
        evidence.history.profile.successes = profile.successes;
        self.histories.put_profile(user, profile);
        // As in live operation, a sign-in counts as failed until its success is reported, if the client reports successes.
        let is_recorded_failure = matches!(self.pending.reporting(client), OutcomeReporting::ById | OutcomeReporting::ByUser);
        match () {
            () if is_recorded_failure && live.is_denied => self.histories.record_denial(user, evidence),
            () if is_recorded_failure => self.histories.record_failure(user, evidence),
            () => {}
        }
        self.pending.push(PendingSignIn {
            id: Key::of(&[live.id.as_bytes()]),
            at: record.at,
            client,
            user,
            row_number,
            place,
            hour,
            decision,
            is_denied: live.is_denied,
            is_challenged: live.is_challenged,
            is_deny_verdict: live.is_deny_verdict,
            is_learnable: !live.is_degraded,
            is_recorded_failure,
        });
    }

    /// Processes a reported outcome.
    fn process_outcome(&mut self, outcome: &RecordedOutcome<'_>) -> io::Result<()> {
        self.counters.log.outcomes += 1;
        self.expire_pending(outcome.at)?;
        // Outcomes of `POST /v1/outcome` have an id, but no user.
        let client_and_user = (!outcome.user.is_empty())
            .then(|| (Key::of(&[outcome.pool.as_bytes(), outcome.client.as_bytes()]), RowEnricher::user_key(outcome.pool, outcome.user)));
        if !outcome.id.is_empty() {
            let id = Key::of(&[outcome.id.as_bytes()]);
            if outcome.report == ReportedOutcome::Success && self.pending.is_challenged(id) {
                // The password was right. Without the result of the challenge it counts as failed.
                return Ok(());
            }
            let Some(mut pending) = self.pending.remove_by_id(id) else {
                self.counters.log.unmatched += 1;
                match client_and_user {
                    Some((client, _)) => self.pending.set_reporting(client, OutcomeReporting::ById),
                    None => self.pending.reset_never_reporting(),
                }
                return Ok(());
            };
            if !matches!(outcome.report, ReportedOutcome::Fraud | ReportedOutcome::NotFraud) {
                self.pending.set_reporting(pending.client, OutcomeReporting::ById);
            }
            // If it was not learned from live although it was neither denied nor degraded, its context was a replay.
            pending.is_learnable &= outcome.learned != Learned::NotLearnable.as_label() || pending.is_deny_verdict;
            let resolution = match outcome.report {
                ReportedOutcome::Success | ReportedOutcome::NotFraud | ReportedOutcome::ChallengePassed => Resolution::Success,
                ReportedOutcome::Failure | ReportedOutcome::ChallengeFailed => Resolution::Failure,
                ReportedOutcome::Fraud => Resolution::Fraud,
            };
            return self.resolve(pending, resolution, outcome.at);
        }
        let Some((client, user)) = client_and_user else { return Ok(()) };
        let is_repeated = outcome.learned == Learned::NothingPending.as_label() && self.pending.reporting(client) == OutcomeReporting::ById;
        if is_repeated {
            self.counters.log.unmatched += 1;
            return Ok(());
        }
        self.pending.set_reporting(client, OutcomeReporting::ByUser);
        match self.pending.match_success(client, user) {
            SuccessMatch::None => self.counters.log.unmatched += 1,
            SuccessMatch::One(pending) => self.resolve(*pending, Resolution::Success, outcome.at)?,
            SuccessMatch::Ambiguous(candidates) => candidates.into_iter().try_for_each(|pending| self.resolve(pending, Resolution::Ambiguous, outcome.at))?,
        }
        Ok(())
    }

    /// Resolves the pending sign-ins that have expired. A client whose first sign-in expires is classified as not reporting outcomes.
    fn expire_pending(&mut self, now: jiff::Timestamp) -> io::Result<()> {
        while let Some(pending) = self.pending.pop_expired(now) {
            let (client, reporting) = (pending.client, self.pending.reporting(pending.client));
            self.resolve_without_outcome(pending)?;
            if reporting == OutcomeReporting::Unknown {
                self.pending.set_reporting(client, OutcomeReporting::Never);
                self.pending.remove_by_client(client).into_iter().try_for_each(|pending| {
                    let at = pending.at;
                    self.resolve(pending, Resolution::PresumedSuccess, at)
                })?;
            }
        }
        Ok(())
    }

    /// Resolves a sign-in without an outcome: as a failure if its client reports successes, otherwise as a presumed success.
    fn resolve_without_outcome(&mut self, pending: PendingSignIn) -> io::Result<()> {
        let resolution = match self.pending.reporting(pending.client) {
            OutcomeReporting::ById | OutcomeReporting::ByUser => Resolution::Failure,
            OutcomeReporting::Unknown | OutcomeReporting::Never => Resolution::PresumedSuccess,
        };
        let at = pending.at;
        self.resolve(pending, resolution, at)
    }

    /// Counts a pending sign-in, and learns from it as in live operation. `reported_at` is the time of its outcome, or of the sign-in if none was reported.
    fn resolve(&mut self, pending: PendingSignIn, resolution: Resolution, reported_at: jiff::Timestamp) -> io::Result<()> {
        let PendingSignIn { at, user, row_number, place, hour, decision, is_denied, is_learnable, is_recorded_failure, .. } = pending;
        self.is_selected = self.users.includes(user);
        if is_denied && matches!(resolution, Resolution::Failure | Resolution::PresumedSuccess) {
            self.count_denied();
            return Ok(());
        }
        match resolution {
            Resolution::Success | Resolution::PresumedSuccess => {
                self.counters.log.presumed += u64::from(resolution == Resolution::PresumedSuccess);
                let signals = &decision.score.signals;
                self.attacks.count_success(pool_key(&signals.evidence.sign_in.pool), signals);
                self.add_scored(&decision, "", row_number, place)?;
                if let Some(builder) = self.builder() {
                    builder.add_success(&decision, hour);
                }
                let (is_deny_verdict, proven) = (decision.verdict == Verdict::Deny, decision.action == Verdict::Challenge);
                let mut evidence = decision.score.signals.evidence;
                if self.table_builder.as_ref().is_some_and(TableBuilder::needs_evaluation_without_context) {
                    evidence.history.profile = self.histories.take_profile(user);
                    evidence = self.evaluate_without_context(evidence);
                    self.histories.put_profile(user, std::mem::take(&mut evidence.history.profile));
                }
                match () {
                    () if is_learnable && !is_deny_verdict => self.histories.record_late_success(user, &evidence, (hour, proven), reported_at),
                    () => {
                        self.histories.remove_failure(user, at);
                        self.histories.record_success_time(user, &evidence, reported_at);
                    }
                }
            }
            Resolution::Failure => {
                self.counters.failures += u64::from(self.is_selected);
                let evidence = &decision.score.signals.evidence;
                if let Some(builder) = self.builder() {
                    builder.add_failure(evidence, hour);
                }
                if !is_recorded_failure {
                    self.histories.record_failure(user, evidence);
                }
            }
            Resolution::Fraud => {
                self.add_scored(&decision, ReportedOutcome::Fraud.as_label(), row_number, place)?;
                self.histories.remove_failure(user, at);
            }
            Resolution::Ambiguous => {
                self.counters.log.ambiguous += 1;
                self.histories.clear_failures(user, reported_at);
            }
        }
        Ok(())
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
