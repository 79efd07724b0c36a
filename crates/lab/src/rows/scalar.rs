//! JSON scalars as text. Other programs write numbers and flags as text, or text as numbers.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, de};

use crate::rows::{BadRow, Quoted};

/// A JSON string, number or flag, as text. `null` is empty.
#[derive(Debug, Default, Clone)]
pub(super) struct Scalar<'a>(pub(super) Cow<'a, str>);

struct Visitor;

impl Scalar<'_> {
    /// Returns the text of a member. Empty if it is absent.
    pub(super) fn text_of(member: &Option<Self>) -> &str {
        member.as_ref().map_or("", |scalar| scalar.0.trim())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or a flag")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar(Cow::Borrowed(if flag { "true" } else { "false" })))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar(Cow::Owned(number.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::default())
    }
}

/// Parses a flag. An empty word is `None`.
///
/// # Errors
///
/// If the word is neither yes nor no. Reading it as no would turn every sign-in into a failure.
pub(super) fn parse_flag(word: &str) -> Result<Option<bool>, BadRow> {
    const YES: [&str; 11] = ["true", "1", "1.0", "yes", "y", "t", "success", "succeeded", "pass", "passed", "ok"];
    const NO: [&str; 9] = ["false", "0", "0.0", "no", "n", "f", "failure", "failed", "fail"];
    match word.trim() {
        "True" => Ok(Some(true)),
        "False" => Ok(Some(false)),
        "" => Ok(None),
        other if YES.iter().any(|word| word.eq_ignore_ascii_case(other)) => Ok(Some(true)),
        other if NO.iter().any(|word| word.eq_ignore_ascii_case(other)) => Ok(Some(false)),
        other => Err(BadRow::InvalidFlag(Quoted::new(other))),
    }
}
