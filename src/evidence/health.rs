//! What happens off the path, in atomics: read by `/metrics`, EMF and `/readyz`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::networks::Source;

/// Counters and states of what happens off the path.
#[derive(Debug, Default)]
pub struct Health {
    /// Faults in the configuration in force.
    pub config_faults: AtomicU64,
    /// mmdb files that could not be read when they changed; the old one stayed.
    pub networks_refused: AtomicU64,
    /// Records of the operator's mmdb files that could not be decoded; the bundled database answered instead.
    pub networks_undecodable: AtomicU64,
    /// When each database in force was built, seconds since 1970, by `Source`; 0 where there is none.
    pub networks_built: [AtomicU64; Source::ALL.len()],
    /// Stage panics that were turned into answers.
    pub panics: AtomicU64,
}

impl Health {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
