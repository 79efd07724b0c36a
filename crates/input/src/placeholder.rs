//! Placeholders: words, all-zero ids and ids of a device model, which programs send instead of an unknown value.
//!
//! A placeholder is treated as a missing field. Otherwise a value that thousands share would make an attacker look like the
//! account's owner.

/// The length of the longest text in `WORDS`, in bytes. Longer texts are not compared.
const MAX_WORD_BYTES: usize = 16;

/// Words for "not known" of frameworks, browsers and SDKs, in lower case.
const WORDS: &[&str] = &[
    "unknown",
    "unknown/unknown",
    "null",
    "(null)",
    "<null>",
    "nil",
    "<nil>",
    "none",
    "undefined",
    "n/a",
    "na",
    "nan",
    "not set",
    "(not set)",
    "notset",
    "not_set",
    "not known",
    "not available",
    "not_available",
    "unavailable",
    "unspecified",
    "undetermined",
    "no value",
    "empty",
    "(empty)",
    "(none)",
    "(unknown)",
    "missing",
    "invalid",
    "error",
    "default",
    "anonymous",
    "[object object]",
    "[object null]",
    "nobody",
    "redacted",
    "hidden",
];

/// The maximum length of an id that is compared with `SHARED_IDS`, in bytes.
const MAX_ID_BYTES: usize = 128;

/// Device ids that many devices report, in lower case without separators.
const SHARED_IDS: &[&str] = &[
    // The ANDROID_ID of one vendor's phones and of the emulator, and the emulator's serial numbers.
    "9774d56d682e549c",
    "dead00beef",
    "emulator5554",
    "goldfish",
    "012345678912345",
    "123456789012345",
    "0123456789abcdef",
    "123456789abcdef",
    // The MAC address that iOS and Android return instead of the real one.
    "020000000000",
    // Default serial numbers and UUIDs of mainboard vendors.
    "03000200040005000006000700080009",
    "0102030405060708090a0b0c0d0e0f10",
    "123456781234123412341234567890ab",
    "12345678123412341234123456789012",
    "12345678123412341234123456789abc",
    "tobefilledbyo.e.m.",
    "tobefilledbyoem",
    "defaultstring",
    "systemserialnumber",
    "notapplicable",
    // MD5, SHA-1 and SHA-256 of the empty string.
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    // A device type, a field name or a test value instead of an id.
    "android",
    "ios",
    "iphone",
    "ipad",
    "windows",
    "macos",
    "linux",
    "web",
    "webbrowser",
    "webclient",
    "browser",
    "deviceid",
    "yourdeviceid",
    "mydevice",
    "uuid",
    "guid",
    "string",
    "text",
    "true",
    "false",
    "test",
    "dummy",
    "example",
];

/// The texts of `WORDS` by length, as bit sets.
const WORDS_BY_LENGTH: [u64; MAX_WORD_BYTES + 1] = by_length(WORDS);

/// The texts of `WORDS` by first byte, as bit sets.
const WORDS_BY_FIRST: [u64; 32] = by_byte(WORDS, 0);

/// The texts of `SHARED_IDS` by each of the first three bytes, as bit sets. All have at least three bytes.
const IDS_BY_START: [[u64; 32]; 3] = [by_byte(SHARED_IDS, 0), by_byte(SHARED_IDS, 1), by_byte(SHARED_IDS, 2)];

/// Whether a text means "not known": it is blank, only punctuation, or one of `WORDS`.
pub fn is_unknown(text: &str) -> bool {
    let text = trimmed(text);
    if text.len() > MAX_WORD_BYTES {
        return false;
    }
    let Some(first) = text.bytes().next() else { return true };
    // This runs several times for each sign-in, so only words with the same length and first byte are compared.
    let candidates = WORDS_BY_LENGTH[text.len()] & WORDS_BY_FIRST[slot(first)];
    text.bytes().all(|byte| matches!(byte, b'-' | b'_' | b'?' | b'.' | b'*' | b'"' | b'\'' | b'/' | b' '))
        || selected(WORDS, candidates).any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a device id cannot identify a device: it means "not known", is a template, repeats one character, or is one of `SHARED_IDS`.
pub fn is_shared_id(id: &str) -> bool {
    if is_unknown(id) {
        return true;
    }
    let mut significant = id.bytes().filter(|byte| is_significant(*byte));
    let Some(first) = significant.next() else { return id.is_ascii() };
    let mut start = significant.clone();
    if significant.all(|byte| byte == first) && id.is_ascii() {
        return true;
    }
    if id.len() > MAX_ID_BYTES {
        return false;
    }
    let candidates = match (start.next(), start.next()) {
        (Some(second), Some(third)) => IDS_BY_START[0][slot(first)] & IDS_BY_START[1][slot(second)] & IDS_BY_START[2][slot(third)],
        _ => 0,
    };
    selected(SHARED_IDS, candidates).any(|shared| is_same(id, shared)) || is_template(id)
}

/// Whether a time zone name is a placeholder that names no zone.
pub fn is_unknown_timezone(zone: &str) -> bool {
    const PLACEHOLDERS: &[&str] = &["Etc/Unknown", "Unknown/Unknown", "Factory", "localtime", "posixrules", "local", "system"];
    let zone = trimmed(zone);
    is_unknown(zone) || PLACEHOLDERS.iter().any(|placeholder| zone.eq_ignore_ascii_case(placeholder))
}

/// Whether a language list is a placeholder that names no language.
pub fn is_unknown_language(list: &str) -> bool {
    const PLACEHOLDERS: &[&str] = &["und", "zxx", "mul", "mis", "C", "POSIX", "C.UTF-8"];
    let list = trimmed(list);
    is_unknown(list) || PLACEHOLDERS.iter().any(|placeholder| list.eq_ignore_ascii_case(placeholder))
}

/// The index slot of a byte; equal for both cases of a letter.
const fn slot(byte: u8) -> usize {
    (byte & 31) as usize
}

/// The texts of a list by their byte at a position, as bit sets.
const fn by_byte(texts: &[&str], at: usize) -> [u64; 32] {
    assert!(texts.len() <= 64, "a list has at most 64 texts");
    let mut index = [0; 32];
    let mut text = 0;
    while text < texts.len() {
        index[slot(texts[text].as_bytes()[at])] |= 1 << text;
        text += 1;
    }
    index
}

/// The texts of a list by length, as bit sets.
const fn by_length<const LENGTHS: usize>(texts: &[&str]) -> [u64; LENGTHS] {
    assert!(texts.len() <= 64, "a list has at most 64 texts");
    let mut index = [0; LENGTHS];
    let mut text = 0;
    while text < texts.len() {
        index[texts[text].len()] |= 1 << text;
        text += 1;
    }
    index
}

/// The texts in a bit set.
fn selected<'a>(texts: &'a [&'a str], bits: u64) -> impl Iterator<Item = &'a str> {
    let next = |bits: &u64| Some(bits & (bits - 1)).filter(|rest| *rest != 0);
    std::iter::successors(Some(bits).filter(|bits| *bits != 0), next).filter_map(|bits| texts.get(bits.trailing_zeros() as usize).copied())
}

/// Whether a byte of an id is compared. Separators and brackets are skipped.
fn is_significant(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.')
}

/// Whether an id without separators equals a text of `SHARED_IDS`.
fn is_same(id: &str, shared: &str) -> bool {
    id.bytes().filter(|byte| is_significant(*byte)).map(|byte| byte.to_ascii_lowercase()).eq(shared.bytes()) && id.is_ascii()
}

/// Whether an id is an unfilled template, such as `${deviceId}` or `{{device_id}}`.
fn is_template(id: &str) -> bool {
    let id = trimmed(id);
    (id.starts_with("${") || id.starts_with("#{") || id.starts_with("{{") || id.starts_with("%{")) && id.ends_with('}')
        || (id.starts_with('<') && id.ends_with('>'))
}

/// A text without surrounding white space. Faster than `str::trim` for most texts, because it does not decode characters.
pub fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_text_is_recognised_in_either_case() {
        for word in WORDS {
            assert!(is_unknown(word) && is_unknown(&format!(" {} ", word.to_uppercase())), "{word}");
            assert!(!is_unknown(&format!("{word}x")), "{word}x");
        }
        for id in SHARED_IDS {
            assert!(is_shared_id(id) && is_shared_id(&id.to_uppercase()) && is_shared_id(&format!("{{{}-{}}}", &id[..2], &id[2..])), "{id}");
            assert!(!is_shared_id(&format!("{id}7x")) && !is_shared_id(&format!("{id}é")), "{id}");
        }
    }
}
