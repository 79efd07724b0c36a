//! Reads the fields of a service's response. `null` counts as absent, and numbers and flags may be strings.
//!
//! Services change types without notice: a flag becomes nullable, a score gets quotes. A problem in an optional field does not
//! invalidate the score. A problem in a required field is a failure. Both are logged with the name of the field.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use smallvec::SmallVec;
use smol_str::SmolStr;
use tokio::time::Instant;

use crate::log_limit::LogLimit;
use riskgate_engine::{evidence::FailureReason, service::Service};
use riskgate_http_client::failure::Failure;

/// Maximum number of reason codes of a response.
const MAX_CODES: usize = 16;

/// Maximum length of a reason code in bytes.
const MAX_CODE_LENGTH: usize = 64;

/// Limits the log messages about unreadable fields of each service.
static LOG_LIMITS: [LogLimit; Service::ALL.len()] = [const { LogLimit::new() }; Service::ALL.len()];

/// Fields and decisions of each service that could not be read.
static IGNORED: [AtomicU64; Service::ALL.len()] = [const { AtomicU64::new(0) }; Service::ALL.len()];

/// The number of fields and decisions of a service that could not be read.
pub fn ignored(service: Service) -> u64 {
    IGNORED[service as usize].load(Ordering::Relaxed)
}

/// The fields of a service's response, addressed by JSON pointers.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    service: Service,
    document: &'a Value,
}

/// Counts unreadable values and logs the field at most once a minute per service. The value is not logged, because it may be personal data.
pub(super) fn log_unreadable(service: Service, field: &str, count: usize) {
    IGNORED[service as usize].fetch_add(count as u64, Ordering::Relaxed);
    if LOG_LIMITS[service as usize].is_due(Instant::now()) {
        tracing::warn!(service = service.as_label(), field, count, "could not read a field of the service's response");
    }
}

/// Selects a service's reason codes: at most 16, each printable ASCII of at most 64 bytes. The others are counted and logged.
pub(super) fn codes<'a>(service: Service, reasons: impl Iterator<Item = &'a str>) -> SmallVec<[SmolStr; 4]> {
    let is_valid = |code: &str| (1..=MAX_CODE_LENGTH).contains(&code.len()) && code.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let (mut selected, mut ignored) = (SmallVec::new(), 0);
    for code in reasons {
        if selected.len() < MAX_CODES && is_valid(code) {
            selected.push(SmolStr::new(code));
        } else {
            ignored += 1;
        }
    }
    if ignored > 0 {
        log_unreadable(service, "reason codes", ignored);
    }
    selected
}

/// A JSON number, or a string that contains one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => {
            let text = text.trim();
            // Rust also parses "inf", "nan" and "infinity".
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
            text.parse().ok().filter(|_| is_plain)?
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(number).filter(|number: &f64| number.is_finite())
}

/// Whether a string means "unknown", or that the plan does not include the field.
fn means_unknown(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    matches!(text.as_str(), "" | "n/a" | "na" | "none" | "null" | "unknown" | "-") || text.contains("required")
}

impl<'a> Fields<'a> {
    /// The fields of a document.
    pub(super) fn new(service: Service, document: &'a Value) -> Self {
        Fields { service, document }
    }

    /// A required number from 0 to `max`.
    ///
    /// # Errors
    ///
    /// The number is absent, out of range or not a number.
    pub(super) fn number(self, pointer: &str, max: f64) -> Result<f64, Failure> {
        self.value(pointer).and_then(number).filter(|number| (0.0..=max).contains(number)).ok_or_else(|| self.unreadable(pointer))
    }

    /// An optional flag. `None` if it is absent, `null` or unknown.
    ///
    /// # Errors
    ///
    /// The value is not a flag.
    pub(super) fn flag(self, pointer: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.value(pointer) else { return Ok(None) };
        let flag = match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if means_unknown(text) => return Ok(None),
            Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => Some(true),
                "false" | "no" | "0" => Some(false),
                _ => None,
            },
            Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
            Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        };
        flag.map(Some).ok_or_else(|| self.unreadable(pointer))
    }

    /// An optional string. `None` if it is absent, `null` or of another type.
    pub(super) fn text(self, pointer: &str) -> Option<&'a str> {
        let value = self.value(pointer)?;
        if !value.is_string() {
            log_unreadable(self.service, pointer, 1);
        }
        value.as_str()
    }

    /// The elements of a list without those that are `null`. Empty if the list is absent or `null`. A single value is a list of one.
    pub(super) fn list(self, pointer: &str) -> impl Iterator<Item = &'a Value> {
        let value = self.value(pointer);
        let elements = match value {
            Some(Value::Array(elements)) => elements.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        elements.iter().filter(|element| !element.is_null())
    }

    /// The strings of a list, each extracted from an element by `text`. Elements without a string are skipped and logged.
    pub(super) fn texts(self, pointer: &'a str, text: fn(&Value) -> Option<&str>) -> impl Iterator<Item = &'a str> {
        self.list(pointer).filter_map(move |element| {
            let text = text(element);
            if text.is_none() {
                log_unreadable(self.service, pointer, 1);
            }
            text
        })
    }

    /// A service's reason codes, see [`codes`].
    pub(super) fn codes<'b>(self, reasons: impl Iterator<Item = &'b str>) -> SmallVec<[SmolStr; 4]> {
        codes(self.service, reasons)
    }

    /// Logs a field that cannot be read and returns the failure.
    pub(super) fn unreadable(self, pointer: &str) -> Failure {
        log_unreadable(self.service, pointer, 1);
        FailureReason::BadAnswer.into()
    }

    /// The value at a pointer unless it is `null`.
    fn value(self, pointer: &str) -> Option<&'a Value> {
        self.document.pointer(pointer).filter(|value| !value.is_null())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_may_be_quoted_and_must_be_in_range() {
        for (value, expected) in [
            (json!(33), Some(33.0)),
            (json!("33"), Some(33.0)),
            (json!(" 0.5 "), Some(0.5)),
            (json!("9.9e1"), Some(99.0)),
            (json!("0"), Some(0.0)),
            (json!("NaN"), None),
            (json!("inf"), None),
            (json!("-Infinity"), None),
            (json!("1e400"), None),
            (json!("-1"), None),
            (json!("101"), None),
            (json!(""), None),
            (json!("33 %"), None),
            (json!("0x10"), None),
            (json!(null), None),
            (json!(true), None),
            (json!([33]), None),
        ] {
            let document = json!({ "score": value });
            assert_eq!(Fields::new(Service::Http, &document).number("/score", 100.0).ok(), expected, "{document}");
        }
    }

    #[test]
    fn skipped_list_elements_are_counted() {
        let document = json!({ "events": ["a", null, 7, "b", {}] });
        let before = ignored(Service::Abuseipdb);
        let texts: Vec<&str> = Fields::new(Service::Abuseipdb, &document).texts("/events", Value::as_str).collect();
        assert_eq!(texts, ["a", "b"]);
        assert!(ignored(Service::Abuseipdb) >= before + 2);
    }

    #[test]
    fn codes_that_are_too_long_too_many_or_not_printable_are_counted() {
        let before = ignored(Service::Minfraud);
        let long = "X".repeat(65);
        assert_eq!(codes(Service::Minfraud, ["PROXY", "", &long, "a\nb", "é", "two words"].into_iter()).as_slice(), ["PROXY", "two words"]);
        assert_eq!(codes(Service::Minfraud, std::iter::repeat_n("A", 100)).len(), 16);
        assert!(ignored(Service::Minfraud) >= before + 4 + 84);
    }

    #[test]
    fn flags_may_be_booleans_numbers_or_strings() {
        for (value, expected) in [
            (json!(true), Some(Some(true))),
            (json!(false), Some(Some(false))),
            (json!("true"), Some(Some(true))),
            (json!("False"), Some(Some(false))),
            (json!("1"), Some(Some(true))),
            (json!("0"), Some(Some(false))),
            (json!(1), Some(Some(true))),
            (json!(0), Some(Some(false))),
            (json!(null), Some(None)),
            (json!(""), Some(None)),
            (json!("N/A"), Some(None)),
            (json!("Enterprise Plus or higher required."), Some(None)),
            (json!("perhaps"), None),
            (json!(2), None),
            (json!({}), None),
        ] {
            let document = json!({ "flag": value });
            assert_eq!(Fields::new(Service::Ipqs, &document).flag("/flag").ok(), expected, "{document}");
        }
        assert_eq!(Fields::new(Service::Ipqs, &json!({})).flag("/flag").ok(), Some(None));
    }
}
