//! Values that say something of a person: they print as `[redacted]` (invariant 7).

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A personal value: a name, an address, a device id. Its `Debug` never prints it, and it has no `Display`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Personal<T>(T);

/// The event as it came, byte for byte. A clone shares the bytes; serialised, it is those bytes.
#[derive(Clone)]
pub struct RawEvent(Arc<Box<RawValue>>);

// === impl Personal ===

impl<T> Personal<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Personal(value)
    }

    /// The value itself, for hashing, looking up and comparing; never for printing.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

// === impl RawEvent ===

impl RawEvent {
    /// Keeps the bytes of a JSON value.
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
