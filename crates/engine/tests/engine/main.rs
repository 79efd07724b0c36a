//! Tests of the engine through its public interface. Those that need private items stand beside them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod automation;
mod browser_update;
mod client_ip;
mod encoding;
mod placeholder;
mod profile;
mod refused_ip;
mod user_agent;
