//! The history of sign-ins: user records, attempts, velocity, the block list and learning.

pub mod attempt;

pub mod block_list;

pub mod decoy;

pub mod open;

pub mod repository;

pub mod write_budget;

pub use crate::{
    open::open,
    repository::{HistoryRepository, PendingAttempt},
};
