//! The HTTP sidecar.

pub mod dashboard;
pub mod request_filter;
pub mod sidecar;
