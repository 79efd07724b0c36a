//! AWS: credentials, signed calls, and secrets in Secrets Manager and Parameter Store.

#[cfg(feature = "aws")]
pub mod environment;

#[cfg(feature = "secrets")]
pub mod secrets;
