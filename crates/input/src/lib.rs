//! What clients state about themselves, and personal values. Pure, and below the engine, which re-exports these modules.
//!
//! - [`user_agent`]: device type, operating system and browser of a user agent. [`automation`]: product names of programs.
//! - [`placeholder`]: texts that mean "not known".
//! - [`personal`]: values that `Debug` does not print.

pub mod automation;

pub mod personal;

pub mod placeholder;

pub mod user_agent;
