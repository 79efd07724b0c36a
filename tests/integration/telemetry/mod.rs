//! Metrics, audit lines and logs.

pub mod log_redaction;
pub mod metrics;
pub mod output;
pub mod privacy;
