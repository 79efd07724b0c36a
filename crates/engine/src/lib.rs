//! The scoring engine of riskgate: evidence about a sign-in goes in, a decision with its reasons comes out.
//!
//! ```text
//! SignIn -> Evidence -> Signals -> Score -> Decision
//! ```
//!
//! This crate is pure: no I/O, no clock, no `async`. The caller fills in an [`evidence::Evidence`] from its own sources and calls
//! [`evaluator::Evaluator::evaluate`]. The riskgate binary takes the evidence from a history store, network databases and risk
//! services. Its replay command takes the evidence from a log.
//!
//! - [`sign_in`] and [`context`]: who signs in, and what is claimed about the connection. `Debug` redacts personal values.
//! - [`evidence`]: the sign-in with the result of every look-up.
//! - [`signals`]: the facts that the model weighs, derived from the evidence.
//! - [`score`]: the model. It compares each value with the user's history as a log-likelihood ratio, mixes the ratios over types of
//!   attackers, and maps the sum to a calibrated score from 0 to 100.
//! - [`decision`]: lists, blocks, fallback and thresholds, in order of precedence.
//! - [`profile`]: what is stored about a user. [`profile::Profile::learn`] adds a sign-in that is known to be legitimate.
//!
//! `examples/score.rs` embeds the engine in sixty lines.

pub use riskgate_input::{automation, personal, placeholder, user_agent};

#[macro_use]
mod labels;

pub mod browser_update;

pub mod client_ip;

pub mod context;

pub mod decision;

pub mod encoding;

pub mod evaluator;

pub mod evidence;

pub mod features;

pub mod ignored;

pub mod network_facts;

pub mod network_source;

pub mod profile;

pub mod refused_ip;

pub mod score;

pub mod service;

pub mod settings;

pub mod sign_in;

pub mod signals;

pub mod time;

pub mod velocity;
