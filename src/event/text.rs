//! JSON strings, borrowed from the text that they stand in unless something in them is escaped.

use std::{borrow::Cow, ops::Deref};

use serde::Deserialize;

/// A JSON string. `Cow<str>` by itself, or within an `Option`, would always be copied.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
