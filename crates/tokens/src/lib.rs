//! Verification of the tokens of user pools: signature, issuer, client, expiry, and the authentication level that step-up needs.
//!
//! The signing keys of a pool are fetched once and cached (`key_cache`). Everything else is computed from the token.

mod claims;

mod error;

mod key_cache;

mod key_set;

mod verifier;

pub use crate::{
    claims::{Requirement, TokenUse, VerifiedToken},
    error::{Claim, TokenError},
    verifier::TokenVerifier,
};
