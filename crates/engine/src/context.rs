//! The context of a sign-in: claims about the connection, and how far they are trusted.

use smol_str::SmolStr;

use crate::{
    client_ip::ClientIp,
    ignored::{IgnoredInput, IgnoredInputs},
    personal::Personal,
    placeholder::{self, trimmed},
    user_agent::{self, UserAgent},
};

/// The maximum length of a device id, language list or time zone name in bytes. Longer ones are truncated.
const MAX_CLAIM_BYTES: usize = 256;

/// The claims about a connection, and how far they are trusted. `None` is a missing claim.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// How far the claims are trusted.
    pub trust: Trust,
    /// The client's address.
    pub ip: ClientIp,
    /// The user agent, parsed.
    pub user_agent: Option<UserAgent>,
    /// An id that the app stores on the device.
    pub device_id: Option<Personal<SmolStr>>,
    /// The `Accept-Language` header, as sent.
    pub accept_language: Option<Personal<SmolStr>>,
    /// The device's time zone, an IANA name such as `Europe/Oslo`.
    pub timezone: Option<Personal<SmolStr>>,
    /// Facts that a trusted caller asserts. They replace look-ups.
    pub asserted: AssertedFacts,
    /// The signed context's nonce (`jti`), which identifies replays.
    pub nonce: Option<SmolStr>,
    /// The inputs that came with the sign-in and were ignored.
    pub ignored: IgnoredInputs,
    /// What the user pool's session showed about the claims of the sign-in.
    pub session: SessionFindings,
}

/// What a session of the user pool shows. Only a verified context has findings.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SessionFindings {
    /// The claimed address was in another country or network than the session's address.
    pub contradiction: Option<Contradiction>,
    /// The speed in km/h at which the session moved since it was first seen.
    pub moved_kmh: Option<f64>,
}

/// Where the claimed address and the session's address differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// In the autonomous system only.
    Asn,
    /// In the country.
    Country,
}

/// The unparsed claims of a context.
#[derive(Default)]
pub struct RawClaims<'a> {
    /// The client's address.
    pub ip: Option<&'a str>,
    /// The user agent.
    pub user_agent: Option<&'a str>,
    /// The device id.
    pub device_id: Option<&'a str>,
    /// The `Accept-Language` header.
    pub accept_language: Option<&'a str>,
    /// The time zone's name.
    pub timezone: Option<&'a str>,
}

/// Facts asserted by a trusted caller or by a record of a replayed log.
#[derive(Debug, Default, Clone)]
pub struct AssertedFacts {
    /// The address is a Tor exit: a CDN reports the country code `T1`.
    pub tor: bool,
    /// The address's country.
    pub country: Option<Country>,
    /// The address's autonomous system number.
    pub asn: Option<u32>,
    /// Device type, for logs that have it in a separate column.
    pub device_type: Option<crate::user_agent::DeviceType>,
    /// Operating system family.
    pub os: Option<SmolStr>,
    /// Browser family.
    pub browser: Option<SmolStr>,
}

/// An ISO 3166-1 alpha-2 country code, upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

/// How a context was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Its signature was verified.
    Signed,
    /// It came from a `TRUSTED_CLIENTS` client, or from the sidecar's caller.
    Trusted,
    /// The user pool saw the address: it is that of a session.
    Verified,
    /// The client's own claims. They may raise the score, but never lower it.
    Unsigned,
    /// It has an invalid signature. Treated as unsigned, and counted.
    Bad(BadContext),
    /// There is no context.
    #[default]
    None,
}

/// Why a signed context was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadContext {
    /// The token is longer than 8 KiB and is not read.
    TooLarge,
    /// The token is not a compact JWS with an accepted header.
    Malformed,
    /// The token is not signed: `alg` is `none`.
    Unsecured,
    /// No configured key has the token's `kid`.
    UnknownKey,
    /// The algorithm is not the one configured for the key.
    Algorithm,
    /// A shared-key algorithm with a public key. Anyone may know a public key.
    KeyConfusion,
    /// The signature does not verify.
    Signature,
    /// The signature is valid, but the claims are malformed: an error of the signer.
    Claims,
    /// Issued for another pool or app client.
    Audience,
    /// Issued for another user.
    Subject,
    /// Expired: older than `CONTEXT_MAX_AGE`, or past its `exp`.
    Expired,
    /// Issued further in the future than the allowed clock skew.
    Future,
}

impl Context {
    /// Parses claims. A value that means "not known" is dropped and recorded in `ignored`.
    pub fn read(trust: Trust, claims: &RawClaims<'_>) -> Self {
        let mut ignored = IgnoredInputs::default();
        let ip = claims.ip.map_or(ClientIp::Missing, ClientIp::parse);
        if let (Some(text), None) = (claims.ip, ip.any()) {
            ignored.insert_unparsed_ip(text, ip);
        }
        let mut of = |input, text, is_unknown: fn(&str) -> bool| ignored.filter_unknown(input, text, is_unknown);
        let user_agent = of(IgnoredInput::UnknownUserAgent, claims.user_agent, placeholder::is_unknown);
        let device_id = of(IgnoredInput::UnknownDeviceId, claims.device_id, placeholder::is_shared_id);
        let accept_language = of(IgnoredInput::UnknownLanguage, claims.accept_language, placeholder::is_unknown_language);
        let timezone = of(IgnoredInput::UnknownTimezone, claims.timezone, placeholder::is_unknown_timezone);
        for (input, text, max_bytes) in [
            (IgnoredInput::LongUserAgent, user_agent, user_agent::MAX_BYTES),
            (IgnoredInput::LongDeviceId, device_id, MAX_CLAIM_BYTES),
            (IgnoredInput::LongLanguage, accept_language, MAX_CLAIM_BYTES),
        ] {
            if text.is_some_and(|text| text.len() > max_bytes) {
                ignored.insert(input);
            }
        }
        Context {
            trust,
            ip,
            user_agent: user_agent.and_then(UserAgent::parse),
            device_id: device_id.and_then(truncate_claim),
            accept_language: accept_language.and_then(truncate_claim),
            timezone: timezone.and_then(truncate_claim),
            asserted: AssertedFacts::default(),
            nonce: None,
            ignored,
            session: SessionFindings::default(),
        }
    }

    /// Whether there are no claims.
    pub fn is_empty(&self) -> bool {
        self.ip == ClientIp::Missing && self.user_agent.is_none() && self.device_id.is_none() && self.accept_language.is_none() && self.timezone.is_none()
    }

    /// Whether claims may lower the score, unless the nonce was used before.
    pub fn is_trusted(&self) -> bool {
        match self.trust {
            Trust::Signed | Trust::Trusted | Trust::Verified => true,
            Trust::Unsigned | Trust::Bad(_) | Trust::None => false,
        }
    }
}

impl Trust {
    /// The label of `riskgate_context_total{state}` and the Assessment's `context`.
    pub fn as_label(self) -> &'static str {
        match self {
            Trust::Signed => "signed",
            Trust::Trusted => "trusted",
            Trust::Verified => "verified",
            Trust::Unsigned => "unsigned",
            Trust::Bad(_) => "bad",
            Trust::None => "none",
        }
    }

    /// Every label.
    pub const LABELS: [&'static str; 6] = ["signed", "trusted", "verified", "unsigned", "bad", "none"];
}

impl BadContext {
    /// The metric label.
    pub fn as_label(self) -> &'static str {
        match self {
            BadContext::TooLarge => "too_large",
            BadContext::Malformed => "malformed",
            BadContext::Unsecured => "alg_none",
            BadContext::UnknownKey => "unknown_key",
            BadContext::Algorithm => "algorithm",
            BadContext::KeyConfusion => "key_confusion",
            BadContext::Signature => "signature",
            BadContext::Claims => "claims",
            BadContext::Audience => "audience",
            BadContext::Subject => "subject",
            BadContext::Expired => "expired",
            BadContext::Future => "future",
        }
    }

    /// Every label.
    pub const LABELS: [&'static str; 12] =
        ["too_large", "malformed", "alg_none", "unknown_key", "algorithm", "key_confusion", "signature", "claims", "audience", "subject", "expired", "future"];
}

impl Country {
    /// Parses two ASCII letters of either case. `None` for any other text and for codes that are not countries.
    pub fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => match [a.to_ascii_uppercase(), b.to_ascii_uppercase()] {
                code if is_unassigned_country(code) => None,
                // Reserved for the United Kingdom, whose code is GB.
                [b'U', b'K'] => Some(Country(*b"GB")),
                code => Some(Country(code)),
            },
            _ => None,
        }
    }

    /// Whether a text is a code or placeholder that programs use if there is no country: not known, no country, several countries.
    pub fn is_unknown(text: &str) -> bool {
        let text = text.trim();
        let code = match text.as_bytes() {
            [a, b] => [a.to_ascii_uppercase(), b.to_ascii_uppercase()],
            _ => return placeholder::is_unknown(text),
        };
        is_unassigned_country(code) || matches!(&code, b"T1" | b"A1" | b"A2" | b"O1" | b"XX") || (code != *b"NA" && placeholder::is_unknown(text))
    }

    /// The two upper-case letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a country is two ASCII letters")
    }
}

/// A claim, truncated to 256 bytes at a character boundary; `None` if it is empty.
fn truncate_claim(text: &str) -> Option<Personal<SmolStr>> {
    let text = trimmed(&text[..text.floor_char_boundary(MAX_CLAIM_BYTES)]);
    (!text.is_empty()).then(|| Personal::new(text.into()))
}

/// Whether two upper-case letters are not a country: the user-assigned codes of ISO 3166-1 except Kosovo's XK, and the regions
/// that network registries use.
pub fn is_unassigned_country([a, b]: [u8; 2]) -> bool {
    match (a, b) {
        (b'X', b'K') => false,
        (b'X', _) | (b'A', b'A' | b'P') | (b'Z', b'Z') | (b'E', b'U') | (b'Q', b'M'..=b'Z') => true,
        _ => false,
    }
}
