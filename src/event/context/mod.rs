//! The context of a sign-in: what is said of the connection, and how far it may be believed.

use smol_str::SmolStr;

use super::{ClientIp, IgnoredInput, IgnoredInputs, UserAgent, personal::Personal, placeholder, text::trimmed, user_agent};
use crate::config::decision::is_no_country;

mod ring;

pub mod signed;

pub use self::signed::{Audience, Claims, LONGEST_TOKEN, nonce_ttl, sign, verify};

/// Longest device id, language list or zone name that is read, in bytes; a longer one is cut.
const LONGEST: usize = 256;

/// What is said of the connection, and by whom. A missing claim is a value of its own, never zero.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// How far the claims may be believed.
    pub trust: Trust,
    /// The client's address.
    pub ip: ClientIp,
    /// The user agent, parsed.
    pub user_agent: Option<UserAgent>,
    /// An id that the app keeps on the device.
    pub device_id: Option<Personal<SmolStr>>,
    /// The `Accept-Language` header, as sent.
    pub accept_language: Option<Personal<SmolStr>>,
    /// The device's time zone, an IANA name such as `Europe/Oslo`.
    pub timezone: Option<Personal<SmolStr>>,
    /// Facts that a trusted caller states and that are not looked up again: ISO country and AS number.
    pub stated: Stated,
    /// The signed context's nonce (`jti`), by which a replay is told.
    pub nonce: Option<SmolStr>,
    /// What came with it and was left out.
    pub ignored: IgnoredInputs,
}

/// The claims of a context as text, before anything of them is read.
#[derive(Default)]
pub(super) struct Claimed<'a> {
    pub(super) ip: Option<&'a str>,
    pub(super) user_agent: Option<&'a str>,
    pub(super) device_id: Option<&'a str>,
    pub(super) accept_language: Option<&'a str>,
    pub(super) timezone: Option<&'a str>,
}

/// Facts stated by a trusted caller or by a row of a log.
#[derive(Debug, Default, Clone)]
pub struct Stated {
    /// The network is Tor's: a CDN's country code `T1`.
    pub tor: bool,
    /// ISO 3166-1 alpha-2 country.
    pub country: Option<Country>,
    /// Autonomous system number.
    pub asn: Option<u32>,
    /// Device type, operating system and browser, where the log has them apart from the agent.
    pub device_type: Option<super::user_agent::DeviceType>,
    /// Operating system family.
    pub os: Option<SmolStr>,
    /// Browser family.
    pub browser: Option<SmolStr>,
}

/// An ISO 3166-1 alpha-2 country code, upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

/// How far a context may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// A signature over it was verified.
    Signed,
    /// It came from a `TRUSTED_CLIENTS` client, or from the sidecar's caller.
    Trusted,
    /// The client says so itself: it may raise the score, never lower it (invariant 4).
    Unsigned,
    /// It carried a signature that does not hold; treated as unsigned and counted.
    Bad(BadContext),
    /// There is none.
    #[default]
    None,
}

/// Why a signed context was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadContext {
    /// Longer than 8 KiB; nothing of it is read.
    TooLarge,
    /// Not a compact JWS with one of our headers.
    Malformed,
    /// It says that it is not signed: `alg` is `none`.
    Unsecured,
    /// No key with its `kid`, or no key at all.
    UnknownKey,
    /// Another algorithm than the one pinned to the key.
    Algorithm,
    /// A shared-key algorithm for a public key, which everybody may know.
    KeyConfusion,
    /// The signature does not verify.
    Signature,
    /// Signed with a key in force, but the claims are not what they should be: the signer's own fault.
    Claims,
    /// Made for another pool or client.
    Audience,
    /// Made for another person.
    Subject,
    /// Older than `CONTEXT_MAX_AGE`.
    Expired,
    /// Dated in the future beyond the allowed skew.
    Future,
}

// === impl Context ===

impl Context {
    /// Reads claims, whoever made them. A value that means "not known" is left out and noted.
    pub(super) fn read(trust: Trust, claims: &Claimed<'_>) -> Self {
        let mut ignored = IgnoredInputs::default();
        let ip = claims.ip.map_or(ClientIp::Missing, ClientIp::parse);
        if let (Some(text), None) = (claims.ip, ip.any()) {
            ignored.insert_ip(text, ip);
        }
        let mut of = |input, text, is_unknown: fn(&str) -> bool| ignored.unless(input, text, is_unknown);
        let user_agent = of(IgnoredInput::UnknownUserAgent, claims.user_agent, placeholder::is_not_known);
        let device_id = of(IgnoredInput::UnknownDeviceId, claims.device_id, placeholder::is_shared_id);
        let accept_language = of(IgnoredInput::UnknownLanguage, claims.accept_language, placeholder::is_no_language);
        let timezone = of(IgnoredInput::UnknownTimezone, claims.timezone, placeholder::is_no_zone);
        for (input, text, longest) in [
            (IgnoredInput::LongUserAgent, user_agent, user_agent::LONGEST),
            (IgnoredInput::LongDeviceId, device_id, LONGEST),
            (IgnoredInput::LongLanguage, accept_language, LONGEST),
        ] {
            if text.is_some_and(|text| text.len() > longest) {
                ignored.insert(input);
            }
        }
        Context {
            trust,
            ip,
            user_agent: user_agent.and_then(UserAgent::parse),
            device_id: device_id.and_then(claim),
            accept_language: accept_language.and_then(claim),
            timezone: timezone.and_then(claim),
            stated: Stated::default(),
            nonce: None,
            ignored,
        }
    }

    /// Whether it says nothing of the connection.
    pub fn is_empty(&self) -> bool {
        self.ip == ClientIp::Missing && self.user_agent.is_none() && self.device_id.is_none() && self.accept_language.is_none() && self.timezone.is_none()
    }

    /// Whether claims may lower the score.
    pub fn is_believed(&self) -> bool {
        match self.trust {
            Trust::Signed | Trust::Trusted => true,
            Trust::Unsigned | Trust::Bad(_) | Trust::None => false,
        }
    }
}

// === impl Trust ===

impl Trust {
    /// The label of `riskgate_context_total{state}` and of the Assessment's `context`.
    pub fn as_label(self) -> &'static str {
        match self {
            Trust::Signed => "signed",
            Trust::Trusted => "trusted",
            Trust::Unsigned => "unsigned",
            Trust::Bad(_) => "bad",
            Trust::None => "none",
        }
    }

    /// Every label there is.
    pub const LABELS: [&'static str; 5] = ["signed", "trusted", "unsigned", "bad", "none"];
}

// === impl BadContext ===

impl BadContext {
    /// The label under which it is counted.
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

    /// Every label there is.
    pub const LABELS: [&'static str; 12] =
        ["too_large", "malformed", "alg_none", "unknown_key", "algorithm", "key_confusion", "signature", "claims", "audience", "subject", "expired", "future"];
}

// === impl Country ===

impl Country {
    /// Reads two ASCII letters of either case; anything else, and a code that names no country, is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => match [a.to_ascii_uppercase(), b.to_ascii_uppercase()] {
                code if is_no_country(code) => None,
                // Reserved for the United Kingdom, whose code is GB.
                [b'U', b'K'] => Some(Country(*b"GB")),
                code => Some(Country(code)),
            },
            _ => None,
        }
    }

    /// Whether a text is a code or word that programs write in place of a country: not known, no country, several countries.
    pub fn is_withheld(text: &str) -> bool {
        let text = text.trim();
        let code = match text.as_bytes() {
            [a, b] => [a.to_ascii_uppercase(), b.to_ascii_uppercase()],
            _ => return placeholder::is_not_known(text),
        };
        is_no_country(code) || matches!(&code, b"T1" | b"A1" | b"A2" | b"O1" | b"XX") || (code != *b"NA" && placeholder::is_not_known(text))
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a country is two ASCII letters")
    }
}

/// A claim's text, cut to 256 bytes at a character; `None` when it is empty.
pub(super) fn claim(text: &str) -> Option<Personal<SmolStr>> {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = trimmed(&text[..end]);
    (!text.is_empty()).then(|| Personal::new(text.into()))
}
