//! The state of the detector of attacks on pools.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// The most severe state of the pools of this process, and when the states were read.
#[derive(Debug, Default)]
pub struct AttackHealth {
    state: AtomicU8,
    read_at: AtomicU64,
}

impl AttackHealth {
    /// Sets the most severe state (0 calm, 1 elevated, 2 under attack) and the oldest time at which a state was read, in seconds since 1970.
    pub fn set(&self, state: u8, read_at: i64) {
        self.state.store(state, Ordering::Relaxed);
        self.read_at.store(u64::try_from(read_at).unwrap_or_default(), Ordering::Relaxed);
    }

    /// The most severe state: 0 calm, 1 elevated, 2 under attack.
    pub fn state(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    /// When the states were read, in seconds since 1970; 0 before the first time.
    pub fn read_at(&self) -> u64 {
        self.read_at.load(Ordering::Relaxed)
    }
}
