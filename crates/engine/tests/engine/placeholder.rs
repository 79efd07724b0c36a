//! Texts that stand for a missing value.

use riskgate_engine::placeholder::{is_shared_id, is_unknown, is_unknown_language, is_unknown_timezone, trimmed};

#[test]
fn surrounding_white_space_is_removed() {
    for (text, expected) in
        [("a b", "a b"), (" a", "a"), ("a\u{a0}", "a"), ("\u{3000}ab", "ab"), ("\u{3000}é", "é"), (" ", ""), ("", ""), ("a", "a"), ("\ta\n", "a")]
    {
        assert_eq!(trimmed(text), expected, "{text:?}");
    }
}

#[test]
fn words_for_not_known_are_recognised() {
    for text in ["", "  ", "-", "--", "?", "unknown", "Unknown", " UNKNOWN ", "null", "(null)", "undefined", "N/A", "none", "[object Object]"] {
        assert!(is_unknown(text), "{text:?}");
    }
    for text in ["Mozilla/5.0", "unknown device of ada", "nullable-7f3a", "nonesuch", "d-1"] {
        assert!(!is_unknown(text), "{text:?}");
    }
}

#[test]
fn shared_device_ids_are_recognised() {
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
fn unknown_time_zones_and_languages_are_recognised() {
    for zone in ["Etc/Unknown", "unknown", "", "Factory", "undefined"] {
        assert!(is_unknown_timezone(zone), "{zone:?}");
    }
    for zone in ["Europe/Oslo", "UTC", "Etc/GMT+5"] {
        assert!(!is_unknown_timezone(zone), "{zone:?}");
    }
    assert!(is_unknown_language("*") && is_unknown_language("und") && !is_unknown_language("de-DE,de;q=0.9"));
}
