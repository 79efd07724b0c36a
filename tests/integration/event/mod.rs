//! What is read from events and contexts.

pub mod context;
pub mod hostile;
pub mod nonces;
pub mod stated_time;
