//! Values that programs write where they know nothing: words, all-zero ids, ids that every device of a kind reports.
//!
//! Each is read as if the field were absent. A value that thousands share must not make a stranger
//! look like the account's owner.

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

/// Whether a text says that a value is not known: blank, only punctuation, or one of the usual words.
pub fn is_not_known(text: &str) -> bool {
    let text = text.trim();
    if text.len() > LONGEST_WORD {
        return false;
    }
    text.bytes().all(|byte| matches!(byte, b'-' | b'_' | b'?' | b'.' | b'*' | b'"' | b'\'' | b'/' | b' '))
        || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a device id cannot tell one device from another.
pub fn is_shared_id(id: &str) -> bool {
    if is_not_known(id) {
        return true;
    }
    let mut signs = id.bytes().filter(|byte| is_sign(*byte));
    let Some(first) = signs.next() else { return id.is_ascii() };
    if signs.all(|byte| byte == first) && id.is_ascii() {
        return true;
    }
    id.len() <= LONGEST_ID && (SHARED_IDS.iter().any(|shared| is_same(id, shared)) || is_template(id))
}

/// Whether a time zone's name names no place and no clock.
pub fn is_no_zone(zone: &str) -> bool {
    is_not_known(zone)
        || ["Etc/Unknown", "Unknown/Unknown", "Factory", "localtime", "posixrules", "local", "system"].iter().any(|none| zone.trim().eq_ignore_ascii_case(none))
}

/// Whether a language list names no language.
pub fn is_no_language(list: &str) -> bool {
    is_not_known(list) || ["und", "zxx", "mul", "mis", "C", "POSIX", "C.UTF-8"].iter().any(|none| list.trim().eq_ignore_ascii_case(none))
}

/// Whether a byte of an id counts: separators and brackets are left out.
fn is_sign(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.')
}

/// Whether an id, without its separators, is a text of `SHARED_IDS`.
fn is_same(id: &str, shared: &str) -> bool {
    id.is_ascii() && id.bytes().filter(|byte| is_sign(*byte)).map(|byte| byte.to_ascii_lowercase()).eq(shared.bytes())
}

/// Whether an id is a placeholder that was never filled in, such as `${deviceId}` or `{{device_id}}`.
fn is_template(id: &str) -> bool {
    let id = id.trim();
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
}
