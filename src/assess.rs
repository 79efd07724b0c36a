//! The order of the stages, and nothing else: gather (waits), judge (does not).

use crate::{
    config::Config,
    decision::{Decision, Policy},
    evidence::Evidence,
    score::Model,
    signals::{Lists, Signals},
};

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
