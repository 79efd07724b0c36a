//! A Cognito event, from its bytes to a verdict. Bytes that are no event never become a sign-in, and what is decided was read from an object.

use std::sync::LazyLock;

use riskgate_config::{Config, env::EnvSource};
use riskgate_engine::{
    evaluator::Evaluator,
    evidence::{Evidence, history::History},
    network_facts::NetworkFacts,
    personal::RawEvent,
    score::model::Model,
};
use riskgate_event::cognito::{self, Event};
use riskgate_runtime::clock;
use serde_json::value::RawValue;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let map = std::collections::BTreeMap::from([
        ("RISKGATE_CONTEXT_KEYS".to_owned(), "k1:HS256:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM".to_owned()),
        ("RISKGATE_TENANT_ATTRIBUTE".to_owned(), "custom:tenant".to_owned()),
        ("RISKGATE_DENY_CIDRS".to_owned(), "203.0.113.0/24".to_owned()),
    ]);
    Config::read(&map as &dyn EnvSource).0
});
static JUDGE: LazyLock<Evaluator> = LazyLock::new(|| Evaluator::new(&CONFIG.decision, Model::bundled(CONFIG.history.model_config())));

/// Runs one input.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(raw) = serde_json::from_slice::<Box<RawValue>>(bytes) else { return };
    let text = raw.get().to_owned();
    match cognito::parse(RawEvent::new(raw), clock::read(), &CONFIG.trust) {
        Ok(Event::PreAuthentication(sign_in)) => {
            assert!(text.starts_with('{'), "only an object is decided");
            assert_eq!(sign_in.raw.text(), text, "unchanged byte for byte");
            let decision = JUDGE.evaluate(Box::new(Evidence::after_panic(sign_in, NetworkFacts::default(), History::default())));
            assert!((0.0..=100.0).contains(&decision.score.value), "a score is 0 to 100");
        }
        Ok(Event::NotHandled(raw)) => assert_eq!(raw.text(), text),
        Ok(Event::PostAuthentication(_) | Event::PreTokenGeneration(_) | Event::AuthChallenge(_) | Event::Authorize(_) | Event::QueueBatch(_) | Event::Check) => {}
        // An error is printed, so it must not contain what was sent.
        Err(bad) => assert!(bad.to_string().len() < 300),
    }
}
