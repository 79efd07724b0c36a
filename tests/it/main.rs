//! The integration tests: one binary, one file a topic.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, reads the clock as its clients would, and prints what it measured"
)]

mod asking;
mod blocks;
mod claims;
mod comparison;
mod context;
#[cfg(all(feature = "dynamodb", feature = "secrets"))]
mod credentials;
mod decision;
mod enumeration;
mod familiarity;
mod faults;
mod forgetting;
mod freeze;
mod history;
mod hostile;
mod inputs;
mod interrupted;
mod lambda;
mod learn;
mod learned;
mod monitor;
mod networks;
mod nonces;
mod outcome_reports;
mod outcomes;
mod output;
mod privacy;
mod process;
mod providers;
mod replay;
mod resilience;
mod rotation;
mod runtime_api;
mod score;
mod shell;
mod sidecar;
mod signals;
mod silence;
mod soak;
mod stated_time;
mod store_failures;
mod stores;
mod story;
mod synth;
mod telemetry;
mod template;
mod threats;
mod tidy;
mod tls;
mod tuning;
mod velocity;
mod warm;
mod wire;
mod wrappers;
