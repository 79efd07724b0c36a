//! riskgate decides, while a person is signing in, whether the sign-in may go on.
//!
//! # Layout
//!
//! ```text
//! bytes -> [event] SignIn -> [evidence] Evidence -> [signals] Signals -> [score] Score -> [decision] Decision -> [response] bytes
//! ```
//!
//! One module a stage, in this order, each owning the type before it. `assess` alone knows the
//! order; `learn` and `claims` are its siblings for the two later triggers. `telemetry` reads the
//! finished Assessment. `serve` and `commands` are the faces. Imports run from later modules to
//! earlier ones, never back.

pub mod config;

pub mod event;

pub mod evidence;

pub mod signals;

pub mod score;

pub mod decision;

pub mod response;

pub mod assess;

pub mod learn;

pub mod claims;

pub mod telemetry;

pub mod replay;

pub mod serve;

pub mod commands;
