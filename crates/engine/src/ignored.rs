//! Inputs of a sign-in that were not used. They are counted and logged to make a faulty caller visible.

use std::fmt;

use crate::client_ip::ClientIp;

/// An input that was ignored, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum IgnoredInput {
    /// The address cannot be parsed.
    MalformedIp,
    /// A word for "not known" instead of an address.
    UnknownIp,
    /// Fewer forwarded addresses than `TRUSTED_PROXIES`.
    MissingForwardedIp,
    /// A word for "not known" instead of a user agent.
    UnknownUserAgent,
    /// A placeholder instead of a device id.
    UnknownDeviceId,
    /// A device id that many users share. It may be new to a user, but never lowers the score.
    SharedDeviceId,
    /// A word for "not known" instead of a language list.
    UnknownLanguage,
    /// A word for "not known" instead of a time zone, or a zone that does not exist.
    UnknownTimezone,
    /// A code that is not a country.
    UnknownCountry,
    /// A reserved number, or a word for "not known", instead of an AS number.
    UnknownAsn,
    /// A metadata value that is not a string.
    MalformedMetadata,
    /// A user agent longer than the limit. Only its beginning is read.
    LongUserAgent,
    /// A device id longer than the limit. Only its beginning is read.
    LongDeviceId,
    /// A language list longer than the limit. Only its beginning is read.
    LongLanguage,
}

/// The ignored inputs of one sign-in, a bit for each.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct IgnoredInputs(u16);

impl IgnoredInput {
    /// Every ignored input.
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

    /// The input's name: the metric label `input`.
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

    /// Why it was ignored: the metric label `cause`.
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

impl IgnoredInputs {
    /// Adds an ignored input.
    pub fn insert(&mut self, input: IgnoredInput) {
        self.0 |= 1 << input as u8;
    }

    /// Whether an input was ignored.
    pub fn contains(self, input: IgnoredInput) -> bool {
        self.0 & (1 << input as u8) != 0
    }

    /// Adds an address that could not be parsed. An empty text is not counted: many callers send it for a missing field.
    pub fn insert_unparsed_ip(&mut self, text: &str, ip: ClientIp) {
        if !text.trim().is_empty() {
            self.insert(if ip == ClientIp::Invalid { IgnoredInput::MalformedIp } else { IgnoredInput::UnknownIp });
        }
    }

    /// Whether no input was ignored.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The number of ignored inputs.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The ignored inputs.
    pub fn iter(self) -> impl Iterator<Item = IgnoredInput> {
        let all: &[IgnoredInput] = if self.is_empty() { &[] } else { &IgnoredInput::ALL };
        all.iter().copied().filter(move |input| self.contains(*input))
    }

    /// Returns the value unless `is_unknown` classifies it as "not known"; such a value is added as `input`.
    pub fn filter_unknown<'a>(&mut self, input: IgnoredInput, value: Option<&'a str>, is_unknown: impl Fn(&str) -> bool) -> Option<&'a str> {
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
