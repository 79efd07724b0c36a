//! Reports whether the decisions of a block list could be read, in `/readyz` and in the log.

use std::sync::Arc;

use tokio::time::Instant;

use crate::log_limit::LogLimit;
use riskgate_engine::evidence::{Outcome, ProviderResult};
use riskgate_runtime::health::Health;

/// The status of a service whose answers are decisions.
#[derive(Debug)]
pub(crate) struct BlockListStatus {
    health: Arc<Health>,
    log_limit: LogLimit,
}

impl BlockListStatus {
    /// A status that is reported in `health`.
    pub(crate) fn new(health: Arc<Health>) -> Self {
        BlockListStatus { health, log_limit: LogLimit::new() }
    }

    /// Records whether decisions could be read. A failure is logged at most once a minute.
    pub(crate) fn report(&self, result: &ProviderResult, now: Instant) {
        if result.outcome == Outcome::NotCalled {
            return;
        }
        let cause = result.degraded();
        let age = result.outdated.map(|outdated| outdated.age);
        self.health.service(result.service).set_unread(cause, age);
        let Some(cause) = cause.filter(|_| self.log_limit.is_due(now)) else { return };
        let (service, cause) = (result.service.as_label(), cause.as_label());
        match age {
            Some(age) => {
                tracing::warn!(service, cause, age_s = age.as_secs(), "could not refresh the decisions; the last ones stay in force until they end");
            }
            None => tracing::warn!(service, cause, "could not read the decisions; none is in force"),
        }
    }
}
