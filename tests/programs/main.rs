//! Tests with other people's programs: redis-server, moto_server, dynalite, node, python3, openssl. `cargo test --features programs --test programs`.
//!
//! A program that is missing fails its test and is named; `.ci/run` installs all of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::zombie_processes,
    reason = "a test fails by panicking, reads the clock as its clients would, prints what it measured, and ends its servers when they are dropped"
)]

#[cfg(all(feature = "redis", feature = "dynamodb"))]
mod activity;
mod admin;
#[cfg(feature = "redis")]
mod attacks;
#[cfg(feature = "redis")]
mod fleet;
mod processes;
#[cfg(feature = "redis")]
mod redis_replies;
#[cfg(feature = "secrets")]
mod secrets;
mod sign_context;
mod step_up;
#[cfg(feature = "redis")]
mod store_start;
#[cfg(all(feature = "redis", feature = "dynamodb"))]
mod table;

#[cfg(any(feature = "redis", feature = "secrets"))]
#[allow(dead_code, reason = "shared with the other integration tests, which use the rest")]
#[path = "../integration/support/harness.rs"]
mod harness;
#[allow(dead_code, reason = "shared with the other integration tests, which use the rest")]
#[path = "../integration/support/issuer.rs"]
mod issuer;
#[cfg(any(feature = "redis", feature = "secrets"))]
#[allow(dead_code, reason = "shared with the other integration tests, which use the rest")]
#[path = "../integration/support/process.rs"]
mod process;
#[cfg(any(feature = "redis", feature = "secrets"))]
#[allow(dead_code, reason = "shared with the other integration tests, which use the rest")]
#[path = "../integration/support/runtime_api.rs"]
mod runtime_api;
#[cfg(any(feature = "redis", feature = "secrets"))]
#[allow(dead_code, clippy::wildcard_enum_match_arm, reason = "shared with the other integration tests, which use the rest")]
#[path = "../integration/support/tls.rs"]
mod tls;
#[allow(dead_code, reason = "shared with the other integration tests, which use the rest")]
#[path = "../integration/support/wire.rs"]
mod wire;

// The same tests as in `it`, there over the store in memory, here over real servers too.
#[path = "../integration/history/blocks.rs"]
mod blocks;
#[path = "../integration/history/calibration.rs"]
mod calibration;
#[path = "../integration/history/challenges.rs"]
mod challenges;
#[path = "../integration/lambda/claims.rs"]
mod claims;
#[path = "../integration/history/end_to_end.rs"]
mod end_to_end;
#[path = "../integration/support/fixtures.rs"]
mod fixtures;
#[allow(dead_code, reason = "shared with the other integration tests, which use the rest")]
#[path = "../integration/history/interrupted.rs"]
mod interrupted;
#[path = "../integration/history/learning.rs"]
mod learning;
#[path = "../integration/engine/model_tables.rs"]
mod model_tables;
#[path = "../integration/history/outcome_reports.rs"]
mod outcome_reports;

#[path = "../integration/history/pool_attacks.rs"]
mod pool_attacks;
#[path = "../integration/history/profiles.rs"]
mod profiles;
