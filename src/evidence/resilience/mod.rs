//! What stands between the path and a service: deadline, cache, breaker, rescue.
//!
//! `guarded` stacks them; each is one file with one concern.

pub mod breaker;

pub mod cache;

pub mod deadline;

pub mod flight;

pub mod guarded;

pub mod rescue;

mod quota;

pub mod retry;

pub mod shared;

pub use self::{
    guarded::{Guarded, Surroundings},
    shared::Shared,
};

/// The face of riskgate that runs: how it logs, and what may be left for after the answer (invariant 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// The Lambda trigger: one sign-in at a time, frozen between two, so nothing may rely on work after the answer.
    Lambda,
    /// The HTTP sidecar: many sign-ins at once, in a process that goes on living.
    Sidecar,
    /// A command: one sign-in, then the process ends.
    Command,
}
