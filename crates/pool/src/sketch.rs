//! The number of distinct hashes, estimated from the smallest ones (bottom-k).

use std::collections::BTreeSet;

/// The hashes that a sketch stores: the error is about a tenth.
pub const SKETCH_SIZE: usize = 128;

/// The smallest hashes of a set. Every hash of the set that is at most `limit` is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    pub(crate) hashes: BTreeSet<u32>,
    pub(crate) limit: u32,
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch { hashes: BTreeSet::new(), limit: u32::MAX }
    }
}

impl Sketch {
    /// Adds hashes of which those above `limit` are missing, because they were not sampled.
    pub fn add(&mut self, hashes: &BTreeSet<u32>, limit: u32) {
        self.hashes.extend(hashes);
        self.lower(limit);
    }

    /// Merges another sketch. The order of merges does not matter.
    pub fn merge(&mut self, other: &Sketch) {
        self.add(&other.hashes, other.limit);
    }

    fn lower(&mut self, limit: u32) {
        self.limit = self.limit.min(limit);
        self.hashes.retain(|hash| *hash <= self.limit);
        while self.hashes.len() > SKETCH_SIZE {
            self.hashes.pop_last();
            self.limit = self.hashes.last().copied().unwrap_or(self.limit);
        }
    }

    /// The estimated number of distinct hashes. Exact below [`SKETCH_SIZE`] if nothing was sampled.
    pub fn estimate(&self) -> u64 {
        let scale = f64::from(u32::MAX) / f64::from(self.limit.max(1));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "at most 2^32")]
        let estimate = (self.hashes.len() as f64 * scale).round() as u64;
        estimate
    }
}
