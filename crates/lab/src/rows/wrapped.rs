//! Extracts events from the objects in which log services, command-line tools and container runtimes wrap them.

use std::{collections::VecDeque, io::Read as _};

use base64::Engine as _;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

use crate::rows::{documents::is_container_line, json::is_lambda_line, limit::MAX_RECORD_BYTES, scalar::Scalar, time::TimeParser};

/// The deepest nesting of objects and texts that is opened.
const MAX_DEPTH: u8 = 16;

/// The most bytes that are decompressed per object, and the most that are buffered for sorting.
const MAX_BUFFERED: u64 = 64 << 20;

/// Replaces a line of another program.
const OTHER_LINE: &str = "{\"type\":\"other\"}";

/// Members whose text is a log line, or data that contains log lines.
///
/// Texts of other members are never opened, because a client may have chosen them.
const TEXT_MEMBERS: [&str; 16] = [
    "log",
    "message",
    "Message",
    "MESSAGE",
    "@message",
    "short_message",
    "msg",
    "full_message",
    "event",
    "line",
    "Body",
    "data",
    "Data",
    "textPayload",
    "VarCharValue",
    "_raw",
];

/// How many of [`TEXT_MEMBERS`], from the first, occur in log lines only.
const LOG_ONLY_MEMBERS: usize = 7;

/// Members that contain lists of log lines.
const LIST_MEMBERS: [&str; 8] = ["AuthEvents", "logEvents", "events", "results", "Records", "records", "hits", "ResultSet"];

/// The members that distinguish an event from its wrapper.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EventMembers {
    user: Option<IgnoredAny>,
    time: Option<IgnoredAny>,
    id: Option<IgnoredAny>,
    decision: Option<IgnoredAny>,
    outcome: Option<IgnoredAny>,
    trigger: Option<IgnoredAny>,
    #[serde(rename = "EventId")]
    event_id: Option<IgnoredAny>,
    #[serde(rename = "eventType")]
    event_type: Option<IgnoredAny>,
    #[serde(rename = "eventResponse")]
    event_response: Option<IgnoredAny>,
}

/// The time of an event.
#[derive(Debug, Deserialize)]
struct TimeMember<'a> {
    #[serde(borrow, alias = "CreationDate", alias = "creationDate")]
    time: Scalar<'a>,
}

/// Extracts events from objects and returns them in order of time.
pub struct EventExtractor {
    /// The user of Cognito events without a user name.
    default_user: String,
    /// The events that can be returned, each with its line.
    ready: VecDeque<(u64, String)>,
    /// Events that are sorted after the last one. Cognito's API returns the newest first, on several pages.
    unsorted: Vec<(jiff::Timestamp, u64, String)>,
    /// The bytes of events from columns that were buffered for sorting.
    buffered: u64,
    /// The beginning of a line that a container runtime has split.
    partial_line: String,
}

/// The events of one object.
#[derive(Debug, Default)]
struct ExtractedEvents {
    events: Vec<String>,
    auth_events: Vec<String>,
    /// Whether the object is a known wrapper, even if it contains no event.
    is_wrapper: bool,
    /// The bytes that may still be decompressed.
    decompression_budget: u64,
}

/// Values that an event inherits from the objects around it.
#[derive(Debug, Clone, Copy)]
struct Inherited<'a> {
    user: &'a str,
    time: Option<&'a Value>,
    depth: u8,
}

impl EventExtractor {
    /// Creates an extractor. `user` is the name of the file, which may be a user name.
    pub(super) fn new(user: String) -> Self {
        EventExtractor { default_user: user, ready: VecDeque::new(), unsorted: Vec::new(), buffered: 0, partial_line: String::new() }
    }

    /// Returns the next event and its line.
    pub(super) fn pop(&mut self) -> Option<(u64, String)> {
        self.ready.pop_front()
    }

    /// Whether a text is an event without a wrapper.
    pub(super) fn is_event(text: &str) -> bool {
        text.starts_with("{\"schema\":") || serde_json::from_str::<EventMembers>(text).is_ok_and(|members| members.is_event() && members.event_id.is_none())
    }

    /// Adds an object or a line of text.
    pub(super) fn push_text(&mut self, text: &str, line: u64) {
        let Ok(Value::Object(mut object)) = serde_json::from_str(text) else {
            let is_other_line = is_lambda_line(text) || is_container_line(text);
            self.ready.push_back((line, if is_other_line { OTHER_LINE } else { text }.to_owned()));
            return;
        };
        if self.join_parts(&mut object, line) {
            return;
        }
        let mut found = ExtractedEvents { decompression_budget: MAX_BUFFERED, ..ExtractedEvents::default() };
        found.extract_from_object(object, Inherited { user: &self.default_user, time: None, depth: 0 });
        self.add_found(found, text, line);
    }

    /// Adds a line of text from a column.
    pub(super) fn push_message(&mut self, text: &str, line: u64) {
        let mut found = ExtractedEvents { is_wrapper: true, decompression_budget: MAX_BUFFERED, ..ExtractedEvents::default() };
        found.extract_from_text(text, Inherited { user: &self.default_user, time: None, depth: 0 });
        self.add_found(found, text, line);
        // An export may have the newest line first, which is known at its end only. Exports too large to buffer are not sorted.
        if self.buffered < MAX_BUFFERED {
            let last = self.unsorted.last().map(|(at, ..)| *at).unwrap_or_default();
            for (line, event) in self.ready.drain(..) {
                self.buffered += event.len() as u64;
                self.unsorted.push((event_time(&event).unwrap_or(last), line, event));
            }
        } else if !self.unsorted.is_empty() {
            let ready = std::mem::take(&mut self.ready);
            self.sort_events();
            self.ready.extend(ready);
        }
    }

    /// Ends the text: the remaining events become available.
    pub(super) fn finish(&mut self) {
        if !self.partial_line.is_empty() {
            self.ready.push_back((0, std::mem::take(&mut self.partial_line)));
        }
        self.sort_events();
    }

    /// Makes the unsorted events available, oldest first.
    fn sort_events(&mut self) {
        // If the newest is first, events of the same time are in reverse order too.
        if self.unsorted.first().map(|(at, ..)| *at) > self.unsorted.last().map(|(at, ..)| *at) {
            self.unsorted.reverse();
        }
        self.unsorted.sort_by_key(|(at, ..)| *at);
        self.ready.extend(self.unsorted.drain(..).map(|(_, line, event)| (line, event)));
    }

    /// Adds the events of one object. Without events, the text itself is added.
    fn add_found(&mut self, mut found: ExtractedEvents, text: &str, line: u64) {
        if found.events.is_empty() && found.auth_events.is_empty() {
            self.ready.push_back((line, if found.is_wrapper { OTHER_LINE } else { text }.to_owned()));
            return;
        }
        let ends = (found.events.first().and_then(|first| event_time(first)), found.events.last().and_then(|last| event_time(last)));
        if let (Some(first), Some(last)) = ends
            && first > last
        {
            // CloudWatch Logs Insights and Loki return the newest first.
            found.events.reverse();
            found.events.sort_by_cached_key(|event| event_time(event).unwrap_or(last));
        }
        self.ready.extend(found.events.into_iter().map(|event| (line, event)));
        self.unsorted.extend(found.auth_events.into_iter().map(|event| (event_time(&event).unwrap_or_default(), line, event)));
    }

    /// Joins the parts of a line that a container runtime has split at 16 KiB. Returns `true` if another part must follow.
    fn join_parts(&mut self, object: &mut Map<String, Value>, line: u64) -> bool {
        let Some(Value::String(text)) = object.get_mut("log") else { return false };
        let is_unfinished = |text: &str| text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_err_and(|error| error.is_eof());
        if !self.partial_line.is_empty() {
            let joined = std::mem::take(&mut self.partial_line);
            if serde_json::from_str::<Map<String, Value>>(text).is_ok() || (joined.len() + text.len()) as u64 > MAX_RECORD_BYTES {
                self.ready.push_back((line, joined));
            } else {
                *text = joined + text;
            }
        }
        if is_unfinished(text) && !text.ends_with('\n') {
            self.partial_line.clone_from(text);
            return true;
        }
        false
    }
}

impl EventMembers {
    fn is_event(&self) -> bool {
        (self.user.is_some() && (self.time.is_some() || self.decision.is_some()))
            || (self.decision.is_some() && self.id.is_some())
            || (self.outcome.is_some() && self.trigger.is_some())
            || (self.event_type.is_some() && self.event_response.is_some())
            || self.event_id.is_some()
    }
}

impl ExtractedEvents {
    fn extract_from_object(&mut self, mut object: Map<String, Value>, inherited: Inherited<'_>) {
        let has = |name: &str| object.get(name).is_some_and(|value| !value.is_null());
        if has("EventId") {
            object.entry("UserName").or_insert_with(|| inherited.user.into());
            return self.auth_events.push(Value::Object(object).to_string());
        }
        if has("eventType") && has("eventResponse") {
            if !has("creationDate")
                && let Some(time) = inherited.time
            {
                object.insert("creationDate".to_owned(), time.clone());
            }
            return self.events.push(Value::Object(object).to_string());
        }
        if (has("user") && (has("time") || has("decision"))) || (has("decision") && has("id")) || (has("outcome") && has("trigger")) {
            return self.events.push(Value::Object(object).to_string());
        }
        if inherited.depth == MAX_DEPTH {
            return;
        }
        self.is_wrapper |= TEXT_MEMBERS[..LOG_ONLY_MEMBERS].iter().chain(&LIST_MEMBERS).any(|name| object.contains_key(*name));
        let user = object.get("UserName").or_else(|| object.get("Username")).and_then(Value::as_str).map(str::to_owned);
        let time = object.get("eventTimestamp").cloned();
        let inherited = Inherited { user: user.as_deref().unwrap_or(inherited.user), time: time.as_ref().or(inherited.time), depth: inherited.depth + 1 };
        let has = |names: &[&str]| names.iter().any(|name| object.contains_key(*name));
        let (is_kafka, is_loki, is_otel) = (has(&["topic"]), has(&["stream"]), has(&["timeUnixNano", "observedTimeUnixNano", "severityText"]));
        for (name, value) in object {
            let is_text = match name.as_str() {
                // In other logs, these members contain the headers and bodies of requests.
                "value" => is_kafka,
                "values" => is_loki,
                "body" => is_otel,
                name => TEXT_MEMBERS.contains(&name),
            };
            // OpenTelemetry wraps a body in an object with its type.
            let typed = value.get("stringValue").filter(|text| is_text && text.is_string()).cloned();
            self.extract_from_value(typed.unwrap_or(value), is_text, inherited);
        }
    }

    fn extract_from_value(&mut self, value: Value, is_text: bool, inherited: Inherited<'_>) {
        match value {
            Value::Object(object) => self.extract_from_object(object, inherited),
            Value::String(text) if is_text => self.extract_from_text(&text, inherited),
            Value::Array(items) if inherited.depth < MAX_DEPTH => match insights_row(&items) {
                Some(object) => self.extract_from_object(object, Inherited { depth: inherited.depth + 1, ..inherited }),
                None => items.into_iter().for_each(|item| self.extract_from_value(item, is_text, Inherited { depth: inherited.depth + 1, ..inherited })),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
        }
    }

    /// Extracts events from a line of text. Its objects may follow a time and a name, or be in base64.
    fn extract_from_text(&mut self, text: &str, inherited: Inherited<'_>) {
        if inherited.depth >= MAX_DEPTH {
            return;
        }
        let inherited = Inherited { depth: inherited.depth + 1, ..inherited };
        let text = text.trim();
        if ["H4sI", "eyJ", "ewog", "KLUv/"].iter().any(|start| text.starts_with(start)) {
            if let Some(inner) = self.decode(text) {
                self.extract_from_objects(&inner, inherited);
            }
        } else {
            self.extract_from_objects(text, inherited);
        }
    }

    /// Extracts events from the objects of a text.
    fn extract_from_objects(&mut self, text: &str, inherited: Inherited<'_>) {
        let Some(start) = text.find('{') else { return };
        let start = if text.starts_with('[') && text[1..start].trim().is_empty() { 0 } else { start };
        for value in serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>().map_while(Result::ok) {
            self.extract_from_value(value, false, inherited);
        }
    }

    /// Decodes the data of Kinesis and Firehose: base64, usually of gzip.
    fn decode(&mut self, text: &str) -> Option<String> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        if !bytes.starts_with(&[0x1f, 0x8b]) && !bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return String::from_utf8(bytes).ok();
        }
        let mut inner = String::new();
        let read = if bytes[0] == 0x1f {
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).take(self.decompression_budget).read_to_string(&mut inner)
        } else {
            ruzstd::decoding::StreamingDecoder::new(bytes.as_slice()).ok()?.take(self.decompression_budget).read_to_string(&mut inner)
        };
        self.decompression_budget -= inner.len() as u64;
        read.ok().map(|_| inner)
    }
}

/// Converts a row of CloudWatch Logs Insights, `[{"field":"user","value":"ada"}, ..]`, to one object.
fn insights_row(items: &[Value]) -> Option<Map<String, Value>> {
    let pair = |item: &Value| Some((item.get("field")?.as_str()?.to_owned(), item.get("value")?.clone()));
    if items.is_empty() { None } else { items.iter().map(pair).collect() }
}

/// Returns the time of an event.
fn event_time(event: &str) -> Option<jiff::Timestamp> {
    TimeParser::default().try_parse(&serde_json::from_str::<TimeMember<'_>>(event).ok()?.time.0)
}
