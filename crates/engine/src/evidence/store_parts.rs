//! The parts of the history that could not be read or written, and why. They are reported, because nothing may fail open silently.

use crate::evidence::FailureReason;

/// A part of the data that is read from or written to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorePart {
    /// The calls that are checked at start.
    Store,
    /// The user's record.
    Record,
    /// The list of blocked networks, devices, app clients and tenants.
    BlockList,
    /// The nonce of a signed context.
    Nonce,
    /// The counters of the address and its network.
    Velocity,
    /// The templates for decoy histories of unknown users.
    Templates,
    /// The decision, which is recorded for the later triggers.
    Decision,
    /// The update of the user's record after a successful sign-in or a reported outcome.
    Success,
    /// The record that an app client reports successes or requests tokens.
    ClientUse,
    /// The record that this process writes under its pseudonym key.
    KeyUse,
    /// Moving records from an older pseudonym key to the newest.
    KeyRotation,
    /// The shared cache of service answers, and the shared call counts.
    SharedCache,
    /// Adding a template for decoy histories.
    TemplateWrite,
    /// The codes of custom challenges, and how many were sent.
    Challenge,
    /// New records of names without a history, which are over the write budget.
    NewRecords,
    /// The state of the detector of attacks on the pool.
    AttackState,
    /// The counts of the pool, from which attacks are detected.
    PoolCounts,
    /// The decisions and outcomes for the dashboard.
    Activity,
    /// The scale of the pool.
    Calibration,
}

/// The parts other than the user's record that could not be read for one sign-in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnreadParts([Option<FailureReason>; StorePart::ALL.len()]);

labels!(StorePart, "The label in `degraded`, metrics, log lines and `/readyz`.", {
    Store "store"
    Record "history"
    BlockList "block_list"
    Nonce "nonce"
    Velocity "velocity"
    Templates "templates"
    Decision "decision"
    Success "success"
    ClientUse "client_use"
    KeyUse "key_use"
    KeyRotation "key_rotation"
    SharedCache "shared_cache"
    TemplateWrite "template_write"
    Challenge "challenge"
    NewRecords "new_records"
    AttackState "attack_state"
    PoolCounts "pool_counts"
    Activity "activity"
    Calibration "calibration"
});

impl UnreadParts {
    /// Sets why a part could not be read; `None` clears it.
    pub fn set(&mut self, part: StorePart, cause: Option<FailureReason>) {
        self.0[part as usize] = cause;
    }

    /// Why a part could not be read; `None` if it was read.
    pub fn cause(&self, part: StorePart) -> Option<FailureReason> {
        self.0[part as usize]
    }

    /// Every part that could not be read, with the reason.
    pub fn iter(&self) -> impl Iterator<Item = (StorePart, FailureReason)> + '_ {
        StorePart::ALL.into_iter().filter_map(|part| Some((part, self.cause(part)?)))
    }
}
