//! Everything that is asked about a sign-in, all at once, under one deadline.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Evidence, Features, History, Outcome, Waits, health::Health, history::Pseudonyms, networks::Networks, resilience::deadline::Deadline};
use crate::{
    config::{Config, env::Fault},
    event::SignIn,
};

/// The sources of evidence: network databases, the history store, outside services.
#[derive(Debug)]
pub struct Sources {
    pseudonyms: Arc<Pseudonyms>,
    health: Arc<Health>,
    networks: Networks,
}

impl Sources {
    /// Opens what the configuration names. Nothing is connected to yet.
    ///
    /// # Errors
    ///
    /// Faults found only when a file is opened; the bundled database stands in for a faulty one.
    pub fn open(config: &Config) -> (Self, Vec<Fault>) {
        let health = Arc::default();
        let (networks, faults) = Networks::open(&config.networks, &health);
        let pseudonyms = Arc::new(Pseudonyms::new(&config.history.pseudonym_keys));
        (Sources { pseudonyms, health, networks }, faults)
    }

    /// Gathers what can be known of a sign-in by the deadline. Never fails, never later than the deadline.
    pub async fn gather(&self, sign_in: SignIn, _deadline: Deadline) -> Evidence {
        let started = Instant::now();
        self.networks.look_if_due(started);
        let networks = self.networks.facts(&sign_in.context);
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
