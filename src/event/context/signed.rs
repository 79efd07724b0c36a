//! The signed context: a compact JWS that the customer's backend or edge makes, and what is checked of it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    EncodingKey, Header,
    errors::{Error, ErrorKind},
};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{BadContext, Claimed, Context, Trust, ring};
use crate::{
    config::{context_key::ContextKey, trust::TrustConfig},
    event::{Now, Person},
};

/// The longest token that is looked at, in bytes; a longer one is refused before any work.
pub const LONGEST_TOKEN: usize = 8 * 1024;

/// How far the signer's clock and ours may stand apart.
pub const SKEW: Duration = Duration::from_secs(120);

/// How long a nonce is remembered: until no token that carries it can be valid.
///
/// A token is valid from `SKEW` before its `iat` to `SKEW` after its age. Two hosts that share a store may differ by as much again,
/// one fast where the token is first used, one slow where it is used later; so may the store's own clock.
pub fn nonce_ttl(max_age: Duration) -> Duration {
    max_age.saturating_add(SKEW * 4)
}

/// Lengths of a nonce: 16 characters hold 96 bits of base64url.
const NONCE_LENGTH: std::ops::RangeInclusive<usize> = 16..=64;

/// What a sign-in came through, and so whom its context must be made for.
#[derive(Debug, Clone, Copy)]
pub struct Audience<'a> {
    /// The user pool's id.
    pub pool: &'a str,
    /// The app client's id.
    pub client: &'a str,
}

/// The claims of a signed context. No others are allowed, and none twice.
#[derive(Serialize, Deserialize, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The user pool's id.
    pub aud: String,
    /// The app client's id.
    pub client_id: String,
    /// The person: `userName`, `sub`, `email`, `phone_number` or `preferred_username`, in any case. Without one the context is anybody's, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// When it was made, whole seconds since 1970.
    pub iat: i64,
    /// When it ends, if before `CONTEXT_MAX_AGE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// A nonce of 16 to 64 printable ASCII characters, never used twice.
    pub jti: String,
    /// The client's address, as the signer saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The `User-Agent` header.
    #[serde(default, rename = "userAgent", skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// An id that the app keeps on the device.
    #[serde(default, rename = "deviceId", skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The `Accept-Language` header.
    #[serde(default, rename = "acceptLanguage", skip_serializing_if = "Option::is_none")]
    pub accept_language: Option<String>,
    /// The device's time zone, an IANA name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// A token's header. Anything more, such as `crit`, `jwk` or `b64`, is refused before the library sees it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JoseHeader {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "typ")]
    _typ: Option<String>,
}

/// Checks a signed context against the sign-in that it came with.
///
/// # Errors
///
/// The first thing that does not hold. Nothing of the claims is read before the signature held.
pub fn verify(token: &str, person: &Person, audience: Audience<'_>, received: Now, config: &TrustConfig) -> Result<Context, BadContext> {
    let key = key_of(token, config)?;
    ring::install();
    let claims: Claims = jsonwebtoken::decode(token, &key.key, &key.validation).map_err(|error| refusal(&error))?.claims;
    claims.hold(person, audience, received, config.context_max_age)?;
    let claimed = Claimed {
        ip: claims.ip.as_deref(),
        user_agent: claims.user_agent.as_deref(),
        device_id: claims.device_id.as_deref(),
        accept_language: claims.accept_language.as_deref(),
        timezone: claims.timezone.as_deref(),
    };
    Ok(Context { nonce: Some(SmolStr::from(claims.jti)), ..Context::read(Trust::Signed, &claimed) })
}

/// Makes a signed context.
///
/// # Errors
///
/// A key that is not of the algorithm.
pub fn sign(claims: &Claims, kid: &str, algorithm: jsonwebtoken::Algorithm, key: &EncodingKey) -> Result<String, Error> {
    ring::install();
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key)
}

/// The key that a token names, which decides the algorithm; the token's own word for it only has to agree.
fn key_of<'a>(token: &str, config: &'a TrustConfig) -> Result<&'a ContextKey, BadContext> {
    if token.len() > LONGEST_TOKEN {
        return Err(BadContext::TooLarge);
    }
    let (header, _) = token.split_once('.').ok_or(BadContext::Malformed)?;
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| BadContext::Malformed)?;
    // An array would be read as an object without names.
    let is_object = header.trim_ascii_start().starts_with(b"{");
    let header: JoseHeader = serde_json::from_slice(&header).ok().filter(|_| is_object).ok_or(BadContext::Malformed)?;
    if header.alg.eq_ignore_ascii_case("none") {
        return Err(BadContext::Unsecured);
    }
    let kid = header.kid.ok_or(BadContext::UnknownKey)?;
    let key = config.context_keys.iter().find(|key| key.kid == kid).ok_or(BadContext::UnknownKey)?;
    let is_shared = |algorithm: &str| algorithm.starts_with("HS");
    match header.alg.as_str() {
        agreed if agreed == key.algorithm_name => Ok(key),
        other if is_shared(other) && !is_shared(key.algorithm_name) => Err(BadContext::KeyConfusion),
        _ => Err(BadContext::Algorithm),
    }
}

fn refusal(error: &Error) -> BadContext {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows: whatever else it says, it is no context")]
    match error.kind() {
        ErrorKind::InvalidSignature => BadContext::Signature,
        // The header has been read before, and claims are read once the signature held.
        ErrorKind::Json(_) | ErrorKind::Utf8(_) => BadContext::Claims,
        _ => BadContext::Malformed,
    }
}

impl Claims {
    fn hold(&self, person: &Person, audience: Audience<'_>, received: Now, max_age: Duration) -> Result<(), BadContext> {
        if !NONCE_LENGTH.contains(&self.jti.len()) || !self.jti.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadContext::Claims);
        }
        if self.aud != audience.pool || self.client_id != audience.client {
            return Err(BadContext::Audience);
        }
        if self.sub.as_deref().is_some_and(|sub| !is_named(person, sub)) {
            return Err(BadContext::Subject);
        }
        let now = received.wall.as_second();
        let skew = seconds(SKEW);
        if self.iat > now.saturating_add(skew) {
            return Err(BadContext::Future);
        }
        let ends = self.iat.saturating_add(seconds(max_age)).min(self.exp.unwrap_or(i64::MAX));
        if ends.saturating_add(skew) < now { Err(BadContext::Expired) } else { Ok(()) }
    }
}

/// Whether `name` is one of the person's. Pools hold names without regard to case unless told otherwise.
fn is_named(person: &Person, name: &str) -> bool {
    let lower = name.to_lowercase();
    let names = std::iter::once(&person.name).chain(&person.sub).chain(&person.aliases);
    !name.is_empty() && names.into_iter().any(|known| known.expose().to_lowercase() == lower)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
