//! Personal values. `Debug` prints them as `[redacted]`, which keeps them out of logs.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A personal value, such as a name or a device id. `Debug` redacts it, and there is no `Display`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Personal<T>(T);

/// The event as it was received, byte for byte. A clone shares the bytes. Serializes to the same bytes.
#[derive(Clone)]
pub struct RawEvent(Arc<Box<RawValue>>);

impl<T> Personal<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Personal(value)
    }

    /// The value itself, for hashing, look-ups and comparison. Never print or log it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl RawEvent {
    /// Wraps a JSON value.
    pub fn new(raw: Box<RawValue>) -> Self {
        RawEvent(Arc::new(raw))
    }

    /// The JSON text.
    pub fn text(&self) -> &str {
        self.0.get()
    }
}

impl Default for RawEvent {
    fn default() -> Self {
        static NULL: LazyLock<RawEvent> = LazyLock::new(|| RawEvent::new(RawValue::NULL.to_owned()));
        NULL.clone()
    }
}

impl Serialize for RawEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Debug for RawEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawEvent({} bytes)", self.0.get().len())
    }
}
