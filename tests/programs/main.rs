//! Tests with other people's programs: redis-server, node, python3, openssl. `cargo test --features programs --test programs`.
//!
//! A program that is missing fails its test and is named; `.ci/run` installs all of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a test fails by panicking, and reads the clock as its clients would")]

mod minting;
