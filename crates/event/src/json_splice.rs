//! Sets one nested member of a JSON text without changing any other byte, such as the spelling of numbers or the order of members.

use std::ops::Range;

use crate::{json_objects::Members, json_strings::replace_lone_surrogates};

/// The text of the member at a path; `None` if it does not exist.
pub fn member<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    let Some((name, rest)) = path.split_first() else { return Some(text) };
    member(&text[find_member(text, name)?.0?], rest)
}

/// The range of the value of the last member with a name in an object's text, and whether the object is empty. A text with lone surrogates
/// is parsed from a copy of the same length.
fn find_member(text: &str, name: &str) -> Option<(Option<Range<usize>>, bool)> {
    let replaced;
    let (parsed, members): (&str, Members<'_>) = match serde_json::from_str(text) {
        Ok(members) => (text, members),
        Err(_) => {
            replaced = replace_lone_surrogates(text)?;
            (replaced.as_str(), serde_json::from_str(&replaced).ok()?)
        }
    };
    let range = members.get(name).map(|value| {
        let value = value.get();
        // The value is a slice of the parsed text, so the difference of the pointers is its offset.
        let start = value.as_ptr() as usize - parsed.as_ptr() as usize;
        start..start + value.len()
    });
    Some((range, members.is_empty()))
}

/// The text with the member at a path set. Objects on the path that are missing or null are created. `None` when a value on the path is
/// not an object.
pub fn set(text: &str, path: &[&str], value: &str) -> Option<String> {
    let Some((name, rest)) = path.split_first() else { return Some(value.to_owned()) };
    if text.trim() == "null" {
        return set("{}", path, value);
    }
    let (found, is_empty) = find_member(text, name)?;
    if let Some(old) = found {
        // Parsers use the last of several members with the same name, so that one is changed.
        return Some([&text[..old.start], &set(&text[old.clone()], rest, value)?, &text[old.end..]].concat());
    }
    let end = text.rfind('}')?;
    let comma = if is_empty { "" } else { "," };
    let name = serde_json::to_string(name).ok()?;
    Some([&text[..end], comma, &name, ":", &set("{}", rest, value)?, &text[end..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &[&str], expected: &str) {
        assert_eq!(set(text, path, "1").as_deref(), Some(expected), "{text}");
    }

    #[test]
    fn other_bytes_do_not_change() {
        check(r#"{ "a" : 1.10e2 ,"r" : {"x":null } }"#, &["r", "x"], r#"{ "a" : 1.10e2 ,"r" : {"x":1 } }"#);
        check(r#"{"r":{}}"#, &["r", "x", "y"], r#"{"r":{"x":{"y":1}}}"#);
        check(r#"{"r":{"z":[1, 2]}}"#, &["r", "x"], r#"{"r":{"z":[1, 2],"x":1}}"#);
        check(r#"{"r": null}"#, &["r", "x"], r#"{"r": {"x":1}}"#);
        check(r#"{"r":1,"r":{"b":2}}"#, &["r", "b"], r#"{"r":1,"r":{"b":1}}"#);
        check(r#"{"\udc00":"\ud800","r":{"\uD83D":2}}"#, &["r", "x"], r#"{"\udc00":"\ud800","r":{"\uD83D":2,"x":1}}"#);
        check("{ }", &["q\"uote"], r#"{ "q\"uote":1}"#);
        check(r#"{"\u0072":{"b":2}}"#, &["r", "b"], r#"{"\u0072":{"b":1}}"#);
    }

    #[test]
    fn a_value_that_is_not_an_object_is_not_replaced() {
        assert_eq!(set(r#"{"r":7}"#, &["r", "x"], "1"), None);
        assert_eq!(set("[]", &["r"], "1"), None);
    }

    #[test]
    fn nested_members_are_found() {
        assert_eq!(member(r#"{"a":{"b": [1,  2]}}"#, &["a", "b"]), Some("[1,  2]"));
        assert_eq!(member(r#"{"a":7}"#, &["a", "b"]), None);
    }
}
