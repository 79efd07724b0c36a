//! Messages to a queue of Amazon SQS: one signed `SendMessage` call of its JSON protocol.

use std::time::Duration;

use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::json;

use crate::{
    environment::AwsFault,
    json_call::{CallError, Operation, call},
    signer::{AwsService, Signer},
};
use riskgate_engine::time::ClockReading;
use riskgate_http_client::Client;

const SEND_MESSAGE: Operation = Operation {
    service: AwsService { id: "SQS", host: "sqs", signing_name: "sqs" },
    content_type: "application/x-amz-json-1.0",
    target: "AmazonSQS.SendMessage",
};

/// Sends messages to one queue.
#[derive(Debug)]
pub struct SqsClient {
    signer: Signer,
    queue: String,
    region: Option<String>,
}

#[derive(Deserialize)]
struct Sent {
    /// Present in every answer of an accepted message.
    #[serde(rename = "MessageId")]
    _message_id: String,
}

impl SqsClient {
    /// A client with the AWS configuration of the environment, for the queue with this URL.
    pub fn new(client: Client, queue: String, region: Option<String>) -> Self {
        SqsClient { signer: Signer::new(client), queue, region }
    }

    /// A client with a given AWS configuration.
    pub fn with_config(sdk_config: SdkConfig, client: Client, queue: String) -> Self {
        SqsClient { signer: Signer::with_config(sdk_config, client), queue, region: None }
    }

    /// What the operator must fix before messages can be sent, if known.
    pub fn problem(&self) -> Option<AwsFault> {
        self.signer.problem()
    }

    /// Sends a message, which receivers see after `delay`, at most 15 minutes.
    ///
    /// # Errors
    ///
    /// SQS did not accept it, or did not answer.
    pub async fn send(&self, body: &str, delay: Duration, now: ClockReading) -> Result<(), CallError> {
        let request = json!({ "QueueUrl": self.queue, "MessageBody": body, "DelaySeconds": delay.as_secs().min(900) });
        call::<Sent>(&self.signer, &SEND_MESSAGE, self.region.as_deref(), &request, now).await.map(|_| ())
    }
}
