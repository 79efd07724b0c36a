//! AWS: credentials, signed calls, secrets in Secrets Manager and Parameter Store, and e-mail through SES.

#[cfg(feature = "aws")]
pub mod environment;

#[cfg(feature = "secrets")]
pub mod secrets;

#[cfg(feature = "secrets")]
pub mod ses;

#[cfg(feature = "secrets")]
pub mod signer;
