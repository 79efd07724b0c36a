//! The user agent, parsed once: device type, operating system, browser, and what it gives away.

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::{Mutex, PoisonError},
};

use smol_str::SmolStr;
use woothee::parser::Parser;

use super::{automation, personal::Personal, placeholder};

/// Longest user agent that is read, in bytes; the rest is cut (F17).
pub(super) const LONGEST: usize = 512;

/// Agents that were read before, each in the one place that its hash names. Most sign-ins come with one of a few hundred, and
/// reading one costs more than all the rest of an event; a stranger's flood of odd ones costs what reading always costs.
static READ: [Mutex<Option<UserAgent>>; 512] = [const { Mutex::new(None) }; 512];

/// A parsed user agent.
#[derive(Debug, Clone)]
pub struct UserAgent {
    /// The text, cut to 512 bytes.
    pub text: Personal<SmolStr>,
    /// What kind of device it claims to be.
    pub device_type: DeviceType,
    /// Operating system family, "Windows 10", "iPhone", "Android"; `UNKNOWN` when the parser does not know.
    pub os: SmolStr,
    /// Browser family, "Chrome", "Safari"; `UNKNOWN` when the parser does not know.
    pub browser: SmolStr,
    /// What it gives away of itself.
    pub oddity: Oddity,
}

/// The kinds of device of the RBA data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceType {
    /// A phone.
    Mobile,
    /// A computer.
    Desktop,
    /// A tablet.
    Tablet,
    /// A program that says so.
    Bot,
    /// None of these.
    Unknown,
}

/// What a user agent gives away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// Nothing.
    None,
    /// It names a program, a library or a headless browser.
    Automation,
    /// No browser writes this: control characters, a template, or too short to name anything.
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

    /// Reads the RBA data set's spelling; anything else is `Unknown`.
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
    /// Parses a user agent; `None` for an empty one and for a word that means "not known".
    pub fn parse(text: &str) -> Option<Self> {
        let mut end = text.len().min(LONGEST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        if placeholder::is_not_known(text) {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        let place = usize::try_from(hasher.finish() % READ.len() as u64).expect("a place's number fits");
        // Whole agents are put in and taken out: a panic leaves nothing half-changed.
        let mut read = READ[place].lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some(known) if known.text.expose() == text => Some(known.clone()),
            Some(_) | None => Some(read.insert(Self::read(text)).clone()),
        }
    }

    fn read(text: &str) -> Self {
        let parsed = Parser::new().parse(text);
        let (device_type, os, browser) = match &parsed {
            Some(p) => (device_type(p.category, text), p.os, p.name),
            None => (DeviceType::Unknown, "UNKNOWN", "UNKNOWN"),
        };
        let oddity = oddity(text);
        UserAgent { text: Personal::new(text.into()), device_type, os: os.into(), browser: browser.into(), oddity }
    }
}

fn device_type(category: &str, text: &str) -> DeviceType {
    match category {
        // iPad and Android tablets are "smartphone" to the parser.
        "smartphone" if text.contains("iPad") || (text.contains("Android") && !text.contains("Mobile")) => DeviceType::Tablet,
        "smartphone" | "mobilephone" => DeviceType::Mobile,
        "pc" => DeviceType::Desktop,
        "crawler" => DeviceType::Bot,
        _ => DeviceType::Unknown,
    }
}

fn oddity(text: &str) -> Oddity {
    if automation::names_program(text) {
        Oddity::Automation
    } else if text.chars().any(|c| c.is_control() || c == '\u{fffd}') || text.contains("${") || is_too_short(text) {
        Oddity::Impossible
    } else {
        Oddity::None
    }
}

/// Whether a text is too short to name anything: less than a word of three letters, or a product with its version.
fn is_too_short(text: &str) -> bool {
    let is_product = text.split_once('/').is_some_and(|(name, version)| !name.is_empty() && version.starts_with(|c: char| c.is_ascii_digit()));
    text.len() < 8 && !is_product && (text.chars().filter(|c| c.is_alphabetic()).count() < 3 || text.eq_ignore_ascii_case("mozilla"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

    #[test]
    fn a_browser_is_read() {
        let ua = UserAgent::parse(CHROME).expect("a user agent");
        assert_eq!((ua.device_type, ua.os.as_str(), ua.browser.as_str(), ua.oddity), (DeviceType::Desktop, "Windows 10", "Chrome", Oddity::None));
    }

    #[test]
    fn programs_and_forgeries_are_told() {
        for (text, expected) in [
            ("python-requests/2.32", Oddity::Automation),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36", Oddity::Automation),
            ("${jndi:ldap://x}", Oddity::Impossible),
            ("Mozilla\u{0}/5.0 (Windows NT 10.0)", Oddity::Impossible),
            ("x", Oddity::Impossible),
        ] {
            assert_eq!(UserAgent::parse(text).expect("a user agent").oddity, expected, "{text}");
        }
    }

    #[test]
    fn long_ones_are_cut_at_a_character() {
        let ua = UserAgent::parse(&"é".repeat(40_000)).expect("a user agent");
        assert!(ua.text.expose().len() <= LONGEST);
        assert!(UserAgent::parse("  ").is_none());
    }
}
