//! JSON errors without values of the input. Messages of serde quote the value, which may be personal.

use std::fmt;

use serde_json::error::Category;

/// A JSON error with its position. It never contains a value of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    problem: String,
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let problem = match error.classify() {
            Category::Eof => "the JSON ends too soon".to_owned(),
            Category::Syntax | Category::Io => "not JSON".to_owned(),
            Category::Data => data_problem(&error.to_string()),
        };
        JsonError { problem, line: error.line(), column: error.column() }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {}", self.problem, self.line, self.column)
    }
}

/// The part of serde's message that comes from riskgate's types: field names and expectations.
fn data_problem(message: &str) -> String {
    let problem = message.strip_suffix(|c: char| c.is_ascii_digit()).unwrap_or(message);
    let problem = problem.rsplit_once(" at line ").map_or(message, |(problem, _)| problem);
    let quoted = |kind: &str| problem.starts_with(kind).then(|| problem.to_owned());
    let expected = |kind: &str, replacement: &str| {
        // The found value comes first and may contain anything. The expectation comes last and is safe.
        let (_, expected) = problem.strip_prefix(kind)?.rsplit_once(", expected ")?;
        Some(format!("{replacement}, expected {expected}"))
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
    #[expect(dead_code, reason = "only its errors are tested")]
    struct Form {
        user: String,
        asn: Option<u32>,
        time: Option<jiff::Timestamp>,
    }

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let error = JsonError::from(serde_json::from_str::<Form>(json).expect_err("an error"));
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_error_has_the_position_but_no_value() {
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
