//! What is wrong with a piece of JSON, said without a piece of it: serde's own words quote the value.

use std::fmt;

use serde_json::error::Category;

/// What is wrong with a text, and where. Never holds a value of it (invariant 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFault {
    problem: String,
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for JsonFault {
    fn from(error: serde_json::Error) -> Self {
        let problem = match error.classify() {
            Category::Eof => "the JSON ends too soon".to_owned(),
            Category::Syntax | Category::Io => "not JSON".to_owned(),
            Category::Data => data_problem(&error.to_string()),
        };
        JsonFault { problem, line: error.line(), column: error.column() }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {}", self.problem, self.line, self.column)
    }
}

/// The part of serde's message that comes from our own types: names of fields, and what was expected.
fn data_problem(message: &str) -> String {
    let ours = message.strip_suffix(|c: char| c.is_ascii_digit()).unwrap_or(message);
    let ours = ours.rsplit_once(" at line ").map_or(message, |(ours, _)| ours);
    let quoted = |kind: &str| ours.starts_with(kind).then(|| ours.to_owned());
    let expected = |kind: &str, said: &str| {
        // What was found comes first and may hold anything, what was expected comes last and is ours.
        let (_, expected) = ours.strip_prefix(kind)?.rsplit_once(", expected ")?;
        Some(format!("{said}, expected {expected}"))
    };
    quoted("missing field `")
        .or_else(|| quoted("duplicate field `"))
        .or_else(|| expected("unknown field `", "an unknown field"))
        .or_else(|| expected("invalid type: ", "a value of the wrong type"))
        .unwrap_or_else(|| "a value of the wrong form".to_owned())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its faults are read")]
    struct Form {
        user: String,
        asn: Option<u32>,
        time: Option<jiff::Timestamp>,
    }

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let fault = JsonFault::from(serde_json::from_str::<Form>(json).expect_err("a fault"));
        assert_eq!(fault.to_string(), expected);
    }

    #[test]
    fn a_fault_says_where_and_never_what() {
        check(r#"{"asn":1}"#, "missing field `user` at line 1 column 9");
        check(r#"{"user":"a","user":"secret"}"#, "duplicate field `user` at line 1 column 18");
        check(r#"{"secret":1}"#, "an unknown field, expected one of `user`, `asn`, `time` at line 1 column 9");
        check(r#"{"user":"a","asn":"secret, expected x"}"#, "a value of the wrong type, expected u32 at line 1 column 38");
        check(r#"{"user":"a","time":"secret, expected x"}"#, "a value of the wrong form at line 1 column 39");
        check(r#"{"user":"secret"#, "the JSON ends too soon at line 1 column 15");
        check("secret", "not JSON at line 1 column 1");
        check(r#""secret""#, "a value of the wrong type, expected struct Form at line 1 column 8");
    }
}
