//! What riskgate says of itself: metrics, audit lines, logs. Reads the finished Assessment; nothing below knows of it.
//!
//! A happening is a struct in `events`; `Telemetry::emit` writes its log line and its metric
//! together. Nothing here can hold up a sign-in: lines are written by a thread of their own, and
//! the faces never wait for it past the sign-in's deadline, and Lambda's only when a sign-in has its answer.

use std::{
    cell::Cell,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use self::{
    audit::{AuditLine, Part},
    emf::Emf,
    events::{Event, InputIgnored, OutcomeHeard},
    metrics::{InFlight, Metrics},
    outcome::{Members, OutcomeLine, SignInOutcome},
    pulse::Pulse,
    writer::LineWriter,
};
use crate::{
    config::{
        Config,
        env::Fault,
        telemetry::{Audit, Metrics as MetricsSetting},
    },
    event::{IgnoredInput, SignIn},
    evidence::{Face, Sources, health::Health, history::Pseudonyms, resilience::deadline::Deadline},
    response::Assessment,
};

pub mod audit;

pub mod emf;

pub mod events;

pub mod labels;

pub mod latency;

pub mod metrics;

pub mod outcome;

mod output;

pub mod names;

pub mod prometheus;

pub mod pulse;

pub mod subscriber;

pub mod writer;

/// Metrics, audit lines and the page's feed of one process.
#[derive(Debug)]
pub struct Telemetry {
    face: Face,
    health: Arc<Health>,
    pseudonyms: ArcSwap<Pseudonyms>,
    metrics: Option<Metrics>,
    emf: Option<Emf>,
    /// Whether the line with the EMF block is the audit line too.
    emf_is_audit: bool,
    audit: Option<LineWriter>,
    stdout: Option<LineWriter>,
    pulse: OnceLock<Arc<Pulse>>,
    opened: Instant,
    /// By `IgnoredInput`: the minute after `opened`, from one on, in which a line was last written.
    ignored_logged: [AtomicU64; IgnoredInput::ALL.len()],
}

thread_local! {
    /// The memory in which lines are made, one after the other.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Telemetry {
    /// Opens what the configuration names.
    ///
    /// # Errors
    ///
    /// A fault when the audit file cannot be opened; audit lines then go to standard output.
    pub fn open(config: &Config, face: Face, sources: &Sources) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let on = config.telemetry.metrics == MetricsSetting::On;
        let metrics = (on && face == Face::Sidecar).then(|| Metrics::new(config));
        let emf = (on && face == Face::Lambda).then(Emf::default);
        let mut audit = match &config.telemetry.audit {
            _ if face == Face::Command => None,
            Audit::Off => None,
            Audit::Stdout => Some(LineWriter::stdout()),
            Audit::File(path) => match LineWriter::append(path) {
                Ok(writer) => Some(writer),
                Err(error) => {
                    faults.push(Fault { variable: "RISKGATE_AUDIT".to_owned(), problem: format!("cannot open the file to add to it: {}", error.kind()) });
                    Some(LineWriter::stdout())
                }
            },
        };
        // EMF is read from standard output alone: where audit lines go elsewhere, it gets a line of its own.
        let to_stdout = matches!(config.telemetry.audit, Audit::Stdout) || !faults.is_empty();
        let emf_is_audit = emf.is_some() && to_stdout;
        let stdout = match emf {
            Some(_) if to_stdout => audit.take(),
            Some(_) => Some(LineWriter::stdout()),
            None => None,
        };
        let (health, pseudonyms) = (Arc::clone(sources.health()), ArcSwap::from(sources.pseudonyms()));
        let (pulse, opened, ignored_logged) = (OnceLock::new(), Instant::now(), Default::default());
        (Telemetry { face, health, pseudonyms, metrics, emf, emf_is_audit, audit, stdout, pulse, opened, ignored_logged }, faults)
    }

    /// Takes up the pseudonyms in force after a key has changed.
    pub fn renew(&self, sources: &Sources) {
        self.pseudonyms.store(sources.pseudonyms());
    }

    /// What the page is fed with: counts of what is decided from the first call on.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(self.pulse.get_or_init(Arc::default))
    }

    /// Records a decided sign-in: metrics, audit line, page. In Lambda it ends when the line is out or the deadline has passed; in the sidecar at once.
    pub async fn assessed(&self, assessment: &Assessment, deadline: Deadline) {
        if let Some(metrics) = &self.metrics {
            metrics.assessed(assessment);
        }
        let sign_in = &assessment.decision.score.signals.evidence.sign_in;
        if !sign_in.context.ignored.is_empty() {
            self.log_ignored(sign_in);
        }
        let mut line = LINE.take();
        let pseudonyms = self.pseudonyms.load();
        if self.audit.is_some() || self.pulse.get().is_some() {
            let made = AuditLine { assessment, pseudonyms: &pseudonyms, part: Part::Audit };
            if self.audit.is_some() {
                made.write_to(&mut line);
            }
            if let Some(pulse) = self.pulse.get() {
                pulse.count(assessment, || {
                    if self.audit.is_none() {
                        made.write_to(&mut line);
                    }
                    String::from_utf8_lossy(&line).into()
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
        LINE.set(line);
    }

    /// Logs which parts of a sign-in were left out, each kind once a minute.
    fn log_ignored(&self, sign_in: &SignIn) {
        let minute = sign_in.received.mono.saturating_duration_since(self.opened).as_secs() / 60 + 1;
        for input in sign_in.context.ignored.iter() {
            if self.ignored_logged[input as usize].swap(minute, Ordering::Relaxed) != minute {
                self.emit(InputIgnored(input));
            }
        }
    }

    /// Records what became of a sign-in: counts and a line of its own. In Lambda it ends when the line is out or the deadline has passed.
    pub async fn heard(&self, outcome: &SignInOutcome<'_>, deadline: Deadline) {
        outcome.labels().for_each(|label| self.emit(OutcomeHeard(label)));
        let line = |members| OutcomeLine { outcome, pseudonyms: &self.pseudonyms.load(), members }.to_line();
        if self.audit.is_some() {
            self.write(self.audit.as_ref(), &line(Members::Audit), deadline).await;
        }
        if self.emf.is_some() {
            let members = if self.emf_is_audit { Members::Both } else { Members::Metrics };
            self.write(self.stdout.as_ref(), &line(members), deadline).await;
        }
    }

    /// Writes a happening's log line and counts it.
    pub fn emit(&self, event: impl Event) {
        event.log();
        if let Some(metrics) = &self.metrics {
            event.count(metrics);
        }
    }

    /// The metrics in Prometheus' text format; `None` when they are off.
    pub fn render(&self) -> Option<String> {
        self.metrics.as_ref().map(|metrics| metrics.render(&self.health, self.lines_lost(), subscriber::lines_lost()))
    }

    /// Counts a sign-in as in flight until what is returned is dropped.
    pub fn in_flight(&self) -> Option<InFlight> {
        self.metrics.as_ref().map(Metrics::in_flight)
    }

    /// Folds recorded samples into their buckets; without it they pile up between two scrapes. To be called every few seconds.
    pub fn upkeep(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.upkeep();
        }
    }

    /// Waits until every line handed over is out, or the deadline has passed.
    pub async fn flush(&self, deadline: Deadline) {
        for writer in self.audit.iter().chain(&self.stdout) {
            writer.flush(deadline).await;
        }
        subscriber::flush(deadline).await;
    }

    /// Opens the audit file again, as after a log rotation.
    pub fn reopen(&self) {
        for writer in self.audit.iter().chain(&self.stdout) {
            writer.reopen();
        }
    }

    /// Whether the last audit lines could not be written.
    pub fn is_failing(&self) -> bool {
        self.audit.iter().chain(&self.stdout).any(LineWriter::is_failing)
    }

    /// Lines that could not be written.
    fn lines_lost(&self) -> u64 {
        self.audit.iter().chain(&self.stdout).map(LineWriter::lost).sum()
    }

    async fn write(&self, writer: Option<&LineWriter>, line: &[u8], deadline: Deadline) {
        match (writer, self.face) {
            (Some(writer), Face::Sidecar) => writer.write(line),
            (Some(writer), Face::Lambda) => writer.write_by(line, deadline).await,
            (_, Face::Command) | (None, _) => {}
        }
    }
}
