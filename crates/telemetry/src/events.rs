//! Events, one struct each, named in the past tense. `Telemetry::emit` writes the log line and the metric together.
//!
//! No field may hold a personal value, because logs have many readers.

use crate::{
    attack_line::AttackLine,
    labels::{PassThrough, Refusal, StepUpResult},
    metrics::Metrics,
};
use riskgate_config::env::ConfigError;
use riskgate_engine::{evidence::FailureReason, ignored::IgnoredInput};
use riskgate_pool::AttackSummary;
use riskgate_runtime::mode::RuntimeMode;

/// An event that is logged and counted.
pub trait Event {
    /// Writes the log line.
    fn log(&self);

    /// Updates the metric, if the event has one.
    fn count(&self, _metrics: &Metrics) {}
}

/// The risk engine is ready to assess sign-ins.
#[derive(Debug)]
pub struct EngineStarted<'a> {
    /// How riskgate runs.
    pub runtime_mode: RuntimeMode,
    /// The date of the model's tables.
    pub model: &'a str,
    /// The configured services, in order.
    pub services: &'a [&'a str],
}

/// A variable is faulty, and its default is used.
#[derive(Debug)]
pub struct ConfigErrorFound<'a>(pub &'a ConfigError);

/// A secret could not be fetched. Its users have no secret, or continue with the previous value.
#[derive(Debug)]
pub struct SecretMissing {
    /// The variable that refers to it, without prefix.
    pub variable: &'static str,
    /// Why it could not be fetched.
    pub cause: FailureReason,
}

/// The new value of a secret is invalid, and the previous value stays in use.
#[derive(Debug)]
pub struct SecretRefused<'a>(pub &'a ConfigError);

/// Secrets were rotated, and the new values are in use.
#[derive(Debug)]
pub struct SecretsRotated;

/// A Lambda event was returned unchanged, without a decision.
#[derive(Debug)]
pub struct EventPassedThrough(pub PassThrough);

/// A token was refused, because an operator blocks the user, the client or the tenant.
#[derive(Debug)]
pub struct TokenRefused;

/// A token was checked for step-up.
#[derive(Debug)]
pub struct StepUpChecked(pub StepUpResult);

/// An input of a sign-in was ignored.
#[derive(Debug)]
pub struct InputIgnored(pub IgnoredInput);

/// An HTTP request was refused.
#[derive(Debug)]
pub struct RequestRefused(pub Refusal);

/// The outcome of a sign-in was received. The label is one of `OUTCOMES`.
#[derive(Debug)]
pub struct OutcomeReceived(pub &'static str);

/// An operator acted in the dashboard.
#[derive(Debug)]
pub struct ActionTaken {
    /// What was done.
    pub action: &'static str,
    /// Whether it undoes an earlier action.
    pub is_undo: bool,
}

/// The onset, a change or the end of an attack on a pool was reported.
#[derive(Debug)]
pub struct AttackReported<'a>(pub &'a AttackLine<'a>);

impl Event for AttackReported<'_> {
    fn log(&self) {
        let AttackLine { pool, event, attack, .. } = self.0;
        let AttackSummary { attempts, accounts, networks, let_in, .. } = *attack;
        let sources = attack.cells.join(", ");
        tracing::warn!(pool = *pool, event = *event, attempts, accounts, networks, let_in, sources, "an attack on the user pool");
    }
}

impl Event for EngineStarted<'_> {
    fn log(&self) {
        let services = self.services.join(",");
        tracing::info!(runtime_mode = ?self.runtime_mode, model = self.model, services, version = env!("CARGO_PKG_VERSION"), "ready to decide");
    }
}

impl Event for ConfigErrorFound<'_> {
    fn log(&self) {
        tracing::warn!(variable = self.0.variable, problem = self.0.problem, "a variable is faulty; its default is used");
    }
}

impl Event for SecretMissing {
    fn log(&self) {
        tracing::warn!(variable = self.variable, cause = self.cause.as_label(), "a secret could not be fetched");
    }
}

impl Event for SecretRefused<'_> {
    fn log(&self) {
        tracing::warn!(variable = self.0.variable, problem = self.0.problem, "the new value of a secret is invalid; the previous value stays in use");
    }
}

impl Event for SecretsRotated {
    fn log(&self) {
        tracing::info!("new secrets are in use");
    }
}

impl Event for EventPassedThrough {
    fn log(&self) {
        tracing::info!(cause = self.0.as_label(), "an event was returned without a decision");
    }

    fn count(&self, metrics: &Metrics) {
        metrics.record_pass_through(self.0);
    }
}

impl Event for StepUpChecked {
    fn log(&self) {
        let result = self.0.as_label();
        match self.0 {
            StepUpResult::NotRequired => tracing::debug!(result, "a token was checked for step-up"),
            StepUpResult::Passed | StepUpResult::Refused(_) | StepUpResult::UnknownAssessment | StepUpResult::StoreFailed => {
                tracing::info!(result, "a token was checked for step-up");
            }
        }
    }

    fn count(&self, metrics: &Metrics) {
        metrics.record_step_up(self.0);
    }
}

impl Event for TokenRefused {
    fn log(&self) {
        tracing::info!("a token was refused");
    }

    fn count(&self, metrics: &Metrics) {
        metrics.record_token_refusal();
    }
}

/// It has no metric: the input is counted with the sign-in, because this line is rate-limited.
impl Event for InputIgnored {
    fn log(&self) {
        tracing::warn!(input = self.0.input(), cause = self.0.cause(), "an input of a sign-in was ignored; lines of this kind are limited to one a minute");
    }
}

impl Event for RequestRefused {
    fn log(&self) {
        tracing::debug!(cause = self.0.as_label(), "a request was refused");
    }

    fn count(&self, metrics: &Metrics) {
        metrics.record_refusal(self.0);
    }
}

impl Event for ActionTaken {
    fn log(&self) {
        tracing::info!(action = self.action, undo = self.is_undo, "an operator acted");
    }
}

impl Event for OutcomeReceived {
    fn log(&self) {
        tracing::debug!(outcome = self.0, "an outcome was received");
    }

    fn count(&self, metrics: &Metrics) {
        metrics.record_outcome(self.0);
    }
}
