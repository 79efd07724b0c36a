//! The part of a pass for sign-ins whose outcome comes later: they wait, are matched with a report, or expire.

use std::io;

use super::{Pass, pool_key};
use crate::enrich::RowEnricher;
use crate::history::{AttemptRecording, Key};
use crate::pending::{OutcomeReporting, PendingSignIn, SuccessMatch};
use crate::rows::{LogRecord, RecordedDecision, RecordedOutcome};
use crate::tables::TableBuilder;
use riskgate_engine::decision::Verdict;
use riskgate_history::repository::{learning::Learned, outcome::ReportedOutcome};

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

impl Pass {
    /// Evaluates a sign-in with the history at its time, and stores it until its outcome is read.
    pub(super) fn add_pending(&mut self, record: &LogRecord<'_>, live: RecordedDecision<'_>, client: Key, user: Key, (row_number, place): (u64, (usize, u64))) {
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
    pub(super) fn process_outcome(&mut self, outcome: &RecordedOutcome<'_>) -> io::Result<()> {
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
    pub(super) fn expire_pending(&mut self, now: jiff::Timestamp) -> io::Result<()> {
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
    pub(super) fn resolve_without_outcome(&mut self, pending: PendingSignIn) -> io::Result<()> {
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
}
