//! The HTTP sidecar and the dashboard.

pub mod dashboard;

mod problem;

pub mod sidecar;
