//! Risk services and what protects the path from them.

pub mod adapters;
pub mod resilience;
