//! Why a token is refused.

use riskgate_engine::evidence::FailureReason;

/// Why a token is refused. Each cause has its own label in responses, logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request has no token.
    #[error("the request has no token; send it as Authorization: Bearer TOKEN")]
    Missing,
    /// It is longer than 16 KiB.
    #[error("the token is longer than 16 KiB")]
    TooLarge,
    /// It is not a signed JSON web token with the header of a user pool.
    #[error("the token is not a JSON web token of a user pool")]
    Malformed,
    /// `alg` is none.
    #[error("the token is not signed (alg none)")]
    Unsecured,
    /// `alg` is an HMAC, which would take the public key as its secret.
    #[error("the token is signed with an HMAC; user pools sign with RS256")]
    KeyConfusion,
    /// `alg` is another than RS256.
    #[error("the token is signed with another algorithm than RS256")]
    Algorithm,
    /// The issuer is not in `STEP_UP_POOLS`.
    #[error("the token is from another issuer; RISKGATE_STEP_UP_POOLS lists the accepted user pools")]
    Issuer,
    /// The pool has no signing key with this id.
    #[error("the user pool has no signing key with the token's kid")]
    UnknownKey,
    /// The pool lists several keys with this id.
    #[error("the user pool lists several signing keys with the token's kid")]
    AmbiguousKey,
    /// The key with this id is not an RSA key for signatures with RS256.
    #[error("the user pool's key with the token's kid is not an RSA key for RS256")]
    KeyType,
    /// The signing keys could not be fetched, and none are cached.
    #[error("the signing keys of the user pool could not be fetched ({})", .0.as_label())]
    KeysUnavailable(FailureReason),
    /// The signature is wrong.
    #[error("the signature of the token is wrong")]
    Signature,
    /// A claim is missing, or has another type than user pools give it.
    #[error("the token has no valid claim {}", .0.name())]
    MissingClaim(Claim),
    /// It is an ID token where an access token is needed, or neither of them.
    #[error("token_use is not accepted here; send an access token")]
    TokenUse,
    /// The client is not in `STEP_UP_CLIENTS`.
    #[error("the token is for another app client; RISKGATE_STEP_UP_CLIENTS lists the accepted ones")]
    Audience,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It was issued in the future.
    #[error("the token was issued in the future; check the clock of this machine")]
    NotYetValid,
    /// The authentication level is not one of the required ones.
    #[error("the authentication level (acr) is lower than required; RISKGATE_CHALLENGE_ACR_VALUES lists the sufficient ones")]
    Acr,
    /// The user authenticated before the challenge.
    #[error("the user authenticated (auth_time) before the challenge")]
    AuthTime,
    /// The token belongs to another user than the challenged one.
    #[error("the token belongs to another user")]
    User,
}

/// A claim that a token needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// `iss`.
    Issuer,
    /// `sub`.
    Subject,
    /// `token_use`.
    TokenUse,
    /// `client_id` of an access token, `aud` of an ID token.
    Client,
    /// `exp`.
    Expiry,
    /// `iat`.
    IssuedAt,
    /// `auth_time`.
    AuthTime,
    /// `acr`.
    Acr,
    /// `riskgate:level`, which the pre-token-generation trigger adds.
    RiskLevel,
    /// `riskgate:acr`, the sufficient levels after a challenged sign-in.
    RequiredAcr,
    /// `riskgate:step_up_after`, the time of the challenge.
    StepUpAfter,
}

impl TokenError {
    /// One value of each label.
    pub const ALL: [TokenError; 30] = [
        TokenError::Missing,
        TokenError::TooLarge,
        TokenError::Malformed,
        TokenError::Unsecured,
        TokenError::KeyConfusion,
        TokenError::Algorithm,
        TokenError::Issuer,
        TokenError::UnknownKey,
        TokenError::AmbiguousKey,
        TokenError::KeyType,
        TokenError::KeysUnavailable(FailureReason::Timeout),
        TokenError::Signature,
        TokenError::MissingClaim(Claim::Issuer),
        TokenError::MissingClaim(Claim::Subject),
        TokenError::MissingClaim(Claim::TokenUse),
        TokenError::MissingClaim(Claim::Client),
        TokenError::MissingClaim(Claim::Expiry),
        TokenError::MissingClaim(Claim::IssuedAt),
        TokenError::MissingClaim(Claim::AuthTime),
        TokenError::MissingClaim(Claim::Acr),
        TokenError::MissingClaim(Claim::RiskLevel),
        TokenError::MissingClaim(Claim::RequiredAcr),
        TokenError::MissingClaim(Claim::StepUpAfter),
        TokenError::TokenUse,
        TokenError::Audience,
        TokenError::Expired,
        TokenError::NotYetValid,
        TokenError::Acr,
        TokenError::AuthTime,
        TokenError::User,
    ];

    /// The label in responses, logs and metrics.
    pub fn as_label(self) -> &'static str {
        match self {
            TokenError::Missing => "no_token",
            TokenError::TooLarge => "too_large",
            TokenError::Malformed => "malformed",
            TokenError::Unsecured => "unsecured",
            TokenError::KeyConfusion => "key_confusion",
            TokenError::Algorithm => "algorithm",
            TokenError::Issuer => "issuer",
            TokenError::UnknownKey => "unknown_key",
            TokenError::AmbiguousKey => "ambiguous_key",
            TokenError::KeyType => "key_type",
            TokenError::KeysUnavailable(_) => "keys_unavailable",
            TokenError::Signature => "signature",
            TokenError::MissingClaim(claim) => claim.missing_label(),
            TokenError::TokenUse => "token_use",
            TokenError::Audience => "audience",
            TokenError::Expired => "expired",
            TokenError::NotYetValid => "not_yet_valid",
            TokenError::Acr => "acr",
            TokenError::AuthTime => "auth_time",
            TokenError::User => "person",
        }
    }

    /// Whether a stronger or newer authentication of the same user would be accepted: RFC 9470's `insufficient_user_authentication`.
    pub fn is_insufficient_authentication(self) -> bool {
        matches!(self, TokenError::Acr | TokenError::AuthTime | TokenError::MissingClaim(Claim::Acr | Claim::AuthTime))
    }
}

impl Claim {
    /// The name in a token, with the default prefix of riskgate's claims.
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    fn missing_label(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Claim::Issuer => ("iss", "missing_iss"),
            Claim::Subject => ("sub", "missing_sub"),
            Claim::TokenUse => ("token_use", "missing_token_use"),
            Claim::Client => ("client_id or aud", "missing_client"),
            Claim::Expiry => ("exp", "missing_exp"),
            Claim::IssuedAt => ("iat", "missing_iat"),
            Claim::AuthTime => ("auth_time", "missing_auth_time"),
            Claim::Acr => ("acr", "missing_acr"),
            Claim::RiskLevel => ("riskgate:level", "missing_level"),
            Claim::RequiredAcr => ("riskgate:acr", "missing_required_acr"),
            Claim::StepUpAfter => ("riskgate:step_up_after", "missing_step_up_after"),
        }
    }
}
