//! JSON strings, borrowed from the input unless they contain escapes, and lone surrogates in them.

use std::{borrow::Cow, ops::Deref};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::json_error::JsonError;

/// A JSON string. serde always copies a plain `Cow<str>`, but borrows this type.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Replaces escapes of lone surrogates with U+FFFD; `None` if there are none. JSON allows these escapes, but Rust strings cannot
/// represent them. The length in bytes does not change.
pub fn replace_lone_surrogates(json: &str) -> Option<String> {
    let mut out: Option<Vec<u8>> = None;
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        let next = match (surrogate(bytes, at), surrogate(bytes, at + 6)) {
            (Some(Surrogate::High), Some(Surrogate::Low)) => at + 12,
            (Some(_), _) => {
                out.get_or_insert_with(|| bytes.to_vec())[at..at + 6].copy_from_slice(b"\\uFFFD");
                at + 6
            }
            // The escaped character is skipped, because it may be a backslash.
            (None, _) => at + 2,
        };
        at = next;
    }
    out.and_then(|out| String::from_utf8(out).ok())
}

/// Parses JSON whose strings may contain lone surrogates; `None` if it is not a `T`.
pub fn read_json<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).ok().or_else(|| serde_json::from_str(&replace_lone_surrogates(json)?).ok())
}

/// The text of a JSON string; `None` for any other value.
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    // The value is valid JSON, so without escapes the text is what is between the quotes.
    if !quoted.as_bytes().contains(&b'\\') {
        return Some(Cow::Borrowed(quoted));
    }
    match serde_json::from_str::<Text<'_>>(raw.get()) {
        Ok(text) => Some(text.0),
        Err(_) => serde_json::from_str(&replace_lone_surrogates(raw.get())?).ok().map(Cow::Owned),
    }
}

/// Parses JSON that may be borrowed from. A text with lone surrogates is parsed from a copy, which `replaced` holds.
pub(super) fn read_borrowed<'a, T: Deserialize<'a>>(json: &'a str, replaced: &'a mut Option<String>) -> Result<T, JsonError> {
    serde_json::from_str(json).or_else(|error| {
        let json = replaced.insert(replace_lone_surrogates(json).ok_or_else(|| JsonError::from(error))?);
        serde_json::from_str(json).map_err(JsonError::from)
    })
}

enum Surrogate {
    High,
    Low,
}

/// The half of a surrogate pair that is escaped at a position, if any.
fn surrogate(bytes: &[u8], at: usize) -> Option<Surrogate> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Surrogate::High),
        0xDC00..=0xDFFF => Some(Surrogate::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Option<&str>) {
        assert_eq!(replace_lone_surrogates(json).as_deref(), expected, "{json}");
    }

    #[test]
    fn only_lone_surrogates_are_replaced() {
        check(r#"{"a":"plain"}"#, None);
        check(r#""\ud83d\ude00 \u0041 \\ud800""#, None);
        check(r#""\ud83d""#, Some(r#""\uFFFD""#));
        check(r#""\uDE00\ud83d""#, Some(r#""\uFFFD\uFFFD""#));
        check(r#""\ud83d\ud83d\ude00""#, Some(r#""\uFFFD\ud83d\ude00""#));
        check(r#""\\\ud800 \"\udfff""#, Some(r#""\\\uFFFD \"\uFFFD""#));
        check(r"\ud8", None);
    }
}
