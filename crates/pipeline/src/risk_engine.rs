//! The order of the stages: enrich, which waits for I/O, then evaluate, which does not, then record the decision.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use smol_str::SmolStr;
use tokio::time::Instant;
use tracing::{Instrument, debug_span};
use ulid::{ULID_LEN, Ulid};

use crate::{
    enricher::{Enriched, Enricher},
    learn,
};
use riskgate_calibration::PoolScale;
use riskgate_config::{
    Config, encoding,
    history::{HistoryConfig, Learn},
};
use riskgate_engine::{
    decision::{Decision, Verdict},
    evaluator::Evaluator,
    evidence::{Evidence, history::History},
    network_facts::NetworkFacts,
    score::{
        model::{Model, ModelError, Tables},
        scale::ScoreScale,
    },
    sign_in::SignIn,
    time::ClockReading,
};
use riskgate_event::response::Assessment;
use riskgate_runtime::{catch_panic::catch_panic_sync, deadline::Deadline, health::Health};

/// The largest part of the budget that is reserved for evaluation and for recording the decision.
const MAX_RESERVE: Duration = Duration::from_millis(100);

/// Assesses sign-ins: the enricher and the evaluator under one deadline.
#[derive(Debug)]
pub struct RiskEngine {
    enricher: Enricher,
    evaluator: Evaluator,
    budget: Duration,
    /// Whether an allowed sign-in counts as a success at once.
    learn: Learn,
}

impl RiskEngine {
    /// Creates an engine from its parts.
    pub fn new(config: &Config, enricher: Enricher, evaluator: Evaluator) -> Self {
        RiskEngine { enricher, evaluator, budget: config.budget.total, learn: config.history.learn }
    }

    /// The deadline of a sign-in that was received at `received`: `received` plus the budget, or plus `limit` if that is less.
    pub fn deadline(&self, received: impl Into<Instant>, limit: Option<Duration>) -> Deadline {
        Deadline::after(received, limit.map_or(self.budget, |limit| limit.min(self.budget)))
    }

    /// Assesses a sign-in and records the decision for the triggers that follow.
    pub async fn assess(&self, sign_in: impl Into<Arc<SignIn>>, deadline: Deadline) -> Assessment {
        let mut sign_in = sign_in.into();
        self.health().sharing.observe(&mut sign_in);
        let started = sign_in.received.mono;
        let id = new_id(sign_in.received);
        let reserve = MAX_RESERVE.min(deadline.left(started.into()) / 10);
        // Pinned, because every layer that takes a future by value copies it.
        let enriched = pin!(self.enricher.enrich(sign_in, deadline.reserving(reserve)));
        let Enriched { evidence, attempt, scale } = enriched.instrument(debug_span!("enrich", %id)).await;
        let evaluation_start = Instant::now();
        let decision = debug_span!("evaluate", %id).in_scope(|| self.evaluate(evidence, scale.as_deref()));
        let evaluation = evaluation_start.elapsed();
        if attempt.is_some() {
            let is_success = self.learn == Learn::Allow && matches!(decision.action, Verdict::Allow | Verdict::Review);
            let _ = catch_panic_sync(self.health(), || self.enricher.pools().count_attempt(&decision, &self.enricher.pseudonyms(), is_success));
        }
        {
            let recorded = pin!(learn::record_decision(&self.enricher, attempt, &id, &decision, deadline.reserving(reserve / 4)));
            recorded.instrument(debug_span!("record_decision", %id)).await;
        }
        Assessment {
            id,
            decision,
            elapsed: Instant::now().into_std().saturating_duration_since(started),
            evaluation,
            model: self.evaluator.model().date().into(),
        }
    }

    /// Judges a sign-in whose session was found, under the id of its assessment. Nothing is recorded.
    pub fn judge_session(&self, id: &SmolStr, evidence: Box<Evidence>, scale: Option<&PoolScale>) -> Assessment {
        let (started, evaluation_start) = (evidence.sign_in.received.mono, Instant::now());
        let decision = self.evaluate(evidence, scale);
        Assessment {
            id: id.clone(),
            decision,
            elapsed: Instant::now().into_std().saturating_duration_since(started),
            evaluation: evaluation_start.elapsed(),
            model: self.evaluator.model().date().into(),
        }
    }

    /// The health counters and states.
    pub fn health(&self) -> &Health {
        self.enricher.health()
    }

    /// The current model.
    pub fn model(&self) -> &Model {
        self.evaluator.model()
    }

    /// The enricher, for the triggers that follow a sign-in.
    pub fn enricher(&self) -> &Enricher {
        &self.enricher
    }

    fn evaluate(&self, evidence: Box<Evidence>, scale: Option<&PoolScale>) -> Decision {
        let scale = scale.map(|scale| scale as &dyn ScoreScale);
        self.evaluate_with(evidence, |evidence| self.evaluator.evaluate_on_scale(evidence, scale))
    }

    /// Evaluates the evidence with `evaluator`. If it panics, the result is the fallback decision.
    fn evaluate_with(&self, evidence: Box<Evidence>, evaluator: impl FnOnce(Box<Evidence>) -> Decision) -> Decision {
        // Copied first, because a panic loses the evidence and the fallback needs these parts.
        let History { block, nonce, .. } = &evidence.history;
        let history = History { block: block.clone(), nonce: *nonce, ..History::default() };
        let sign_in = Arc::clone(&evidence.sign_in);
        let networks = NetworkFacts { country: evidence.networks.country, asn: evidence.networks.asn, ..NetworkFacts::default() };
        catch_unwind(AssertUnwindSafe(|| evaluator(evidence))).unwrap_or_else(|_| {
            Health::count(&self.enricher.health().panics);
            self.evaluator.evaluate_without_score(Box::new(Evidence::after_panic(sign_in, networks, history)))
        })
    }
}

/// Opens the model in the directory that `MODEL` names, or the bundled model if it names none.
///
/// # Errors
///
/// A table cannot be read or is invalid.
pub fn open_model(config: &HistoryConfig) -> Result<Model, ModelError> {
    match &config.model {
        None => Ok(Model::bundled(config.model_config())),
        Some(directory) => Ok(Model::new(&Tables::read(|name| std::fs::read(directory.join(name)).and_then(encoding::decode))?, config.model_config())?),
    }
}

/// Creates a ULID with the time of arrival.
pub fn new_id(received: ClockReading) -> SmolStr {
    let millis = u64::try_from(received.wall.as_millisecond()).unwrap_or_default();
    Ulid::from_parts(millis, rand::random()).array_to_str(&mut [0; ULID_LEN]).into()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::atomic::Ordering};

    use super::*;
    use riskgate_engine::client_ip::ClientIp;
    use riskgate_event::http;
    use riskgate_runtime::{clock, mode::RuntimeMode};
    use riskgate_store::memory::Memory;

    #[tokio::test]
    async fn a_panic_in_the_evaluator_uses_the_fallback_and_is_not_learned() {
        for runtime_mode in [RuntimeMode::Lambda, RuntimeMode::Sidecar] {
            for (fallback, verdict) in [("local", Verdict::Deny), ("deny", Verdict::Deny), ("allow", Verdict::Allow)] {
                let (config, faults) = Config::read(&BTreeMap::from([("RISKGATE_FALLBACK".to_owned(), fallback.to_owned())]));
                assert!(faults.is_empty(), "{faults:?}");
                let enricher = Enricher::open(&config, runtime_mode).0.with_store(&config, Arc::new(Memory::default()));
                let engine = RiskEngine::new(&config, enricher, Evaluator::new(&config.decision, Model::bundled(config.history.model_config())));
                let sign_in = http::parse(br#"{"user":"ada","ip":"8.8.8.8"}"#, ClientIp::Missing, clock::read()).expect("a sign-in");
                let deadline = engine.deadline(sign_in.received.mono, None);
                let Enriched { evidence, attempt, .. } = engine.enricher.enrich(sign_in, deadline).await;
                assert!(attempt.is_some(), "the attempt was recorded");
                let decision = engine.evaluate_with(evidence, |_| std::panic::panic_any("a bug"));
                assert_eq!((decision.verdict, engine.health().panics.load(Ordering::Relaxed)), (verdict, 1), "{runtime_mode:?} {fallback}");
                // A degraded decision is recorded as such: `learn` learns nothing from it and restricts tokens.
                assert!(decision.is_degraded());
            }
        }
    }
}
