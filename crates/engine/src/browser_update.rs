//! Browser updates: a user agent that differs from one in the profile only by a higher version of the browser.
//!
//! A profile has hashes, not texts. So the texts that earlier versions of the same browser had are written and hashed like the text itself.
//! That is possible for browsers whose text has only the major version (Chrome, Edge, Opera and Firefox, since 2022) and for Safari. The text of
//! a browser that states its build, such as `CriOS/140.0.7339.39`, is a new user agent after each update.

use std::fmt::Write as _;

use crate::{
    features::{FeatureKey, FeatureLevel, Features},
    profile::Profile,
    sign_in::SignIn,
};

/// The products whose versions rise together.
const PRODUCTS: [&str; 8] = ["Chrome/", "Firefox/", "Gecko/", "rv:", "FxiOS/", "Edg/", "EdgA/", "OPR/"];

/// How many major versions back: two years of releases every four weeks.
const MAX_MAJOR_STEPS: u32 = 26;

/// The highest minor and patch versions of Safari.
const MAX_SAFARI_MINOR: u32 = 7;
const MAX_SAFARI_PATCH: u32 = 3;

/// The versions that Safari skipped: 26 follows 18.
const SAFARI_SKIPPED: (u32, u32) = (18, 26);

/// Whether the profile has the sign-in's user agent with an earlier version of the same browser, on the same operating system and device type, and
/// does not have it with this version. `key` is the one of the features.
pub fn is_browser_update(sign_in: &SignIn, features: &Features, profile: &Profile, key: &FeatureKey) -> bool {
    let Some(agent) = &sign_in.context.user_agent else { return false };
    let (Some(hash), Some(browser)) = (features.at(FeatureLevel::UserAgent), features.at(FeatureLevel::Browser)) else { return false };
    let is_seen = |level, hash| profile.entry(level, hash).is_some();
    if is_seen(FeatureLevel::UserAgent, hash) || !is_seen(FeatureLevel::Browser, browser) {
        return false;
    }
    let mut is_text_seen = |text: &str| is_seen(FeatureLevel::UserAgent, key.hash(FeatureLevel::UserAgent, browser, text.as_bytes()));
    let text = agent.text.expose();
    has_earlier_major(text, &mut is_text_seen) || has_earlier_safari(text, &mut is_text_seen)
}

/// Lowers the major versions of all products alike.
fn has_earlier_major(text: &str, is_seen: &mut impl FnMut(&str) -> bool) -> bool {
    let (mut parts, mut rest): (Vec<(&str, u32)>, &str) = (Vec::new(), text);
    while let Some((before, major, after)) = next_major(rest) {
        parts.push((before, major));
        rest = after;
    }
    let Some(lowest) = parts.iter().map(|(_, major)| *major).min() else { return false };
    let mut earlier = String::with_capacity(text.len());
    (1..=MAX_MAJOR_STEPS.min(lowest.saturating_sub(1))).any(|steps| {
        earlier.clear();
        for (before, major) in &parts {
            // Writing to a string cannot fail.
            let _ = write!(earlier, "{before}{}", major - steps);
        }
        earlier.push_str(rest);
        is_seen(&earlier)
    })
}

/// The text up to the next major version of a product whose other numbers are 0, that version, and the rest.
fn next_major(text: &str) -> Option<(&str, u32, &str)> {
    let mut starts: Vec<usize> = PRODUCTS.iter().flat_map(|product| text.match_indices(product).map(|(at, _)| at + product.len())).collect();
    starts.sort_unstable();
    starts.into_iter().find_map(|start| {
        let (major, after) = number(&text[start..])?;
        let zeros = after.trim_start_matches(".0");
        let is_major_only = zeros.len() < after.len() && !zeros.starts_with(|c: char| c == '.' || c.is_ascii_digit());
        is_major_only.then_some((&text[..start], major, after))
    })
}

/// Lowers Safari's version, and that of iOS where both have the same major and minor version. The patch of iOS is often missing in Safari's.
fn has_earlier_safari(text: &str, is_seen: &mut impl FnMut(&str) -> bool) -> bool {
    let Some((before, rest)) = text.split_once("Version/") else { return false };
    let Some((version, after)) = safari_version(rest, '.') else { return false };
    if !after.contains(" Safari/") || text.contains("Android") {
        return false;
    }
    let system = before.split_once("OS ").and_then(|(start, rest)| Some((start, safari_version(rest, '_')?)));
    let system = system.filter(|(_, (system, _))| (system.major, system.minor) == (version.major, version.minor));
    earlier_safari(version).any(|earlier| {
        let end = format!("Version/{}{after}", earlier.text('.'));
        is_seen(&format!("{before}{end}"))
            || system.is_some_and(|(start, (_, middle))| {
                let patches = if earlier.patch == 0 { 0..=MAX_SAFARI_PATCH } else { earlier.patch..=earlier.patch };
                patches.into_iter().any(|patch| is_seen(&format!("{start}OS {}{middle}{end}", SafariVersion { patch, ..earlier }.text('_'))))
            })
    })
}

/// A version of Safari or iOS. A patch of 0 is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SafariVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl SafariVersion {
    fn text(self, separator: char) -> String {
        match self {
            SafariVersion { major, minor, patch: 0 } => format!("{major}{separator}{minor}"),
            SafariVersion { major, minor, patch } => format!("{major}{separator}{minor}{separator}{patch}"),
        }
    }
}

/// The earlier versions of the same and of the previous major version.
fn earlier_safari(version: SafariVersion) -> impl Iterator<Item = SafariVersion> {
    let previous = if version.major == SAFARI_SKIPPED.1 { SAFARI_SKIPPED.0 } else { version.major.saturating_sub(1) };
    let minors = move |major| (0..=MAX_SAFARI_MINOR).flat_map(move |minor| (0..=MAX_SAFARI_PATCH).map(move |patch| SafariVersion { major, minor, patch }));
    minors(version.major).chain(minors(previous)).filter(move |earlier| *earlier < version)
}

/// A version of two or three numbers at the start of a text, and the rest.
fn safari_version(text: &str, separator: char) -> Option<(SafariVersion, &str)> {
    let (major, rest) = number(text)?;
    let (minor, rest) = number(rest.strip_prefix(separator)?)?;
    let (patch, rest) = match rest.strip_prefix(separator) {
        Some(rest) => number(rest)?,
        None => (0, rest),
    };
    (!rest.starts_with(separator)).then_some((SafariVersion { major, minor, patch }, rest))
}

/// The number at the start of a text, of at most three digits, and the rest.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if !(1..=3).contains(&end) {
        return None;
    }
    Some((text[..end].parse().ok()?, &text[end..]))
}
