//! The integration tests: one binary, one folder for each component.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, reads the clock as its clients would, and prints what it measured"
)]

mod commands;
mod engine;
mod event;
mod history;
mod lab;
mod lambda;
mod network;
mod project;
mod providers;
mod server;
mod support;
mod telemetry;
mod tokens;

use history::{challenges, interrupted, outcome_reports};
use lab::{replay, synth};
use project::{soak, threats};
use server::sidecar;
use support::{fixtures, harness, issuer, process, runtime_api, tls, wire};
