//! Delivery of codes by the operator's own service: one signed request.
//!
//! The signature is `v1=` and the hexadecimal HMAC-SHA256 of the timestamp, a dot and the body. A receiver refuses an old timestamp.

use std::fmt::Write as _;

use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::challenge::delivery::{CodeRequest, Delivered};
use riskgate_engine::evidence::FailureReason;
use riskgate_engine::time::ClockReading;
use riskgate_http_client::Client;

/// The header with the seconds since 1970 that the signature includes.
const TIMESTAMP_HEADER: &str = "x-riskgate-timestamp";

/// The header with the signature.
const SIGNATURE_HEADER: &str = "x-riskgate-signature";

/// The longest medium and destination that an answer may state, in bytes.
const MAX_TEXT: usize = 64;

/// The operator's service.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
    url: String,
    secret: Option<SecretString>,
}

/// The request's body. Only verified addresses are in it.
#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    code: &'a str,
    expires_at: i64,
    pool: &'a str,
    client: &'a str,
    user_name: &'a str,
    sub: Option<&'a str>,
    email: Option<&'a str>,
    phone_number: Option<&'a str>,
    locale: Option<&'a str>,
}

/// What the service may answer: how the code was delivered, and a masked address. Both are shown to the user.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    medium: Option<String>,
    destination: Option<String>,
}

impl Webhook {
    /// A service at a URL. Without a secret no request is sent.
    pub fn new(client: Client, url: String, secret: Option<SecretString>) -> Self {
        Webhook { client, url, secret }
    }

    /// Requests the delivery of a code.
    ///
    /// # Errors
    ///
    /// The service did not answer with 200, 201, 202 or 204, or the secret is not known yet.
    pub async fn send(&self, request: &CodeRequest<'_>, now: ClockReading) -> Result<Delivered, FailureReason> {
        let secret = self.secret.as_ref().ok_or(FailureReason::NoCredentials)?;
        let user = &request.sign_in.user;
        let body = serde_json::to_string(&Body {
            id: request.id,
            code: request.code.expose_secret(),
            expires_at: request.expires_at,
            pool: &request.sign_in.pool,
            client: &request.sign_in.client,
            user_name: user.name.expose(),
            sub: user.sub.as_ref().map(|sub| sub.expose().as_str()),
            email: request.recipient.email.as_ref().map(|email| email.expose().as_str()),
            phone_number: request.recipient.phone_number.as_ref().map(|number| number.expose().as_str()),
            locale: request.locales().next(),
        })
        .map_err(|_| FailureReason::BadAnswer)?;
        let timestamp = request.sign_in.received.wall.as_second().to_string();
        let signature = signature(secret, &timestamp, &body);
        let headers = [("content-type", "application/json"), (TIMESTAMP_HEADER, &timestamp), (SIGNATURE_HEADER, &signature)];
        let send = self.client.send(now, |client| headers.into_iter().fold(client.post(&self.url), |post, (name, value)| post.header(name, value)).body(body));
        let response = send.await.map_err(|failure| failure.cause)?;
        match response.status().as_u16() {
            // A body that states nothing, or nothing usable, is no failure: the code is on its way.
            200..=202 => {
                Ok(response.bytes().await.ok().and_then(|body| serde_json::from_slice(&body).ok()).map_or_else(Delivered::by_operator, Answer::delivered))
            }
            204 => Ok(Delivered::by_operator()),
            _ => Err(response.require_ok().await.map_or_else(|failure| failure.cause, |_| FailureReason::BadAnswer)),
        }
    }
}

impl Answer {
    fn delivered(self) -> Delivered {
        let printable = |text: &String| (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control);
        let default = Delivered::by_operator();
        Delivered {
            medium: self.medium.filter(printable).unwrap_or(default.medium),
            destination: self.destination.filter(printable).unwrap_or(default.destination),
        }
    }
}

/// The signature of a body at a time.
fn signature(secret: &SecretString, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    [timestamp, ".", body].iter().for_each(|part| context.update(part.as_bytes()));
    context.sign().as_ref().iter().fold("v1=".to_owned(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value is OpenSSL's: `printf '1700000000.{"code":"1"}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef`.
    #[test]
    fn the_signature_is_that_of_other_implementations() {
        let secret = SecretString::from("0123456789abcdef0123456789abcdef");
        assert_eq!(signature(&secret, "1700000000", r#"{"code":"1"}"#), "v1=0199b0f9beae4403aca9836881f0abcc582b56b277d45386acb0be638e627d13");
    }
}
