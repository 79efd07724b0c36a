//! A writer of JSON objects. Names and labels, which are most of an audit line, need no escaping and are copied. serde_json writes
//! all other values.

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use serde::Serialize;

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
        self.out.extend_from_slice(if self.is_empty { b"\"" } else { b",\"" });
        self.is_empty = false;
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
