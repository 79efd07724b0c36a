//! The triggers as Lambda runs them.

pub mod challenge;
pub mod claims;
#[cfg(all(feature = "programs", feature = "redis", feature = "secrets"))]
pub mod codes;
#[cfg(all(feature = "dynamodb", feature = "secrets"))]
pub mod credentials;
pub mod lambda_freeze;
pub mod matching;
pub mod monitor;
pub mod prewarm;
#[cfg(all(feature = "programs", feature = "redis", feature = "secrets"))]
pub mod sessions;
pub mod triggers;
