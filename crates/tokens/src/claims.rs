//! The claims of a verified token, and whether they meet a required authentication level.

use jiff::Timestamp;
use serde_json::{Map, Value};
use smol_str::SmolStr;

use crate::error::{Claim, TokenError};
use riskgate_config::step_up::StepUpConfig;
use riskgate_engine::{evidence::FailureReason, personal::Personal, time::ClockReading};

/// The allowed difference between the pool's clock and the local clock, in seconds.
const SKEW: i64 = 60;

/// The two kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    /// An access token, for APIs.
    Access,
    /// An ID token, for the app itself.
    Id,
}

/// A token whose signature, issuer, client and expiry were verified.
pub struct VerifiedToken {
    /// The user pool that issued it.
    pub pool: SmolStr,
    /// The app client that it was issued to.
    pub client: SmolStr,
    /// Its kind.
    pub token_use: TokenUse,
    /// The user's `sub`.
    pub sub: Personal<SmolStr>,
    /// The user's name: `username`, or `cognito:username` of an ID token.
    pub username: Option<Personal<SmolStr>>,
    /// Why the pool's signing keys could not be refreshed; `None` when they are fresh.
    pub stale_keys: Option<FailureReason>,
    claims: Map<String, Value>,
}

/// The authentication that lifts a restriction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The sufficient levels by the pool's own names, highest first.
    pub acr_values: Vec<String>,
    /// The time of the challenge, in seconds since 1970. The user must authenticate after it.
    pub after: i64,
}

impl TokenUse {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "access" => Some(TokenUse::Access),
            "id" => Some(TokenUse::Id),
            _ => None,
        }
    }

    /// The claim that names the client.
    fn client_claim(self) -> &'static str {
        match self {
            TokenUse::Access => "client_id",
            TokenUse::Id => "aud",
        }
    }
}

impl VerifiedToken {
    /// Checks the claims of a token with a right signature.
    pub(crate) fn check(
        claims: Map<String, Value>,
        pool: &SmolStr,
        accepted: &[TokenUse],
        config: &StepUpConfig,
        now: ClockReading,
    ) -> Result<Self, TokenError> {
        let token_use = text(&claims, "token_use").ok_or(TokenError::MissingClaim(Claim::TokenUse))?;
        let token_use = TokenUse::parse(token_use).filter(|token_use| accepted.contains(token_use)).ok_or(TokenError::TokenUse)?;
        let client = text(&claims, token_use.client_claim()).ok_or(TokenError::MissingClaim(Claim::Client))?;
        if !config.accepts_client(client) {
            return Err(TokenError::Audience);
        }
        let now = now.wall.as_second();
        let expires = number(&claims, "exp").ok_or(TokenError::MissingClaim(Claim::Expiry))?;
        if expires.saturating_add(SKEW) <= now {
            return Err(TokenError::Expired);
        }
        let issued = number(&claims, "iat").ok_or(TokenError::MissingClaim(Claim::IssuedAt))?;
        if issued.max(number(&claims, "nbf").unwrap_or(issued)) > now.saturating_add(SKEW) {
            return Err(TokenError::NotYetValid);
        }
        let sub = text(&claims, "sub").ok_or(TokenError::MissingClaim(Claim::Subject))?;
        let username = text(&claims, "username").or_else(|| text(&claims, "cognito:username"));
        Ok(VerifiedToken {
            pool: pool.clone(),
            client: client.into(),
            token_use,
            sub: Personal::new(sub.into()),
            username: username.map(|name| Personal::new(name.into())),
            stale_keys: None,
            claims,
        })
    }

    /// A claim that is a text and not empty.
    pub fn text_claim(&self, name: &str) -> Option<&str> {
        text(&self.claims, name)
    }

    /// When the user authenticated, if the token names it.
    pub fn auth_time(&self) -> Option<Timestamp> {
        Timestamp::from_second(number(&self.claims, "auth_time")?).ok()
    }

    /// The requirement that the pre-token-generation trigger wrote into the token; `None` when no challenge is open.
    ///
    /// # Errors
    ///
    /// One of the two claims of a challenge is missing. Without both, `riskgate:level` must show that the trigger wrote its claims.
    pub fn requirement(&self, claim_prefix: &str) -> Result<Option<Requirement>, TokenError> {
        let name = |name: &str| format!("{claim_prefix}{name}");
        let (acr, after) = (name("acr"), name("step_up_after"));
        if !self.claims.contains_key(&acr) && !self.claims.contains_key(&after) {
            return text(&self.claims, &name("level")).map(|_| None).ok_or(TokenError::MissingClaim(Claim::RiskLevel));
        }
        let acr_values = text(&self.claims, &acr).and_then(acr_values).ok_or(TokenError::MissingClaim(Claim::RequiredAcr))?;
        let after = number(&self.claims, &after).ok_or(TokenError::MissingClaim(Claim::StepUpAfter))?;
        Ok(Some(Requirement { acr_values, after }))
    }

    /// Checks that the user authenticated at a sufficient level after the challenge.
    ///
    /// Times are complete seconds. An authentication in the second of the challenge may have happened before it, so it is not accepted.
    ///
    /// # Errors
    ///
    /// The level or the time is missing or not sufficient.
    pub fn check_authentication(&self, requirement: &Requirement) -> Result<(), TokenError> {
        let acr = text(&self.claims, "acr").ok_or(TokenError::MissingClaim(Claim::Acr))?;
        let auth_time = number(&self.claims, "auth_time").ok_or(TokenError::MissingClaim(Claim::AuthTime))?;
        if !requirement.acr_values.iter().any(|sufficient| sufficient == acr) {
            return Err(TokenError::Acr);
        }
        if auth_time <= requirement.after { Err(TokenError::AuthTime) } else { Ok(()) }
    }
}

impl std::fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedToken").field("pool", &self.pool).field("token_use", &self.token_use).finish_non_exhaustive()
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The names of levels, separated by spaces; `None` when one could not stand in a `WWW-Authenticate` header.
fn acr_values(text: &str) -> Option<Vec<String>> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    text.split(' ').map(|name| is_name(name).then(|| name.to_owned())).collect()
}

/// A time in seconds since 1970. Claims that a trigger adds to an ID token of version 1 are texts.
fn number(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    match claims.get(name)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
