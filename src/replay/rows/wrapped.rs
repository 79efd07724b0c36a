//! Events inside the objects in which log services, command lines and container runtimes hand them out.

use std::{collections::VecDeque, io::Read as _};

use base64::Engine as _;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

use super::{Clock, documents::is_of_a_container, json::is_of_the_platform, limit::LONGEST, scalar::Scalar};

/// How deep objects and texts inside one another are opened.
const DEEPEST: u8 = 16;

/// The most that compressed data of one object may become, and that waits to be sorted, in bytes.
const LARGEST: u64 = 64 << 20;

/// Stands for a line of another program.
const FOREIGN: &str = "{\"type\":\"other\"}";

/// Members whose text is a line of a log, or data that holds lines. A text under any other name is never opened: it may be a client's.
const TEXTS: [&str; 16] = [
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

/// Those of them, the first ones, that only a line of a log has.
const MESSAGES: usize = 7;

/// Members that hold lists of such lines.
const LISTS: [&str; 8] = ["AuthEvents", "logEvents", "events", "results", "Records", "records", "hits", "ResultSet"];

/// What tells an event from what is around it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Peek {
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
struct Timed<'a> {
    #[serde(borrow, alias = "CreationDate", alias = "creationDate")]
    time: Scalar<'a>,
}

/// Events that were found in objects, in order.
pub struct Wrapped {
    /// The user of Cognito's events that name none.
    user: String,
    ready: VecDeque<(u64, String)>,
    /// Events that are sorted when all of them are here: Cognito's API answers newest first, page after page.
    waiting: Vec<(jiff::Timestamp, u64, String)>,
    /// Bytes of events from columns that have waited.
    held: u64,
    /// The beginning of a line that a container runtime has cut into parts.
    part: String,
}

/// What is found in one object.
#[derive(Debug, Default)]
struct Found {
    events: Vec<String>,
    auth_events: Vec<String>,
    /// Whether it is a known wrapper, with or without an event in it.
    is_wrapper: bool,
    /// Compressed bytes that may still be opened.
    opened: u64,
}

/// What the objects around say of an event.
#[derive(Debug, Clone, Copy)]
struct Around<'a> {
    user: &'a str,
    time: Option<&'a Value>,
    depth: u8,
}

impl Wrapped {
    /// Of a file that is named after a user, perhaps.
    pub(super) fn new(user: String) -> Self {
        Wrapped { user, ready: VecDeque::new(), waiting: Vec::new(), held: 0, part: String::new() }
    }

    /// The next event and its line.
    pub(super) fn pop(&mut self) -> Option<(u64, String)> {
        self.ready.pop_front()
    }

    /// Whether a text is an event as it is, which needs no opening.
    pub(super) fn is_event(text: &str) -> bool {
        text.starts_with("{\"schema\":") || serde_json::from_str::<Peek>(text).is_ok_and(|peek| peek.is_event() && peek.event_id.is_none())
    }

    /// Takes an object, or a line of text.
    pub(super) fn take(&mut self, text: &str, line: u64) {
        let Ok(Value::Object(mut object)) = serde_json::from_str(text) else {
            let is_foreign = is_of_the_platform(text) || is_of_a_container(text);
            self.ready.push_back((line, if is_foreign { FOREIGN } else { text }.to_owned()));
            return;
        };
        if self.is_part(&mut object, line) {
            return;
        }
        let mut found = Found { opened: LARGEST, ..Found::default() };
        found.object(object, Around { user: &self.user, time: None, depth: 0 });
        self.give(found, text, line);
    }

    /// Takes a line of text that stood in a column.
    pub(super) fn take_message(&mut self, text: &str, line: u64) {
        let mut found = Found { is_wrapper: true, opened: LARGEST, ..Found::default() };
        found.text(text, Around { user: &self.user, time: None, depth: 0 });
        self.give(found, text, line);
        // An export may be newest first, which only its end tells. Those that are too large to be held go on as they are.
        if self.held < LARGEST {
            let last = self.waiting.last().map(|(at, ..)| *at).unwrap_or_default();
            for (line, event) in self.ready.drain(..) {
                self.held += event.len() as u64;
                self.waiting.push((time(&event).unwrap_or(last), line, event));
            }
        } else if !self.waiting.is_empty() {
            let ready = std::mem::take(&mut self.ready);
            self.sort();
            self.ready.extend(ready);
        }
    }

    /// Ends the text: what waited is given out.
    pub(super) fn finish(&mut self) {
        if !self.part.is_empty() {
            self.ready.push_back((0, std::mem::take(&mut self.part)));
        }
        self.sort();
    }

    /// Gives out what waited, oldest first.
    fn sort(&mut self) {
        // Where the newest comes first, the order among events of one time is turned too.
        if self.waiting.first().map(|(at, ..)| *at) > self.waiting.last().map(|(at, ..)| *at) {
            self.waiting.reverse();
        }
        self.waiting.sort_by_key(|(at, ..)| *at);
        self.ready.extend(self.waiting.drain(..).map(|(_, line, event)| (line, event)));
    }

    fn give(&mut self, mut found: Found, text: &str, line: u64) {
        if found.events.is_empty() && found.auth_events.is_empty() {
            self.ready.push_back((line, if found.is_wrapper { FOREIGN } else { text }.to_owned()));
            return;
        }
        let ends = (found.events.first().and_then(|first| time(first)), found.events.last().and_then(|last| time(last)));
        if let (Some(first), Some(last)) = ends
            && first > last
        {
            // CloudWatch Logs Insights and Loki answer newest first.
            found.events.reverse();
            found.events.sort_by_cached_key(|event| time(event).unwrap_or(last));
        }
        self.ready.extend(found.events.into_iter().map(|event| (line, event)));
        self.waiting.extend(found.auth_events.into_iter().map(|event| (time(&event).unwrap_or_default(), line, event)));
    }

    /// Joins the parts of a line that a container runtime has cut, 16 KiB each; says whether the rest is still to come.
    fn is_part(&mut self, object: &mut Map<String, Value>, line: u64) -> bool {
        let Some(Value::String(text)) = object.get_mut("log") else { return false };
        let is_unfinished = |text: &str| text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_err_and(|error| error.is_eof());
        if !self.part.is_empty() {
            let joined = std::mem::take(&mut self.part);
            if serde_json::from_str::<Map<String, Value>>(text).is_ok() || (joined.len() + text.len()) as u64 > LONGEST {
                self.ready.push_back((line, joined));
            } else {
                *text = joined + text;
            }
        }
        if is_unfinished(text) && !text.ends_with('\n') {
            self.part.clone_from(text);
            return true;
        }
        false
    }
}

impl Peek {
    fn is_event(&self) -> bool {
        (self.user.is_some() && (self.time.is_some() || self.decision.is_some()))
            || (self.decision.is_some() && self.id.is_some())
            || (self.outcome.is_some() && self.trigger.is_some())
            || (self.event_type.is_some() && self.event_response.is_some())
            || self.event_id.is_some()
    }
}

impl Found {
    fn object(&mut self, mut object: Map<String, Value>, around: Around<'_>) {
        let has = |name: &str| object.get(name).is_some_and(|value| !value.is_null());
        if has("EventId") {
            object.entry("UserName").or_insert_with(|| around.user.into());
            return self.auth_events.push(Value::Object(object).to_string());
        }
        if has("eventType") && has("eventResponse") {
            if !has("creationDate")
                && let Some(time) = around.time
            {
                object.insert("creationDate".to_owned(), time.clone());
            }
            return self.events.push(Value::Object(object).to_string());
        }
        if (has("user") && (has("time") || has("decision"))) || (has("decision") && has("id")) || (has("outcome") && has("trigger")) {
            return self.events.push(Value::Object(object).to_string());
        }
        if around.depth == DEEPEST {
            return;
        }
        self.is_wrapper |= TEXTS[..MESSAGES].iter().chain(&LISTS).any(|name| object.contains_key(*name));
        let user = object.get("UserName").or_else(|| object.get("Username")).and_then(Value::as_str).map(str::to_owned);
        let time = object.get("eventTimestamp").cloned();
        let around = Around { user: user.as_deref().unwrap_or(around.user), time: time.as_ref().or(around.time), depth: around.depth + 1 };
        let has = |names: &[&str]| names.iter().any(|name| object.contains_key(*name));
        let (is_kafka, is_loki, is_otel) = (has(&["topic"]), has(&["stream"]), has(&["timeUnixNano", "observedTimeUnixNano", "severityText"]));
        for (name, value) in object {
            let is_text = match name.as_str() {
                // Other programs write a request's headers and bodies under these names.
                "value" => is_kafka,
                "values" => is_loki,
                "body" => is_otel,
                name => TEXTS.contains(&name),
            };
            // OpenTelemetry names the type of a body.
            let typed = value.get("stringValue").filter(|text| is_text && text.is_string()).cloned();
            self.value(typed.unwrap_or(value), is_text, around);
        }
    }

    fn value(&mut self, value: Value, is_text: bool, around: Around<'_>) {
        match value {
            Value::Object(object) => self.object(object, around),
            Value::String(text) if is_text => self.text(&text, around),
            Value::Array(items) if around.depth < DEEPEST => match pivoted(&items) {
                Some(object) => self.object(object, Around { depth: around.depth + 1, ..around }),
                None => items.into_iter().for_each(|item| self.value(item, is_text, Around { depth: around.depth + 1, ..around })),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
        }
    }

    /// Objects in a line of text, after a time and a name perhaps, or in base64.
    fn text(&mut self, text: &str, around: Around<'_>) {
        if around.depth >= DEEPEST {
            return;
        }
        let around = Around { depth: around.depth + 1, ..around };
        let text = text.trim();
        if ["H4sI", "eyJ", "ewog", "KLUv/"].iter().any(|start| text.starts_with(start)) {
            if let Some(inner) = self.decoded(text) {
                self.objects(&inner, around);
            }
        } else {
            self.objects(text, around);
        }
    }

    fn objects(&mut self, text: &str, around: Around<'_>) {
        let Some(start) = text.find('{') else { return };
        let start = if text.starts_with('[') && text[1..start].trim().is_empty() { 0 } else { start };
        for value in serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>().map_while(Result::ok) {
            self.value(value, false, around);
        }
    }

    /// What Kinesis and Firehose carry: base64, of gzip mostly.
    fn decoded(&mut self, text: &str) -> Option<String> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        if !bytes.starts_with(&[0x1f, 0x8b]) && !bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return String::from_utf8(bytes).ok();
        }
        let mut inner = String::new();
        let read = if bytes[0] == 0x1f {
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).take(self.opened).read_to_string(&mut inner)
        } else {
            ruzstd::decoding::StreamingDecoder::new(bytes.as_slice()).ok()?.take(self.opened).read_to_string(&mut inner)
        };
        self.opened -= inner.len() as u64;
        read.ok().map(|_| inner)
    }
}

/// A row of CloudWatch Logs Insights, `[{"field":"user","value":"ada"}, ..]`, as one object.
fn pivoted(items: &[Value]) -> Option<Map<String, Value>> {
    let pair = |item: &Value| Some((item.get("field")?.as_str()?.to_owned(), item.get("value")?.clone()));
    if items.is_empty() { None } else { items.iter().map(pair).collect() }
}

fn time(event: &str) -> Option<jiff::Timestamp> {
    Clock::default().read(&serde_json::from_str::<Timed<'_>>(event).ok()?.time.0)
}
