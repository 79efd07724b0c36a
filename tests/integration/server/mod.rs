//! The HTTP sidecar.

pub mod request_filter;
pub mod sidecar;
