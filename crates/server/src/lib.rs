//! The HTTP sidecar and the dashboard.

pub mod dashboard;

pub mod sidecar;
