//! Everything that is asked about a sign-in, all at once, under one deadline.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Evidence, Features, History, NetworkFacts, Outcome, Waits, health::Health, history::Pseudonyms, resilience::deadline::Deadline};
use crate::{
    config::{Config, env::Fault},
    event::SignIn,
};

/// The sources of evidence: network databases, the history store, outside services.
#[derive(Debug)]
pub struct Sources {
    pseudonyms: Arc<Pseudonyms>,
    health: Arc<Health>,
}

impl Sources {
    /// Opens what the configuration names. Nothing is connected to yet.
    ///
    /// # Errors
    ///
    /// Faults found only when a file is opened; the bundled database stands in for a faulty one.
    pub fn open(config: &Config) -> (Self, Vec<Fault>) {
        let pseudonyms = Arc::new(Pseudonyms::new(&config.history.pseudonym_keys));
        (Sources { pseudonyms, health: Arc::default() }, Vec::new())
    }

    /// Gathers what can be known of a sign-in by the deadline. Never fails, never later than the deadline.
    pub async fn gather(&self, sign_in: SignIn, _deadline: Deadline) -> Evidence {
        let started = Instant::now();
        let networks = NetworkFacts::default();
        let features = Features::of(&sign_in, &networks, self.pseudonyms.feature_key());
        let took = Waits { networks: started.elapsed(), total: started.elapsed(), ..Waits::default() };
        let services = smallvec::SmallVec::new();
        Evidence { sign_in, networks, features, history: History::default(), history_outcome: Outcome::NotAsked, services, took }
    }

    /// What stands for people, networks and devices in what is kept and logged.
    pub fn pseudonyms(&self) -> &Arc<Pseudonyms> {
        &self.pseudonyms
    }

    /// What happens off the path.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}
