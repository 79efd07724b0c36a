//! Metrics, audit lines and logs. This crate reads finished assessments; the scoring crates do not depend on it.
//!
//! Each event is a struct in `events`. `Telemetry::emit` writes its log line and its metric
//! together. Telemetry does not delay a sign-in: a separate thread writes the lines. The sidecar never
//! waits for it. Lambda waits for it only after the answer is known, and at most until the sign-in's deadline.

use std::{
    cell::Cell,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    attack_line::AttackLine,
    audit::{AuditLine, Part},
    emf::{Emf, ResultCount},
    events::{ActionTaken, AttackReported, Event, InputIgnored, OutcomeReceived, StepUpChecked},
    labels::StepUpResult,
    live_stats::{LiveLine, LiveStats},
    metrics::{InFlight, Metrics},
    operator_action::OperatorAction,
    outcome::{Members, OutcomeLine, SignInOutcome},
    writer::LineWriter,
};
use riskgate_config::pseudonym::Pseudonyms;
use riskgate_config::{
    Config,
    env::ConfigError,
    telemetry::{Audit, Metrics as MetricsSetting},
};
use riskgate_engine::{ignored::IgnoredInput, sign_in::SignIn};
use riskgate_event::response::{Assessment, object::Object};
use riskgate_runtime::{deadline::Deadline, health::Health, mode::RuntimeMode, session_health::SessionEvent};

pub mod attack_line;

pub mod audit;

pub mod emf;

pub mod events;

mod false_positives;

pub mod labels;

pub mod latency;

pub mod live_stats;

pub mod metrics;

pub mod names;

pub mod operator_action;

pub mod outcome;

pub mod output;

pub mod prometheus;

pub mod subscriber;

pub mod writer;

/// Metrics, audit lines and the dashboard's data of one process.
#[derive(Debug)]
pub struct Telemetry {
    runtime_mode: RuntimeMode,
    health: Arc<Health>,
    pseudonyms: ArcSwap<Pseudonyms>,
    metrics: Option<Metrics>,
    emf: Option<Emf>,
    /// Whether the EMF block is part of the audit line.
    emf_is_audit: bool,
    audit: Option<LineWriter>,
    stdout: Option<LineWriter>,
    live_stats: OnceLock<Arc<LiveStats>>,
    started: Instant,
    /// For each `IgnoredInput`, the minute since `started`, counted from 1, of its last log line.
    ignored_logged_minutes: [AtomicU64; IgnoredInput::ALL.len()],
}

thread_local! {
    /// A buffer that is reused for each line.
    static LINE_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Telemetry {
    /// Opens the outputs that the configuration names.
    ///
    /// # Errors
    ///
    /// The audit file cannot be opened. Audit lines then go to standard output.
    pub fn open(config: &Config, runtime_mode: RuntimeMode, health: &Arc<Health>, pseudonyms: Arc<Pseudonyms>) -> (Self, Vec<ConfigError>) {
        let mut faults = Vec::new();
        let is_on = config.telemetry.metrics == MetricsSetting::On;
        let metrics = (is_on && runtime_mode == RuntimeMode::Sidecar).then(|| Metrics::new(config));
        let emf = (is_on && runtime_mode == RuntimeMode::Lambda).then(Emf::default);
        let mut audit = match &config.telemetry.audit {
            _ if runtime_mode == RuntimeMode::Command => None,
            Audit::Off => None,
            Audit::Stdout => Some(LineWriter::stdout()),
            Audit::File(path) => match LineWriter::append(path) {
                Ok(writer) => Some(writer),
                Err(error) => {
                    faults
                        .push(ConfigError { variable: "RISKGATE_AUDIT".to_owned(), problem: format!("cannot open the file for appending: {}", error.kind()) });
                    Some(LineWriter::stdout())
                }
            },
        };
        // CloudWatch reads EMF only from standard output. If audit lines go elsewhere, EMF gets its own line.
        let to_stdout = matches!(config.telemetry.audit, Audit::Stdout) || !faults.is_empty();
        let emf_is_audit = emf.is_some() && to_stdout;
        let stdout = match emf {
            Some(_) if to_stdout => audit.take(),
            Some(_) => Some(LineWriter::stdout()),
            None => None,
        };
        let (health, pseudonyms) = (Arc::clone(health), ArcSwap::from(pseudonyms));
        let (live_stats, started, ignored_logged_minutes) = (OnceLock::new(), Instant::now(), Default::default());
        (Telemetry { runtime_mode, health, pseudonyms, metrics, emf, emf_is_audit, audit, stdout, live_stats, started, ignored_logged_minutes }, faults)
    }

    /// Replaces the pseudonyms after a key rotation.
    pub fn replace_pseudonyms(&self, pseudonyms: Arc<Pseudonyms>) {
        self.pseudonyms.store(pseudonyms);
    }

    /// The dashboard's counters. They count sign-ins from the first call on.
    pub fn live_stats(&self) -> Arc<LiveStats> {
        Arc::clone(self.live_stats.get_or_init(Arc::default))
    }

    /// Records an assessed sign-in in metrics, audit line and dashboard.
    ///
    /// In Lambda it waits until the line is written or the deadline has passed. In the sidecar it returns immediately.
    pub async fn record_assessment(&self, assessment: &Assessment, deadline: Deadline) {
        if let Some(metrics) = &self.metrics {
            metrics.record_assessment(assessment);
        }
        let sign_in = &assessment.decision.score.signals.evidence.sign_in;
        if !sign_in.context.ignored.is_empty() {
            self.log_ignored(sign_in);
        }
        let mut line = LINE_BUFFER.take();
        let pseudonyms = self.pseudonyms.load();
        if self.audit.is_some() || self.live_stats.get().is_some() {
            let audit_line = AuditLine { assessment, pseudonyms: &pseudonyms, part: Part::Audit };
            if self.audit.is_some() {
                audit_line.write_to(&mut line);
            }
            if let Some(live_stats) = self.live_stats.get() {
                live_stats.count(assessment, || {
                    if self.audit.is_none() {
                        audit_line.write_to(&mut line);
                    }
                    let user = sign_in.user.key();
                    let (user, record_keys) =
                        if user.is_empty() { Default::default() } else { (pseudonyms.user(&sign_in.pool, user), pseudonyms.user_keys(&sign_in.pool, user)) };
                    LiveLine { text: String::from_utf8_lossy(&line).into(), user, record_keys }
                });
            }
            self.write(self.audit.as_ref(), &line, deadline).await;
        }
        if let Some(emf) = &self.emf {
            let block = emf.block(assessment, &self.health);
            let part = if self.emf_is_audit { Part::Both(block) } else { Part::Metrics(block) };
            AuditLine { assessment, pseudonyms: &pseudonyms, part }.write_to(&mut line);
            self.write(self.stdout.as_ref(), &line, deadline).await;
        }
        LINE_BUFFER.set(line);
    }

    /// Logs which inputs of a sign-in were ignored. Each kind is logged at most once a minute.
    fn log_ignored(&self, sign_in: &SignIn) {
        let minute = sign_in.received.mono.saturating_duration_since(self.started.into_std()).as_secs() / 60 + 1;
        for input in sign_in.context.ignored.iter() {
            if self.ignored_logged_minutes[input as usize].swap(minute, Ordering::Relaxed) != minute {
                self.emit(InputIgnored(input));
            }
        }
    }

    /// Records the outcome of a sign-in in metrics and in a separate line.
    ///
    /// In Lambda it waits until the line is written or the deadline has passed.
    pub async fn record_outcome(&self, outcome: &SignInOutcome<'_>, deadline: Deadline) {
        outcome.labels().for_each(|label| self.emit(OutcomeReceived(label)));
        if let (Some(live_stats), Some(id)) = (self.live_stats.get(), outcome.id) {
            live_stats.report(id, outcome.report);
        }
        let line = |members| OutcomeLine { outcome, pseudonyms: &self.pseudonyms.load(), members }.to_line();
        if self.audit.is_some() {
            self.write(self.audit.as_ref(), &line(Members::Audit), deadline).await;
        }
        if self.emf.is_some() {
            let members = if self.emf_is_audit { Members::Both } else { Members::Metrics };
            self.write(self.stdout.as_ref(), &line(members), deadline).await;
        }
    }

    /// Records an operator's action in a separate line.
    pub async fn record_action(&self, action: &OperatorAction<'_>, deadline: Deadline) {
        self.emit(ActionTaken { action: action.action, is_undo: action.undoes.is_some() });
        let writer = self.audit.as_ref().or(self.stdout.as_ref().filter(|_| self.emf_is_audit));
        self.write(writer, &action.to_line(), deadline).await;
    }

    /// Records what happened to an attack on a pool, in a separate line and in a log line.
    pub async fn record_attack(&self, attack: &AttackLine<'_>, deadline: Deadline) {
        self.emit(AttackReported(attack));
        let writer = self.audit.as_ref().or(self.stdout.as_ref().filter(|_| self.emf_is_audit));
        self.write(writer, &attack.to_line(), deadline).await;
    }

    /// Records that a token was checked for step-up, in metrics and in a log line.
    ///
    /// In Lambda it waits until the line of the metric is written or the deadline has passed. A token of a user without a challenge has no
    /// line: API traffic would fill the log.
    pub async fn record_step_up(&self, result: StepUpResult, time: Timestamp, deadline: Deadline) {
        self.emit(StepUpChecked(result));
        if self.emf.is_some() && result != StepUpResult::NotRequired {
            self.write_counts([ResultCount::step_up(result)], time, deadline).await;
        }
    }

    /// Writes lines of metrics for what happened to codes of challenges since the last call.
    ///
    /// In Lambda it waits until the lines are written or the deadline has passed. The sidecar's `/metrics` reads the counts itself.
    pub async fn record_challenge_codes(&self, time: Timestamp, deadline: Deadline) {
        if let Some(emf) = &self.emf {
            self.write_counts(emf.new_challenge_codes(&self.health.challenge), time, deadline).await;
        }
    }

    /// Records that the session of an assessed sign-in was judged, in a second line with the same id. It counts as no other decision.
    ///
    /// In Lambda it waits until the line is written or the deadline has passed.
    pub async fn record_session(&self, assessment: &Assessment, result: SessionEvent, deadline: Deadline) {
        let writer = self.audit.as_ref().or(self.stdout.as_ref().filter(|_| self.emf_is_audit));
        if writer.is_some() {
            let mut line = Vec::new();
            AuditLine { assessment, pseudonyms: &self.pseudonyms.load(), part: Part::Session(result) }.write_to(&mut line);
            self.write(writer, &line, deadline).await;
        }
    }

    /// Writes lines of metrics for what happened to look-ups of sessions since the last call.
    ///
    /// In Lambda it waits until the lines are written or the deadline has passed. The sidecar's `/metrics` reads the counts itself.
    pub async fn record_sessions(&self, time: Timestamp, deadline: Deadline) {
        if let Some(emf) = &self.emf {
            self.write_counts(emf.new_session_events(&self.health.sessions), time, deadline).await;
        }
    }

    /// Writes a line of metrics for each count.
    async fn write_counts(&self, counts: impl IntoIterator<Item = ResultCount>, time: Timestamp, deadline: Deadline) {
        let mut line = Vec::new();
        for count in counts {
            line.clear();
            Object::write(&mut line, |object| count.write_members(time, object));
            line.push(b'\n');
            self.write(self.stdout.as_ref(), &line, deadline).await;
        }
    }

    /// Writes an event's log line and updates its metric.
    pub fn emit(&self, event: impl Event) {
        event.log();
        if let Some(metrics) = &self.metrics {
            event.count(metrics);
        }
    }

    /// Renders the metrics in Prometheus' text format. `None` when metrics are off.
    pub fn render(&self) -> Option<String> {
        self.metrics.as_ref().map(|metrics| metrics.render(&self.health, self.lines_lost(), subscriber::lines_lost()))
    }

    /// Counts a sign-in as in flight until the returned guard is dropped.
    pub fn in_flight(&self) -> Option<InFlight> {
        self.metrics.as_ref().map(Metrics::in_flight)
    }

    /// Moves recorded samples into their buckets. Call it every few seconds: otherwise samples accumulate between two scrapes.
    pub fn upkeep(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.upkeep();
        }
    }

    /// Waits until every queued line is written, or the deadline has passed.
    pub async fn flush(&self, deadline: Deadline) {
        for writer in self.audit.iter().chain(&self.stdout) {
            writer.flush(deadline).await;
        }
        subscriber::flush(deadline).await;
    }

    /// Reopens the audit file after a log rotation.
    pub fn reopen(&self) {
        for writer in self.audit.iter().chain(&self.stdout) {
            writer.reopen();
        }
    }

    /// Whether the most recent audit lines could not be written.
    pub fn is_failing(&self) -> bool {
        self.audit.iter().chain(&self.stdout).any(LineWriter::is_failing)
    }

    /// The number of audit lines that could not be written.
    fn lines_lost(&self) -> u64 {
        self.audit.iter().chain(&self.stdout).map(LineWriter::lost).sum()
    }

    async fn write(&self, writer: Option<&LineWriter>, line: &[u8], deadline: Deadline) {
        match (writer, self.runtime_mode) {
            (Some(writer), RuntimeMode::Sidecar) => writer.write(line),
            (Some(writer), RuntimeMode::Lambda) => writer.write_by(line, deadline).await,
            (_, RuntimeMode::Command) | (None, _) => {}
        }
    }
}
