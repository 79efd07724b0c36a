//! Evaluation of evidence: stages 3 to 5. Live sign-ins and replayed logs use the same code.

use crate::{
    decision::{Decision, policy::Policy},
    evidence::Evidence,
    score::{model::Model, scale::ScoreScale},
    settings::DecisionConfig,
    signals::{Signals, lists::Lists},
};

/// Turns evidence into a decision with the operator's lists, the model and the policy.
#[derive(Debug)]
pub struct Evaluator {
    lists: Lists,
    model: Model,
    policy: Policy,
}

impl Evaluator {
    /// An evaluator with the lists, thresholds and rules of a configuration.
    pub fn new(config: &DecisionConfig, model: Model) -> Self {
        let model = model.with_stop_threshold(config.lowest_stop_threshold());
        Evaluator { lists: Lists::new(config), model, policy: Policy::new(config.clone()) }
    }

    /// Evaluates the evidence of one sign-in.
    pub fn evaluate(&self, evidence: Box<Evidence>) -> Decision {
        self.evaluate_on_scale(evidence, None)
    }

    /// Evaluates the evidence of one sign-in on the scale of its pool.
    pub fn evaluate_on_scale(&self, evidence: Box<Evidence>, scale: Option<&dyn ScoreScale>) -> Decision {
        let score = self.model.score(Signals::read(evidence, &self.lists));
        self.policy.decide(match scale {
            Some(scale) => score.on_scale(scale, self.model.stop_threshold()),
            None => score,
        })
    }

    /// Decides a sign-in that cannot be scored: lists and blocks apply, then the fallback, where `local` denies.
    pub fn evaluate_without_score(&self, evidence: Box<Evidence>) -> Decision {
        self.policy.decide_without_score(self.model.unavailable_score(Signals::lists_only(evidence, &self.lists)))
    }

    /// The model in force.
    pub fn model(&self) -> &Model {
        &self.model
    }
}
