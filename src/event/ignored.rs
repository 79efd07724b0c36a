//! What a sign-in carried that was not used: counted and logged, so that a faulty caller shows itself.

use std::fmt;

use super::ClientIp;

/// An input that was left out, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum IgnoredInput {
    /// An address that is not written as one.
    MalformedIp,
    /// A word in place of an address.
    UnknownIp,
    /// Fewer forwarded addresses than `TRUSTED_PROXIES`.
    MissingForwardedIp,
    /// A word in place of a user agent.
    UnknownUserAgent,
    /// A device id that means "not known".
    UnknownDeviceId,
    /// A device id that many users share: it may be new to a person, but never speaks for them.
    SharedDeviceId,
    /// A word in place of a language list.
    UnknownLanguage,
    /// A word in place of a time zone.
    UnknownTimezone,
    /// A code in place of a country.
    UnknownCountry,
    /// A number or word in place of an AS number.
    UnknownAsn,
    /// A member of the metadata that is not text.
    MalformedMetadata,
    /// A user agent of which only the beginning is read.
    LongUserAgent,
    /// A device id of which only the beginning is read.
    LongDeviceId,
    /// A language list of which only the beginning is read.
    LongLanguage,
}

/// The inputs of one sign-in that were left out.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct IgnoredInputs(u16);

// === impl IgnoredInput ===

impl IgnoredInput {
    /// Every one.
    pub const ALL: [IgnoredInput; 14] = [
        IgnoredInput::MalformedIp,
        IgnoredInput::UnknownIp,
        IgnoredInput::MissingForwardedIp,
        IgnoredInput::UnknownUserAgent,
        IgnoredInput::UnknownDeviceId,
        IgnoredInput::SharedDeviceId,
        IgnoredInput::UnknownLanguage,
        IgnoredInput::UnknownTimezone,
        IgnoredInput::UnknownCountry,
        IgnoredInput::UnknownAsn,
        IgnoredInput::MalformedMetadata,
        IgnoredInput::LongUserAgent,
        IgnoredInput::LongDeviceId,
        IgnoredInput::LongLanguage,
    ];

    /// The input's name: the label `input`.
    pub fn input(self) -> &'static str {
        match self {
            IgnoredInput::MalformedIp | IgnoredInput::UnknownIp => "ip",
            IgnoredInput::MissingForwardedIp => "forwarded_ip",
            IgnoredInput::UnknownUserAgent | IgnoredInput::LongUserAgent => "user_agent",
            IgnoredInput::UnknownDeviceId | IgnoredInput::SharedDeviceId | IgnoredInput::LongDeviceId => "device_id",
            IgnoredInput::UnknownLanguage | IgnoredInput::LongLanguage => "accept_language",
            IgnoredInput::UnknownTimezone => "timezone",
            IgnoredInput::UnknownCountry => "country",
            IgnoredInput::UnknownAsn => "asn",
            IgnoredInput::MalformedMetadata => "metadata",
        }
    }

    /// Why it was left out: the label `cause`.
    pub fn cause(self) -> &'static str {
        match self {
            IgnoredInput::MalformedIp | IgnoredInput::MalformedMetadata => "malformed",
            IgnoredInput::MissingForwardedIp => "too_few_proxies",
            IgnoredInput::SharedDeviceId => "shared",
            IgnoredInput::LongUserAgent | IgnoredInput::LongDeviceId | IgnoredInput::LongLanguage => "too_long",
            IgnoredInput::UnknownIp
            | IgnoredInput::UnknownUserAgent
            | IgnoredInput::UnknownDeviceId
            | IgnoredInput::UnknownLanguage
            | IgnoredInput::UnknownTimezone
            | IgnoredInput::UnknownCountry
            | IgnoredInput::UnknownAsn => "not_known",
        }
    }
}

// === impl IgnoredInputs ===

impl IgnoredInputs {
    /// Adds one.
    pub fn insert(&mut self, input: IgnoredInput) {
        self.0 |= 1 << input as u8;
    }

    /// Whether an input was left out.
    pub fn contains(self, input: IgnoredInput) -> bool {
        self.0 & (1 << input as u8) != 0
    }

    /// Notes that `text` was not read as an address; an empty text is how many callers leave a field out.
    pub(super) fn insert_ip(&mut self, text: &str, ip: ClientIp) {
        if !text.trim().is_empty() {
            self.insert(if ip == ClientIp::Invalid { IgnoredInput::MalformedIp } else { IgnoredInput::UnknownIp });
        }
    }

    /// Whether nothing was left out.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many were left out.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Those that were left out.
    pub fn iter(self) -> impl Iterator<Item = IgnoredInput> {
        let all: &[IgnoredInput] = if self.is_empty() { &[] } else { &IgnoredInput::ALL };
        all.iter().copied().filter(move |input| self.contains(*input))
    }

    /// A value that was given, unless `is_unknown` says that it means "not known"; that is noted as `input`.
    pub(super) fn unless<'a>(&mut self, input: IgnoredInput, value: Option<&'a str>, is_unknown: impl Fn(&str) -> bool) -> Option<&'a str> {
        let value = value?;
        if !is_unknown(value) {
            return Some(value);
        }
        if !value.trim().is_empty() {
            self.insert(input);
        }
        None
    }
}

impl fmt::Debug for IgnoredInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
