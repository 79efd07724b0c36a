//! The decision pipeline without a transport: enrichment under one deadline, evaluation, and what is learned afterwards.
//!
//! ```text
//! SignIn -> enricher -> Evidence -> evaluator -> Decision -> learn
//! ```
//!
//! `risk_engine` is the order of the stages. `instance` is what a process holds: configuration, engine and telemetry. The Lambda and
//! HTTP servers call into this crate and translate its answers.

pub mod activity_log;

pub mod authorizer;

pub mod challenge;

pub mod claims;

pub mod enricher;

pub mod instance;

pub mod keyed_resources;

pub mod learn;

pub mod pool_monitor;

pub mod risk_engine;

pub mod secrets;

pub mod session_batch;

pub mod session_queue;

pub mod sessions;

pub mod step_up;

pub mod triggers;
