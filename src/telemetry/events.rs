//! Happenings: one struct each, in the past tense. `Telemetry::emit` writes the log line and the metric together.
//!
//! No field may hold a personal value: what is logged here is read by many.

use super::{
    labels::{HandBack, Refusal},
    metrics::Metrics,
};
use crate::{
    config::env::Fault,
    event::IgnoredInput,
    evidence::{Cause, Face},
};

/// Something that happened.
pub trait Event {
    /// Its log line.
    fn log(&self);

    /// Its metric.
    fn count(&self, metrics: &Metrics);
}

/// The gate is ready to decide.
#[derive(Debug)]
pub struct GateStarted<'a> {
    /// Which face.
    pub face: Face,
    /// The date of the model's tables.
    pub model: &'a str,
    /// The services that are asked, in order.
    pub services: &'a [&'a str],
}

/// A variable is faulty and its default stands in.
#[derive(Debug)]
pub struct FaultFound<'a>(pub &'a Fault);

/// A secret that is kept elsewhere could not be had; what needs it does without, or goes on with the old one.
#[derive(Debug)]
pub struct SecretMissing {
    /// The variable that refers to it, without prefix.
    pub variable: &'static str,
    /// Why.
    pub cause: Cause,
}

/// A secret came whose value cannot be used; the old one stays.
#[derive(Debug)]
pub struct SecretRefused<'a>(pub &'a Fault);

/// Secrets have changed and are in force.
#[derive(Debug)]
pub struct SecretsRenewed;

/// An event went back as it came.
#[derive(Debug)]
pub struct EventHandedBack(pub HandBack);

/// A token was not made: an operator keeps the person, the client or the tenant out.
#[derive(Debug)]
pub struct TokenRefused;

/// Part of a sign-in was left out.
#[derive(Debug)]
pub struct InputIgnored(pub IgnoredInput);

/// An HTTP request was refused.
#[derive(Debug)]
pub struct RequestRefused(pub Refusal);

/// Something was heard of a sign-in after its decision; the label is one of `OUTCOMES`.
#[derive(Debug)]
pub struct OutcomeHeard(pub &'static str);

impl Event for GateStarted<'_> {
    fn log(&self) {
        tracing::info!(face = ?self.face, model = self.model, services = self.services.join(","), version = env!("CARGO_PKG_VERSION"), "ready to decide");
    }

    fn count(&self, _metrics: &Metrics) {}
}

impl Event for FaultFound<'_> {
    fn log(&self) {
        tracing::warn!(variable = self.0.variable, problem = self.0.problem, "a variable is faulty; its default stands in");
    }

    fn count(&self, _metrics: &Metrics) {}
}

impl Event for SecretMissing {
    fn log(&self) {
        tracing::warn!(variable = self.variable, cause = self.cause.as_label(), "a secret could not be had");
    }

    fn count(&self, _metrics: &Metrics) {}
}

impl Event for SecretRefused<'_> {
    fn log(&self) {
        tracing::warn!(variable = self.0.variable, problem = self.0.problem, "a new secret cannot be used; the old one stays");
    }

    fn count(&self, _metrics: &Metrics) {}
}

impl Event for SecretsRenewed {
    fn log(&self) {
        tracing::info!("new secrets are in force");
    }

    fn count(&self, _metrics: &Metrics) {}
}

impl Event for EventHandedBack {
    fn log(&self) {
        tracing::info!(cause = self.0.as_label(), "an event was handed back undecided");
    }

    fn count(&self, metrics: &Metrics) {
        metrics.handed_back(self.0);
    }
}

impl Event for TokenRefused {
    fn log(&self) {
        tracing::info!("a token was refused");
    }

    fn count(&self, metrics: &Metrics) {
        metrics.token_refused();
    }
}

impl Event for InputIgnored {
    fn log(&self) {
        tracing::warn!(input = self.0.input(), cause = self.0.cause(), "part of a sign-in was ignored; further lines of this kind are held back for a minute");
    }

    /// Counted with the sign-in: this line is held back at times.
    fn count(&self, _metrics: &Metrics) {}
}

impl Event for RequestRefused {
    fn log(&self) {
        tracing::debug!(cause = self.0.as_label(), "a request was refused");
    }

    fn count(&self, metrics: &Metrics) {
        metrics.refused(self.0);
    }
}

impl Event for OutcomeHeard {
    fn log(&self) {
        tracing::debug!(outcome = self.0, "an outcome was heard of");
    }

    fn count(&self, metrics: &Metrics) {
        metrics.outcome(self.0);
    }
}
