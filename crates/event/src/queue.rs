//! A batch of messages of Amazon SQS, as Lambda delivers it, and the response that names the messages to deliver again.

use serde::Deserialize;
use serde_json::{json, value::to_raw_value};

use riskgate_engine::personal::{Personal, RawEvent};

/// A batch of messages of a queue.
#[derive(Debug)]
pub struct QueueBatch {
    /// The messages.
    pub messages: Vec<QueueMessage>,
}

/// A message of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// SQS's id of this delivery, for the response.
    pub id: String,
    /// The body.
    pub body: Personal<String>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "Records")]
    records: Vec<WireRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRecord {
    event_source: String,
    message_id: String,
    #[serde(default)]
    body: String,
}

/// Parses a batch; `None` for any other event.
pub fn parse(text: &str) -> Option<QueueBatch> {
    let wire: Wire = serde_json::from_str(text).ok()?;
    let is_queue = !wire.records.is_empty() && wire.records.iter().all(|record| record.event_source == "aws:sqs");
    let message = |record: WireRecord| QueueMessage { id: record.message_id, body: Personal::new(record.body) };
    is_queue.then(|| QueueBatch { messages: wire.records.into_iter().map(message).collect() })
}

/// The response of a batch: the messages that SQS delivers again (`ReportBatchItemFailures`).
pub fn response(failed: &[String]) -> RawEvent {
    let failures: Vec<_> = failed.iter().map(|id| json!({ "itemIdentifier": id })).collect();
    to_raw_value(&json!({ "batchItemFailures": failures })).map(RawEvent::new).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_of_a_queue_are_a_batch() {
        let batch = parse(r#"{"Records":[{"messageId":"a","eventSource":"aws:sqs","body":"{}","attributes":{}},{"messageId":"b","eventSource":"aws:sqs"}]}"#);
        let ids: Vec<String> = batch.unwrap().messages.into_iter().map(|message| message.id).collect();
        assert_eq!(ids, ["a", "b"]);
        for other in [r#"{"Records":[]}"#, r#"{"Records":[{"messageId":"a","eventSource":"aws:s3","body":""}]}"#, r#"{"Records":1}"#, "{}", "[]"] {
            assert!(parse(other).is_none(), "{other}");
        }
        assert_eq!(response(&["a".to_owned()]).text(), r#"{"batchItemFailures":[{"itemIdentifier":"a"}]}"#);
    }
}
