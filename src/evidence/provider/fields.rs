//! Reads the fields of a service's answer: `null` states nothing, and numbers and flags may come as text.
//!
//! Services change their types without notice: a flag becomes nullable, a score gets quotes. What an answer
//! can do without never costs its score; what cannot be read is refused, and a log line names the field.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::Failure;
use crate::{config::services::Service, evidence::Cause};

/// How often one service's unreadable fields are logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// When an unreadable field of each service was last logged.
static LOGGED: Mutex<[Option<Instant>; Service::ALL.len()]> = Mutex::new([None; Service::ALL.len()]);

/// Fields and decisions of each service that could not be read.
static IGNORED: [AtomicU64; Service::ALL.len()] = [const { AtomicU64::new(0) }; Service::ALL.len()];

/// How many fields and decisions of a service could not be read.
pub fn ignored(service: Service) -> u64 {
    IGNORED[service as usize].load(Ordering::Relaxed)
}

/// A service's answer, or a part of it. Fields are named by JSON pointers.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    service: Service,
    document: &'a Value,
}

/// Counts and logs that a service sent something that cannot be read, at most once a minute for each service. The value itself may be personal.
pub(super) fn log_unreadable(service: Service, field: &str, count: usize) {
    IGNORED[service as usize].fetch_add(count as u64, Ordering::Relaxed);
    let now = Instant::now();
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    let last = &mut logged[service as usize];
    if last.is_none_or(|last| now.saturating_duration_since(last) >= LOG_EVERY) {
        *last = Some(now);
        tracing::warn!(service = service.as_label(), field, count, "a field of the service's answer cannot be read");
    }
}

/// A number of JSON, or the same number as text.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => {
            let text = text.trim();
            // Rust also reads "inf", "nan" and "infinity".
            let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
            text.parse().ok().filter(|_| plain)?
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(number).filter(|number: &f64| number.is_finite())
}

/// Whether a text is what services write where they do not know, or where the plan does not include the field.
fn states_nothing(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    matches!(text.as_str(), "" | "n/a" | "na" | "none" | "null" | "unknown" | "-") || text.contains("required")
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// The fields of a document.
    pub(super) fn of(service: Service, document: &'a Value) -> Self {
        Fields { service, document }
    }

    /// A number that the answer cannot do without, from 0 to `most`.
    pub(super) fn number(self, pointer: &str, most: f64) -> Result<f64, Failure> {
        self.stated(pointer).and_then(number).filter(|number| (0.0..=most).contains(number)).ok_or_else(|| self.unreadable(pointer))
    }

    /// A flag; `None` where it is absent, `null` or states nothing.
    pub(super) fn flag(self, pointer: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.stated(pointer) else { return Ok(None) };
        let flag = match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if states_nothing(text) => return Ok(None),
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

    /// A text; `None` where it is absent, `null` or something else.
    pub(super) fn text(self, pointer: &str) -> Option<&'a str> {
        let value = self.stated(pointer)?;
        if !value.is_string() {
            log_unreadable(self.service, pointer, 1);
        }
        value.as_str()
    }

    /// The elements of a list that are not `null`; none where it is absent or `null`. A single value is a list of one.
    pub(super) fn list(self, pointer: &str) -> impl Iterator<Item = &'a Value> {
        let value = self.stated(pointer);
        let elements = match value {
            Some(Value::Array(elements)) => elements.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        elements.iter().filter(|element| !element.is_null())
    }

    /// The texts of a list, each taken from an element by `text`. The others are left out and reported.
    pub(super) fn texts(self, pointer: &'a str, text: fn(&Value) -> Option<&str>) -> impl Iterator<Item = &'a str> {
        self.list(pointer).filter_map(move |element| {
            let text = text(element);
            if text.is_none() {
                log_unreadable(self.service, pointer, 1);
            }
            text
        })
    }

    /// The failure of a field that cannot be read.
    pub(super) fn unreadable(self, pointer: &str) -> Failure {
        log_unreadable(self.service, pointer, 1);
        Cause::BadAnswer.into()
    }

    /// What a pointer finds, unless it is `null`.
    fn stated(self, pointer: &str) -> Option<&'a Value> {
        self.document.pointer(pointer).filter(|value| !value.is_null())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_with_and_without_quotes_and_within_their_range() {
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
            assert_eq!(Fields::of(Service::Http, &document).number("/score", 100.0).ok(), expected, "{document}");
        }
    }

    #[test]
    fn what_is_left_out_of_a_list_is_counted() {
        let document = json!({ "events": ["a", null, 7, "b", {}] });
        let before = ignored(Service::Abuseipdb);
        let texts: Vec<&str> = Fields::of(Service::Abuseipdb, &document).texts("/events", Value::as_str).collect();
        assert_eq!(texts, ["a", "b"]);
        assert!(ignored(Service::Abuseipdb) >= before + 2);
    }

    #[test]
    fn flags_are_read_as_services_write_them() {
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
            assert_eq!(Fields::of(Service::Ipqs, &document).flag("/flag").ok(), expected, "{document}");
        }
        assert_eq!(Fields::of(Service::Ipqs, &json!({})).flag("/flag").ok(), Some(None));
    }
}
