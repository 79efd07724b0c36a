//! The order of the stages, and nothing else: gather (waits), judge (does not).

use std::time::Duration;

use smol_str::SmolStr;

use crate::{
    config::Config,
    decision::{Decision, Policy},
    evidence::Evidence,
    score::Model,
    signals::{Lists, Signals},
};

/// A decision with an id and the time it took.
#[derive(Debug)]
pub struct Assessment {
    /// A ULID: what a denied person quotes and the audit line is found by.
    pub id: SmolStr,
    /// The decision.
    pub decision: Decision,
    /// From the whole request read to the verdict.
    pub elapsed: Duration,
    /// What stages 3 to 5 took.
    pub judging: Duration,
    /// The date of the model's tables.
    pub model: SmolStr,
}

/// Stages 3 to 5: pure, and shared by the live gate and replay.
#[derive(Debug)]
pub struct Judge {
    lists: Lists,
    model: Model,
    policy: Policy,
}

impl Judge {
    /// The judge that a configuration describes.
    pub fn new(config: &Config) -> Self {
        Judge { lists: Lists::new(&config.decision), model: Model::bundled(&config.history), policy: Policy::new(config.decision.clone()) }
    }

    /// Judges the evidence of one sign-in.
    pub fn judge(&self, evidence: Evidence) -> Decision {
        self.policy.decide(self.model.score(Signals::read(evidence, &self.lists)))
    }

    /// The model in force.
    pub fn model(&self) -> &Model {
        &self.model
    }
}
