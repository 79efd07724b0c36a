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

mod desk;
#[cfg(feature = "redis")]
mod fleet;
mod minting;
mod processes;
#[cfg(feature = "redis")]
mod redis_replies;
#[cfg(feature = "secrets")]
mod secrets;
#[cfg(feature = "redis")]
mod store_start;
#[cfg(all(feature = "redis", feature = "dynamodb"))]
mod table;

#[cfg(any(feature = "redis", feature = "secrets"))]
#[allow(dead_code, reason = "shared with the other integration tests, which use the rest")]
#[path = "../it/asking.rs"]
mod asking;
#[cfg(any(feature = "redis", feature = "secrets"))]
#[allow(dead_code, reason = "shared with the other integration tests, which use the rest")]
#[path = "../it/process.rs"]
mod process;
#[cfg(any(feature = "redis", feature = "secrets"))]
#[allow(dead_code, reason = "shared with the other integration tests, which use the rest")]
#[path = "../it/runtime_api.rs"]
mod runtime_api;
#[cfg(any(feature = "redis", feature = "secrets"))]
#[allow(dead_code, clippy::wildcard_enum_match_arm, reason = "shared with the other integration tests, which use the rest")]
#[path = "../it/tls.rs"]
mod tls;
#[cfg(any(feature = "redis", feature = "secrets"))]
#[allow(dead_code, reason = "shared with the other integration tests, which use the rest")]
#[path = "../it/wire.rs"]
mod wire;

// The same tests as in `it`, there over the store in memory, here over real servers too.
#[path = "../it/blocks.rs"]
mod blocks;
#[path = "../it/claims.rs"]
mod claims;
#[path = "../it/history.rs"]
mod history;
#[path = "../it/learn.rs"]
mod learn;
#[path = "../it/learned.rs"]
mod learned;
#[path = "../it/stores.rs"]
mod stores;
#[path = "../it/story.rs"]
mod story;
