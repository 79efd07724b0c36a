//! The signed context: a compact JWS that the operator's backend or edge issues, and its verification.

use std::time::Duration;

use jsonwebtoken::{
    EncodingKey, Header,
    errors::{Error, ErrorKind},
};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::signed_context::jose::JoseHeader;
use riskgate_config::{context_key::ContextKey, trust::TrustConfig};
use riskgate_engine::context::{BadContext, Context, RawClaims, Trust};
use riskgate_engine::{sign_in::User, time::ClockReading};

pub mod crypto;

pub mod jose;

/// The maximum length of a token in bytes. A longer one is rejected before it is parsed.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The allowed difference between the signer's clock and the local clock.
pub const SKEW: Duration = Duration::from_secs(120);

/// How long a nonce is stored: until no token with it can be valid.
///
/// A token is valid from `SKEW` before its `iat` to `SKEW` after its maximum age. The clocks of two hosts may differ by `SKEW`, fast
/// where the token is first used and slow where it is used again, and so may the store's clock.
pub fn nonce_ttl(max_age: Duration) -> Duration {
    max_age.saturating_add(SKEW * 4)
}

/// The allowed lengths of a nonce. 16 characters of base64url are 96 bits.
const NONCE_LENGTH: std::ops::RangeInclusive<usize> = 16..=64;

/// The pool and app client of a sign-in. Its context must be issued for them.
#[derive(Debug, Clone, Copy)]
pub struct Audience<'a> {
    /// The user pool's id.
    pub pool: &'a str,
    /// The app client's id.
    pub client: &'a str,
}

/// The claims of a signed context. Unknown and duplicate claims are rejected.
#[derive(Serialize, Deserialize, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The user pool's id.
    pub aud: String,
    /// The app client's id.
    pub client_id: String,
    /// The user: `userName`, `sub`, `email`, `phone_number` or `preferred_username`, in any case. If missing, the context is valid for any
    /// user, but only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// When it was issued, in seconds since 1970-01-01 UTC.
    pub iat: i64,
    /// When it expires, if earlier than by `CONTEXT_MAX_AGE`; in seconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// A unique nonce of 16 to 64 printable ASCII characters.
    pub jti: String,
    /// The client's address as the signer received it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The `User-Agent` header.
    #[serde(default, rename = "userAgent", skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// An id that the app stores on the device.
    #[serde(default, rename = "deviceId", skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The `Accept-Language` header.
    #[serde(default, rename = "acceptLanguage", skip_serializing_if = "Option::is_none")]
    pub accept_language: Option<String>,
    /// The device's time zone, an IANA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// Verifies a signed context for the sign-in that it came with.
///
/// # Errors
///
/// The first check that fails. Claims are not read before the signature is verified.
pub fn verify(token: &str, user: &User, audience: Audience<'_>, received: ClockReading, config: &TrustConfig) -> Result<Context, BadContext> {
    let key = find_key(token, config)?;
    crypto::install();
    let claims: Claims = jsonwebtoken::decode(token, &key.key, &key.validation).map_err(|error| rejection(&error))?.claims;
    claims.check(user, audience, received, config.context_max_age)?;
    let raw_claims = RawClaims {
        ip: claims.ip.as_deref(),
        user_agent: claims.user_agent.as_deref(),
        device_id: claims.device_id.as_deref(),
        accept_language: claims.accept_language.as_deref(),
        timezone: claims.timezone.as_deref(),
    };
    Ok(Context { nonce: Some(SmolStr::from(claims.jti)), ..Context::read(Trust::Signed, &raw_claims) })
}

/// Issues a signed context.
///
/// # Errors
///
/// The key does not fit the algorithm.
pub fn sign(claims: &Claims, kid: &str, algorithm: jsonwebtoken::Algorithm, key: &EncodingKey) -> Result<String, Error> {
    crypto::install();
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key)
}

/// The configured key with the token's `kid`. The key determines the algorithm, and the token's `alg` must be the same.
fn find_key<'a>(token: &str, config: &'a TrustConfig) -> Result<&'a ContextKey, BadContext> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(BadContext::TooLarge);
    }
    let (header, _) = token.split_once('.').ok_or(BadContext::Malformed)?;
    let header: JoseHeader = jose::decode_object(header).ok_or(BadContext::Malformed)?;
    if header.alg.eq_ignore_ascii_case("none") {
        return Err(BadContext::Unsecured);
    }
    let kid = header.kid.ok_or(BadContext::UnknownKey)?;
    let key = config.context_keys.iter().find(|key| key.kid == kid).ok_or(BadContext::UnknownKey)?;
    let is_shared = |algorithm: &str| algorithm.starts_with("HS");
    match header.alg.as_str() {
        algorithm if algorithm == key.algorithm_name => Ok(key),
        algorithm if is_shared(algorithm) && !is_shared(key.algorithm_name) => Err(BadContext::KeyConfusion),
        _ => Err(BadContext::Algorithm),
    }
}

fn rejection(error: &Error) -> BadContext {
    #[expect(clippy::wildcard_enum_match_arm, reason = "an external enum that may grow; every other error is a malformed token")]
    match error.kind() {
        ErrorKind::InvalidSignature => BadContext::Signature,
        // The header has already been parsed, and claims are parsed after the signature is verified.
        ErrorKind::Json(_) | ErrorKind::Utf8(_) => BadContext::Claims,
        _ => BadContext::Malformed,
    }
}

impl Claims {
    fn check(&self, user: &User, audience: Audience<'_>, received: ClockReading, max_age: Duration) -> Result<(), BadContext> {
        if !NONCE_LENGTH.contains(&self.jti.len()) || !self.jti.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadContext::Claims);
        }
        if self.aud != audience.pool || self.client_id != audience.client {
            return Err(BadContext::Audience);
        }
        if self.sub.as_deref().is_some_and(|sub| !has_name(user, sub)) {
            return Err(BadContext::Subject);
        }
        let now = received.wall.as_second();
        let skew = seconds(SKEW);
        if self.iat > now.saturating_add(skew) {
            return Err(BadContext::Future);
        }
        let expires = self.iat.saturating_add(seconds(max_age)).min(self.exp.unwrap_or(i64::MAX));
        if expires.saturating_add(skew) < now { Err(BadContext::Expired) } else { Ok(()) }
    }
}

/// Whether `name` is one of the user's names. The comparison ignores case, as user pools do by default.
fn has_name(user: &User, name: &str) -> bool {
    let lower = name.to_lowercase();
    let names = std::iter::once(&user.name).chain(&user.sub).chain(&user.aliases);
    !name.is_empty() && names.into_iter().any(|known| known.expose().to_lowercase() == lower)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
