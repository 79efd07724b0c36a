//! The integration tests: one binary, one file a topic.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a test fails by panicking, and reads the clock as its clients would")]

mod asking;
mod blocks;
mod claims;
mod context;
mod decision;
mod faults;
mod history;
mod hostile;
mod lambda;
mod learn;
mod networks;
mod privacy;
mod providers;
mod resilience;
mod runtime_api;
mod score;
mod shell;
mod sidecar;
mod stores;
mod story;
mod telemetry;
mod tidy;
mod tls;
mod wire;
