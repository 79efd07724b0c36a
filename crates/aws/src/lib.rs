//! AWS: credentials, signed calls, secrets in Secrets Manager and Parameter Store, e-mail through SES, queues and user pools.

#[cfg(feature = "aws")]
pub mod environment;

#[cfg(feature = "secrets")]
pub mod json_call;

#[cfg(feature = "secrets")]
pub mod secrets;

#[cfg(feature = "secrets")]
pub mod ses;

#[cfg(feature = "secrets")]
pub mod signer;

#[cfg(feature = "secrets")]
pub mod sqs;

#[cfg(feature = "secrets")]
pub mod user_pools;
