//! The order of the stages, and nothing else: gather (waits), judge (does not).

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
    config::{Config, encoding, history::HistoryConfig},
    decision::{Decision, Policy},
    event::{Now, SignIn},
    evidence::{Enriched, Evidence, History, NetworkFacts, Sources, health::Health, resilience::deadline::Deadline},
    learn,
    response::Assessment,
    score::{Model, ModelError, Tables},
    signals::{Lists, Signals},
};

/// The longest slice of the budget that is kept for judging and for recording the verdict.
const RESERVE: Duration = Duration::from_millis(100);

/// The gate: the sources of evidence and the judge, behind one deadline.
#[derive(Debug)]
pub struct Gate {
    sources: Sources,
    judge: Judge,
    budget: Duration,
}

/// Stages 3 to 5: pure, and shared by the live gate and replay.
#[derive(Debug)]
pub struct Judge {
    lists: Lists,
    model: Model,
    policy: Policy,
}

// === impl Gate ===

impl Gate {
    /// A gate from its parts.
    pub fn new(config: &Config, sources: Sources, judge: Judge) -> Self {
        Gate { sources, judge, budget: config.budget.total }
    }

    /// The deadline of a sign-in that was read at `received`: its budget, or `limit` if that is sooner.
    pub fn deadline(&self, received: Instant, limit: Option<Duration>) -> Deadline {
        Deadline::after(received, limit.map_or(self.budget, |limit| limit.min(self.budget)))
    }

    /// Assesses a sign-in: stages 2 to 5, and the verdict recorded for the triggers that follow.
    pub async fn assess(&self, sign_in: impl Into<Arc<SignIn>>, deadline: Deadline) -> Assessment {
        let mut sign_in = sign_in.into();
        self.health().sharing.observe(&mut sign_in);
        let started = sign_in.received.mono;
        let id = new_id(sign_in.received);
        let reserve = RESERVE.min(deadline.left(started) / 10);
        // Pinned where they stand: a future by value is copied whole at each layer that takes it.
        let gathered = pin!(self.sources.gather(sign_in, deadline.reserving(reserve)));
        let Enriched { evidence, attempt } = gathered.instrument(debug_span!("evidence", %id)).await;
        let gathered = Instant::now();
        let decision = debug_span!("judge", %id).in_scope(|| self.judge(evidence));
        let judging = gathered.elapsed();
        learn::conclude(&self.sources, attempt.as_deref(), &id, &decision, deadline.reserving(reserve / 4)).instrument(debug_span!("conclude", %id)).await;
        Assessment { id, decision, elapsed: started.elapsed(), judging, model: self.judge.model.date().into() }
    }

    /// What happens off the path.
    pub fn health(&self) -> &Health {
        self.sources.health()
    }

    /// The model in force.
    pub fn model(&self) -> &Model {
        self.judge.model()
    }

    /// The sources, for the triggers that follow a sign-in.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    fn judge(&self, evidence: Box<Evidence>) -> Decision {
        self.judge_by(evidence, |evidence| self.judge.judge(evidence))
    }

    /// Judges, and answers with the fallback when the judge panics (invariant 2).
    fn judge_by(&self, evidence: Box<Evidence>, judge: impl FnOnce(Box<Evidence>) -> Decision) -> Decision {
        // Shared: what the answer needs if the evidence is lost in a panic.
        let History { block, nonce, .. } = &evidence.history;
        let kept = History { block: block.clone(), nonce: *nonce, ..History::default() };
        let sign_in = Arc::clone(&evidence.sign_in);
        let networks = NetworkFacts { country: evidence.networks.country, asn: evidence.networks.asn, ..NetworkFacts::default() };
        catch_unwind(AssertUnwindSafe(|| judge(evidence))).unwrap_or_else(|_| {
            Health::count(&self.sources.health().panics);
            self.judge.without_score(Box::new(Evidence::after_panic(sign_in, networks, kept)))
        })
    }
}

// === impl Judge ===

impl Judge {
    /// The judge that a configuration describes.
    pub fn new(config: &Config, model: Model) -> Self {
        let model = model.denying_from(config.decision.lowest_denial());
        Judge { lists: Lists::new(&config.decision), model, policy: Policy::new(config.decision.clone()) }
    }

    /// Judges the evidence of one sign-in.
    pub fn judge(&self, evidence: Box<Evidence>) -> Decision {
        self.policy.decide(self.model.score(Signals::read(evidence, &self.lists)))
    }

    /// The verdict when no score can be had: lists and blocks hold, else the fallback, `local` being `deny`.
    fn without_score(&self, evidence: Box<Evidence>) -> Decision {
        self.policy.decide_without_score(self.model.unscored(Signals::bare(evidence, &self.lists)))
    }

    /// The model in force.
    pub fn model(&self) -> &Model {
        &self.model
    }
}

/// The model of `MODEL`'s directory, or the bundled one where none is named.
///
/// # Errors
///
/// Tables that cannot be read, or do not hold what they should.
pub fn open_model(config: &HistoryConfig) -> Result<Model, ModelError> {
    match &config.model {
        None => Ok(Model::bundled(config)),
        Some(directory) => Ok(Model::new(&Tables::read(|name| std::fs::read(directory.join(name)).and_then(encoding::text))?, config)?),
    }
}

/// A ULID of the moment of arrival.
pub(crate) fn new_id(received: Now) -> SmolStr {
    let millis = u64::try_from(received.wall.as_millisecond()).unwrap_or_default();
    Ulid::from_parts(millis, rand::random()).array_to_str(&mut [0; ULID_LEN]).into()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::atomic::Ordering};

    use super::*;
    use crate::{
        decision::Verdict,
        event::{ClientIp, http},
        evidence::{Face, history::memory::Memory},
        response::http::is_degraded,
    };

    #[tokio::test]
    async fn a_panic_of_the_judge_is_a_denial_that_teaches_nothing() {
        for face in [Face::Lambda, Face::Sidecar] {
            for (fallback, verdict) in [("local", Verdict::Deny), ("deny", Verdict::Deny), ("allow", Verdict::Allow)] {
                let (config, faults) = Config::read(&BTreeMap::from([("RISKGATE_FALLBACK".to_owned(), fallback.to_owned())]));
                assert!(faults.is_empty(), "{faults:?}");
                let sources = Sources::open(&config, face).0.with_store(&config, Arc::new(Memory::default()));
                let gate = Gate::new(&config, sources, Judge::new(&config, Model::bundled(&config.history)));
                let sign_in = http::parse(br#"{"user":"ada","ip":"8.8.8.8"}"#, ClientIp::Missing, Now::read()).expect("a sign-in");
                let deadline = gate.deadline(sign_in.received.mono, None);
                let Enriched { evidence, attempt } = gate.sources.gather(sign_in, deadline).await;
                assert!(attempt.is_some(), "the attempt was recorded");
                let decision = gate.judge_by(evidence, |_| std::panic::panic_any("a bug"));
                assert_eq!((decision.verdict, gate.health().panics.load(Ordering::Relaxed)), (verdict, 1), "{face:?} {fallback}");
                // Degraded, and recorded as such: `learn` learns nothing from it and holds tokens back.
                assert!(is_degraded(&decision));
            }
        }
    }
}
