//! Verifies a token: header, issuer and signature first, then its claims.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Validation, errors::ErrorKind};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    claims::{TokenUse, VerifiedToken},
    error::{Claim, TokenError},
    key_cache::KeyCache,
};
use riskgate_config::step_up::{Issuer, StepUpConfig};
use riskgate_engine::time::ClockReading;
use riskgate_event::signed_context::{
    crypto,
    jose::{JoseHeader, decode_object},
};
use riskgate_http_client::Client;
use riskgate_runtime::{deadline::Deadline, health::Health};

/// The maximum length of a token in bytes. API Gateway accepts headers of 10 KiB in total.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Verifies tokens of the configured user pools.
#[derive(Debug)]
pub struct TokenVerifier {
    config: StepUpConfig,
    client: Client,
    pools: Vec<(Issuer, KeyCache)>,
}

impl TokenVerifier {
    /// A verifier without keys. They are fetched for the first token of each pool.
    pub fn new(config: &StepUpConfig, client: Client, health: &Arc<Health>) -> Self {
        crypto::install();
        let cache = |issuer: &Issuer| KeyCache::new(format!("{}/.well-known/jwks.json", issuer.url), Arc::clone(health));
        let pools = config.issuers.iter().map(|issuer| (issuer.clone(), cache(issuer))).collect();
        TokenVerifier { config: config.clone(), client, pools }
    }

    /// The settings that it was built with.
    pub fn config(&self) -> &StepUpConfig {
        &self.config
    }

    /// Verifies a token. Waits for the pool's signing keys until the deadline at most.
    ///
    /// # Errors
    ///
    /// The first check that fails. Claims other than the issuer are not read before the signature is verified.
    pub async fn verify(&self, token: &str, accepted: &[TokenUse], received: ClockReading, deadline: Deadline) -> Result<VerifiedToken, TokenError> {
        let kid = read_header(token)?;
        let issuer = read_issuer(token)?;
        let (issuer, keys) = self.pools.iter().find(|(known, _)| known.url == issuer).ok_or(TokenError::Issuer)?;
        let cached = keys.find(&self.client, &kid, received, deadline).await?;
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &cached.key, &signature_only()).map_err(|error| rejection(error.kind()))?.claims;
        let mut verified = VerifiedToken::check(claims, &issuer.pool, accepted, &self.config, received)?;
        verified.stale_keys = cached.stale;
        Ok(verified)
    }
}

/// The id of the key that signed a token. Its algorithm must be RS256.
fn read_header(token: &str) -> Result<String, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLarge);
    }
    let header: JoseHeader = part(token, 0).ok_or(TokenError::Malformed)?;
    match header.alg.as_str() {
        "RS256" => header.kid.filter(|kid| !kid.is_empty()).ok_or(TokenError::UnknownKey),
        none if none.eq_ignore_ascii_case("none") => Err(TokenError::Unsecured),
        hmac if hmac.starts_with("HS") => Err(TokenError::KeyConfusion),
        _ => Err(TokenError::Algorithm),
    }
}

/// The issuer as the token names it. It only selects the keys, so it may be read before the signature is verified.
fn read_issuer(token: &str) -> Result<String, TokenError> {
    let claims: Map<String, Value> = part(token, 1).ok_or(TokenError::Malformed)?;
    claims.get("iss").and_then(Value::as_str).map(str::to_owned).ok_or(TokenError::MissingClaim(Claim::Issuer))
}

/// One of the three parts of a token, as a JSON object.
fn part<T: DeserializeOwned>(token: &str, index: usize) -> Option<T> {
    let parts: Vec<&str> = token.split('.').collect();
    decode_object(parts.get(index).filter(|_| parts.len() == 3)?)
}

/// Checks the signature only. `VerifiedToken::check` reads the claims, with an error for each.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    validation
}

fn rejection(kind: &ErrorKind) -> TokenError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "an external enum that may grow; every other error is a malformed token")]
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        _ => TokenError::Malformed,
    }
}
