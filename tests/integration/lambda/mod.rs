//! The triggers as Lambda runs them.

pub mod claims;
#[cfg(all(feature = "dynamodb", feature = "secrets"))]
pub mod credentials;
pub mod lambda_freeze;
pub mod monitor;
pub mod prewarm;
pub mod triggers;
