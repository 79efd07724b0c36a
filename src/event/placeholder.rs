//! Values that programs write where they know nothing: words, all-zero ids, ids that every device of a kind reports.
//!
//! Each is read as if the field were absent. A value that thousands share must not make a stranger
//! look like the account's owner.

use super::text::trimmed;

/// Longest word of `WORDS`, in bytes: a longer text is not compared with them.
const LONGEST_WORD: usize = 16;

/// What frameworks, browsers and software kits write for "not known", in lower case.
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

/// Longest id of `SHARED_IDS`, in bytes.
const LONGEST_ID: usize = 128;

/// Device ids that many devices report, in lower case without separators.
const SHARED_IDS: &[&str] = &[
    // The ANDROID_ID that one maker's phones and the emulator shared, and the emulator's serial numbers.
    "9774d56d682e549c",
    "dead00beef",
    "emulator5554",
    "goldfish",
    "012345678912345",
    "123456789012345",
    "0123456789abcdef",
    "123456789abcdef",
    // Hardware addresses that iOS and Android give out in place of the real one.
    "020000000000",
    // Serial numbers and UUIDs that mainboard makers leave in.
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
    // MD5, SHA-1 and SHA-256 of an empty text.
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    // The kind of a device, or the name of the field, in place of an id.
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

/// For each length, the texts of `WORDS` that have it, a bit each.
const WORDS_BY_LENGTH: [u64; LONGEST_WORD + 1] = by_length(WORDS);

/// The texts of `WORDS` by their first byte.
const WORDS_BY_FIRST: [u64; 32] = by_byte(WORDS, 0);

/// The texts of `SHARED_IDS` by each of their first three bytes; every one is at least as long.
const IDS_BY_START: [[u64; 32]; 3] = [by_byte(SHARED_IDS, 0), by_byte(SHARED_IDS, 1), by_byte(SHARED_IDS, 2)];

/// Whether a text says that a value is not known: blank, only punctuation, or one of the usual words.
pub fn is_not_known(text: &str) -> bool {
    let text = trimmed(text);
    if text.len() > LONGEST_WORD {
        return false;
    }
    let Some(first) = text.bytes().next() else { return true };
    // Every sign-in comes by here: only words of this length and first letter are compared.
    let candidates = WORDS_BY_LENGTH[text.len()] & WORDS_BY_FIRST[slot(first)];
    text.bytes().all(|byte| matches!(byte, b'-' | b'_' | b'?' | b'.' | b'*' | b'"' | b'\'' | b'/' | b' '))
        || chosen(WORDS, candidates).any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a device id cannot tell one device from another.
pub fn is_shared_id(id: &str) -> bool {
    if is_not_known(id) {
        return true;
    }
    let mut signs = id.bytes().filter(|byte| is_sign(*byte));
    let Some(first) = signs.next() else { return id.is_ascii() };
    let mut start = signs.clone();
    if signs.all(|byte| byte == first) && id.is_ascii() {
        return true;
    }
    if id.len() > LONGEST_ID {
        return false;
    }
    let candidates = match (start.next(), start.next()) {
        (Some(second), Some(third)) => IDS_BY_START[0][slot(first)] & IDS_BY_START[1][slot(second)] & IDS_BY_START[2][slot(third)],
        _ => 0,
    };
    chosen(SHARED_IDS, candidates).any(|shared| is_same(id, shared)) || is_template(id)
}

/// Whether a time zone's name names no place and no clock.
pub fn is_no_zone(zone: &str) -> bool {
    const NONE: &[&str] = &["Etc/Unknown", "Unknown/Unknown", "Factory", "localtime", "posixrules", "local", "system"];
    let zone = trimmed(zone);
    is_not_known(zone) || NONE.iter().any(|none| zone.eq_ignore_ascii_case(none))
}

/// Whether a language list names no language.
pub fn is_no_language(list: &str) -> bool {
    const NONE: &[&str] = &["und", "zxx", "mul", "mis", "C", "POSIX", "C.UTF-8"];
    let list = trimmed(list);
    is_not_known(list) || NONE.iter().any(|none| list.eq_ignore_ascii_case(none))
}

/// Where a byte is counted in an index: the same for both cases of a letter.
const fn slot(byte: u8) -> usize {
    (byte & 31) as usize
}

/// The texts of a list, a bit each, by the byte that they have at a position.
const fn by_byte(texts: &[&str], at: usize) -> [u64; 32] {
    assert!(texts.len() <= 64, "a list has at most as many texts as there are bits");
    let mut index = [0; 32];
    let mut text = 0;
    while text < texts.len() {
        index[slot(texts[text].as_bytes()[at])] |= 1 << text;
        text += 1;
    }
    index
}

/// The texts of a list, a bit each, by their length.
const fn by_length<const LENGTHS: usize>(texts: &[&str]) -> [u64; LENGTHS] {
    assert!(texts.len() <= 64, "a list has at most as many texts as there are bits");
    let mut index = [0; LENGTHS];
    let mut text = 0;
    while text < texts.len() {
        index[texts[text].len()] |= 1 << text;
        text += 1;
    }
    index
}

/// The texts whose bits are set.
fn chosen<'a>(texts: &'a [&'a str], bits: u64) -> impl Iterator<Item = &'a str> {
    let next = |bits: &u64| Some(bits & (bits - 1)).filter(|rest| *rest != 0);
    std::iter::successors(Some(bits).filter(|bits| *bits != 0), next).filter_map(|bits| texts.get(bits.trailing_zeros() as usize).copied())
}

/// Whether a byte of an id counts: separators and brackets are left out.
fn is_sign(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.')
}

/// Whether an id, without its separators, is a text of `SHARED_IDS`.
fn is_same(id: &str, shared: &str) -> bool {
    id.bytes().filter(|byte| is_sign(*byte)).map(|byte| byte.to_ascii_lowercase()).eq(shared.bytes()) && id.is_ascii()
}

/// Whether an id is a placeholder that was never filled in, such as `${deviceId}` or `{{device_id}}`.
fn is_template(id: &str) -> bool {
    let id = trimmed(id);
    (id.starts_with("${") || id.starts_with("#{") || id.starts_with("{{") || id.starts_with("%{")) && id.ends_with('}')
        || (id.starts_with('<') && id.ends_with('>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_not_known_are_recognised() {
        for text in ["", "  ", "-", "--", "?", "unknown", "Unknown", " UNKNOWN ", "null", "(null)", "undefined", "N/A", "none", "[object Object]"] {
            assert!(is_not_known(text), "{text:?}");
        }
        for text in ["Mozilla/5.0", "unknown device of ada", "nullable-7f3a", "nonesuch", "d-1"] {
            assert!(!is_not_known(text), "{text:?}");
        }
    }

    #[test]
    fn ids_that_many_devices_share_are_recognised() {
        for id in [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "{00000000-0000-0000-0000-000000000000}",
            "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
            "00000000",
            "0",
            "9774d56d682e549c",
            "9774D56D682E549C",
            "02:00:00:00:00:00",
            "02-00-00-00-00-00",
            "00:00:00:00:00:00",
            "d41d8cd98f00b204e9800998ecf8427e",
            "To be filled by O.E.M.",
            "iPhone",
            "${deviceId}",
            "{{device_id}}",
            "<device-id>",
            "undefined",
        ] {
            assert!(is_shared_id(id), "{id}");
        }
        for id in [
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "{6B29FC40-CA47-1067-B31D-00DD010662DA}",
            "dev-1",
            "d1",
            "phone-1",
            "00000000-0000-0000-0000-000000000001",
            "02:00:00:00:00:01",
            "ключ",
        ] {
            assert!(!is_shared_id(id), "{id}");
        }
    }

    #[test]
    fn zones_and_languages_that_name_nothing_are_recognised() {
        for zone in ["Etc/Unknown", "unknown", "", "Factory", "undefined"] {
            assert!(is_no_zone(zone), "{zone:?}");
        }
        for zone in ["Europe/Oslo", "UTC", "Etc/GMT+5"] {
            assert!(!is_no_zone(zone), "{zone:?}");
        }
        assert!(is_no_language("*") && is_no_language("und") && !is_no_language("de-DE,de;q=0.9"));
    }

    #[test]
    fn every_text_of_a_list_is_recognised_in_either_case() {
        for word in WORDS {
            assert!(is_not_known(word) && is_not_known(&format!(" {} ", word.to_uppercase())), "{word}");
            assert!(!is_not_known(&format!("{word}x")), "{word}x");
        }
        for id in SHARED_IDS {
            assert!(is_shared_id(id) && is_shared_id(&id.to_uppercase()) && is_shared_id(&format!("{{{}-{}}}", &id[..2], &id[2..])), "{id}");
            assert!(!is_shared_id(&format!("{id}7x")) && !is_shared_id(&format!("{id}é")), "{id}");
        }
    }
}
