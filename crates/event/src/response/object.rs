//! A writer of JSON objects. Names and labels, which are most of an audit line, need no escaping and are copied. serde_json writes
//! all other values.

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use serde::Serialize;

/// Numbers below this have at most 15 digits, which a double represents without an error.
const MAX_DECIMAL: f64 = 1e15;

/// An open JSON object.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl Object<'_> {
    /// Writes an object with the members that `members` adds.
    pub fn write(out: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>)) {
        out.push(b'{');
        members(&mut Object { out, is_empty: true });
        out.push(b'}');
    }

    /// Adds a member of any type.
    pub fn member(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) {
        self.name(name);
        // The values are strings and finite numbers, and objects of them. JSON can represent all of them.
        serde_json::to_writer(&mut *self.out, value).expect("JSON can represent every member");
    }

    /// Adds a number with at most `DIGITS` decimals, as serde_json writes the rounded number, but several times faster.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "the number is between 0 and 2^53")]
    pub fn decimal<const DIGITS: u32>(&mut self, name: &'static str, value: f64) {
        let scale = const { 10_u64.pow(DIGITS) };
        let scaled = (value * scale as f64).round();
        if !scaled.is_finite() || scaled.abs() >= MAX_DECIMAL {
            return self.member(name, &(scaled / scale as f64));
        }
        self.name(name);
        if scaled.is_sign_negative() {
            self.out.push(b'-');
        }
        let (mut number, mut decimals) = (scaled.abs() as u64, DIGITS);
        while decimals > 1 && number % 10 == 0 {
            number /= 10;
            decimals -= 1;
        }
        let (mut text, mut start) = ([0; 24], 24);
        // Written from the last digit to the first, with at least one before the point.
        while number > 0 || start + 1 + decimals as usize >= text.len() {
            start -= 1;
            text[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if start + decimals as usize == text.len() {
                start -= 1;
                text[start] = b'.';
            }
        }
        self.out.extend_from_slice(&text[start..]);
    }

    /// Adds a string that needs no escaping: a label, an id, or a pseudonym.
    pub fn plain(&mut self, name: &'static str, text: &str) {
        debug_assert!(is_plain(text), "the text needs escaping");
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
    }

    /// Adds a timestamp in RFC 3339 format with milliseconds.
    pub fn timestamp(&mut self, name: &'static str, at: Timestamp) {
        const MILLISECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        self.name(name);
        self.out.push(b'"');
        MILLISECONDS.print_timestamp(&at, &mut *self.out).expect("a vector can always grow");
        self.out.push(b'"');
    }

    /// Adds a string that needs no escaping, or null.
    pub fn plain_or_null(&mut self, name: &'static str, text: Option<&str>) {
        match text {
            Some(text) => self.plain(name, text),
            None => self.member(name, &()),
        }
    }

    /// Adds an object.
    pub fn object(&mut self, name: &'static str, members: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        Object::write(self.out, members);
    }

    /// Adds an array of objects.
    pub fn objects<T>(&mut self, name: &'static str, items: impl IntoIterator<Item = T>, members: impl Fn(&mut Object<'_>, T)) {
        self.name(name);
        self.out.push(b'[');
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                self.out.push(b',');
            }
            Object::write(self.out, |object| members(object, item));
        }
        self.out.push(b']');
    }

    fn name(&mut self, name: &'static str) {
        debug_assert!(is_plain(name), "the name needs escaping");
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal<const DIGITS: u32>(value: f64) -> String {
        let mut out = Vec::new();
        Object::write(&mut out, |object| object.decimal::<DIGITS>("n", value));
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[track_caller]
    fn check(value: f64) {
        let rounded = |scale: f64| serde_json::json!({ "n": (value * scale).round() / scale }).to_string();
        assert_eq!((decimal::<1>(value), decimal::<3>(value), decimal::<4>(value)), (rounded(1e1), rounded(1e3), rounded(1e4)));
    }

    #[test]
    fn a_decimal_is_written_as_serde_json_writes_it() {
        for number in 0..3_000_u32 {
            check(f64::from(number) * 0.371 - 400.0);
            check(f64::from_bits(u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        }
        for value in [0.0, -0.0, -0.000_01, 1.0, 10.0, 100.5, 0.05, 0.001, -12.0305, 99_999.999_96, 1e11, 1e15, 1e300, f64::NAN, f64::INFINITY] {
            check(value);
        }
    }

    #[test]
    fn the_output_is_json() {
        let mut out = Vec::new();
        Object::write(&mut out, |object| {
            object.plain("label", "new_ip");
            object.member("text", "a \"quoted\"\nline");
            object.timestamp("time", "2026-11-22T05:07:36.12345Z".parse().expect("a time"));
            object.plain_or_null("none", None);
            object.object("empty", |_| {});
            object.objects("list", [1, 2], |item, number| item.member("n", &number));
        });
        let expected = r#"{"label":"new_ip","text":"a \"quoted\"\nline","time":"2026-11-22T05:07:36.123Z","none":null,"empty":{},"list":[{"n":1},{"n":2}]}"#;
        assert_eq!(std::str::from_utf8(&out), Ok(expected));
    }
}
