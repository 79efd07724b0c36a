//! E-mail through Amazon SES: one signed `SendEmail` call of its API version 2.

use ::http::StatusCode;
use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::json;

use crate::{
    environment::AwsFault,
    signer::{AwsService, SignedRequest, Signer},
};
use riskgate_engine::evidence::FailureReason;
use riskgate_engine::time::ClockReading;
use riskgate_http_client::Client;

const SES: AwsService = AwsService { id: "SESv2", host: "email", signing_name: "ses" };

/// Sends e-mails.
#[derive(Debug)]
pub struct SesClient {
    signer: Signer,
    region: Option<String>,
}

/// An e-mail in text and HTML. It has no `Debug`, because it contains an address and a code.
pub struct Email<'a> {
    /// The sender, with or without a name.
    pub from: &'a str,
    /// The recipient's address.
    pub to: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// The text part.
    pub text: &'a str,
    /// The HTML part.
    pub html: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    /// Present in every answer of a sent e-mail.
    #[serde(rename = "MessageId")]
    _message_id: String,
}

impl SesClient {
    /// A client with the AWS configuration of the environment, for the identities of a region.
    pub fn new(client: Client, region: Option<String>) -> Self {
        SesClient { signer: Signer::new(client), region }
    }

    /// A client with a given AWS configuration.
    pub fn with_config(sdk_config: SdkConfig, client: Client) -> Self {
        SesClient { signer: Signer::with_config(sdk_config, client), region: None }
    }

    /// What the operator must fix before e-mails can be sent, if known.
    pub fn problem(&self) -> Option<AwsFault> {
        self.signer.problem()
    }

    /// Sends an e-mail. It is never repeated: a repetition could arrive twice.
    ///
    /// # Errors
    ///
    /// SES did not accept it, or did not answer.
    pub async fn send(&self, email: &Email<'_>, now: ClockReading) -> Result<(), FailureReason> {
        let part = |data: &str| json!({ "Data": data, "Charset": "UTF-8" });
        let body = json!({
            "FromEmailAddress": email.from,
            "Destination": { "ToAddresses": [email.to] },
            "Content": { "Simple": { "Subject": part(email.subject), "Body": { "Text": part(email.text), "Html": part(email.html) } } },
        });
        let request = SignedRequest { path: "/v2/email/outbound-emails", headers: &[("content-type", "application/json")], body: body.to_string() };
        let (status, body) = self.signer.post(&SES, self.region.as_deref(), request, now).await?;
        match status {
            StatusCode::OK => serde_json::from_slice::<Sent>(&body).map(|_| ()).map_err(|_| FailureReason::BadAnswer),
            status => Err(failure_reason(status)),
        }
    }
}

/// The failure reason of a refusal. The message of a refusal may contain the address, so only the status counts.
fn failure_reason(status: StatusCode) -> FailureReason {
    match status.as_u16() {
        401 | 403 => FailureReason::KeyRefused,
        429 => FailureReason::RateLimited,
        500..=599 => FailureReason::Http5xx,
        300..=399 => FailureReason::Redirect,
        _ => FailureReason::Http4xx,
    }
}
