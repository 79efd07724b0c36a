//! Parsing of user agents: device type, operating system, browser, and anomalies.

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::{Mutex, PoisonError},
};

use smol_str::SmolStr;
use woothee::parser::Parser;

use crate::{automation, personal::Personal, placeholder};

/// The maximum length of a user agent in bytes. The rest is truncated.
pub const MAX_BYTES: usize = 512;

/// A direct-mapped cache of parsed user agents, indexed by hash. Most sign-ins have one of a few hundred user agents, and parsing one
/// costs more than the rest of an event. An attacker's distinct user agents can only cause cache misses.
static CACHE: [Mutex<Option<UserAgent>>; 512] = [const { Mutex::new(None) }; 512];

/// A parsed user agent.
#[derive(Debug, Clone)]
pub struct UserAgent {
    /// The text, truncated to 512 bytes.
    pub text: Personal<SmolStr>,
    /// The device type.
    pub device_type: DeviceType,
    /// The operating system family, such as "Windows 10" or "Android"; `UNKNOWN` if not recognised.
    pub os: SmolStr,
    /// The browser family, such as "Chrome"; `UNKNOWN` if not recognised.
    pub browser: SmolStr,
    /// The anomaly of the text, if any.
    pub anomaly: UserAgentAnomaly,
}

/// The device types of the RBA data set (Wiefling et al., 2022).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceType {
    /// A phone.
    Mobile,
    /// A computer.
    Desktop,
    /// A tablet.
    Tablet,
    /// A crawler.
    Bot,
    /// Any other device.
    Unknown,
}

/// An anomaly of a user agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserAgentAnomaly {
    /// No anomaly.
    None,
    /// It names a program, an HTTP library or a headless browser.
    Automation,
    /// No browser sends this text: it has control characters or a template, or is too short to name anything.
    Impossible,
}

impl DeviceType {
    /// The RBA data set's spelling.
    pub fn as_label(self) -> &'static str {
        match self {
            DeviceType::Mobile => "mobile",
            DeviceType::Desktop => "desktop",
            DeviceType::Tablet => "tablet",
            DeviceType::Bot => "bot",
            DeviceType::Unknown => "unknown",
        }
    }

    /// Parses the RBA data set's spelling; any other text is `Unknown`.
    pub fn from_label(label: &str) -> Self {
        match label {
            "mobile" => DeviceType::Mobile,
            "desktop" => DeviceType::Desktop,
            "tablet" => DeviceType::Tablet,
            "bot" => DeviceType::Bot,
            _ => DeviceType::Unknown,
        }
    }
}

impl UserAgent {
    /// Parses a user agent; `None` if it is empty or means "not known".
    pub fn parse(text: &str) -> Option<Self> {
        let text = &text[..text.floor_char_boundary(MAX_BYTES)];
        if placeholder::is_unknown(text) {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        let slot = usize::try_from(hasher.finish() % CACHE.len() as u64).expect("a slot's number fits");
        // Complete values are stored and cloned, so a panic cannot leave a partial one.
        let mut cached = CACHE[slot].lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some(known) if known.text.expose() == text => Some(known.clone()),
            Some(_) | None => Some(cached.insert(Self::parse_uncached(text)).clone()),
        }
    }

    fn parse_uncached(text: &str) -> Self {
        let parsed = Parser::new().parse(text);
        let (device_type, os, browser) = match &parsed {
            Some(p) => (device_type(p.category, text), p.os, p.name),
            None => (DeviceType::Unknown, "UNKNOWN", "UNKNOWN"),
        };
        // The parser's "misc crawler" is a guess from a part of a word, and true of some phones and apps.
        let is_crawler = device_type == DeviceType::Bot && browser != "misc crawler";
        let anomaly = if is_crawler { UserAgentAnomaly::Automation } else { anomaly(text) };
        UserAgent { text: Personal::new(text.into()), device_type, os: os.into(), browser: browser.into(), anomaly }
    }
}

fn device_type(category: &str, text: &str) -> DeviceType {
    match category {
        // The parser classifies iPads and Android tablets as "smartphone". Browsers on Android phones say "Mobile", apps do not.
        "smartphone" if ["iPad", "Tablet"].iter().any(|name| text.contains(name)) => DeviceType::Tablet,
        "smartphone" if text.starts_with("Mozilla/") && text.contains("Android") && !text.contains("Mobile") => DeviceType::Tablet,
        "smartphone" | "mobilephone" => DeviceType::Mobile,
        "pc" => DeviceType::Desktop,
        "crawler" => DeviceType::Bot,
        _ => DeviceType::Unknown,
    }
}

fn anomaly(text: &str) -> UserAgentAnomaly {
    if automation::is_automated(text) {
        UserAgentAnomaly::Automation
    } else if text.chars().any(|c| c.is_control() || c == '\u{fffd}') || text.contains("${") || is_too_short(text) {
        UserAgentAnomaly::Impossible
    } else {
        UserAgentAnomaly::None
    }
}

/// Whether a text is too short to name anything: it has neither a word of three letters nor a product with its version.
fn is_too_short(text: &str) -> bool {
    let is_product = text.split_once('/').is_some_and(|(name, version)| !name.is_empty() && version.starts_with(|c: char| c.is_ascii_digit()));
    text.len() < 8 && !is_product && (text.chars().filter(|c| c.is_alphabetic()).count() < 3 || text.eq_ignore_ascii_case("mozilla"))
}
