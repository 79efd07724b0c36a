//! A client for Secrets Manager and Parameter Store. Each secret is fetched once, all of them concurrently, in signed calls.
//!
//! The caller sets the timeout. Errors contain only a failure reason, because requests and responses contain secrets.

use std::collections::BTreeSet;

use ::http::StatusCode;
use aws_config::SdkConfig;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    environment::AwsFault,
    signer::{AwsService, SignedRequest, Signer},
};
use riskgate_config::env::secret_references::{Reference, SecretsService};
use riskgate_engine::evidence::FailureReason;
use riskgate_engine::time::ClockReading;
use riskgate_http_client::Client;

/// The most parameters that one `GetParameters` call may request.
const MAX_PARAMETERS: usize = 10;

/// A client for the services that secret references name.
#[derive(Debug)]
pub struct SecretsClient {
    signer: Signer,
}

/// A reference and its resolved secret.
pub type ResolvedSecret = (Reference, Result<SecretString, FailureReason>);

/// A secret as the service returned it: its name and its complete value.
type FetchedSecret = (String, Result<String, FailureReason>);

/// The API of one service.
struct SecretsApi {
    service: AwsService,
    operation: &'static str,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(rename = "SecretString")]
    string: String,
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(rename = "Parameters", default)]
    found: Vec<Parameter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type", default)]
    kind: String,
}

const SECRETS_MANAGER: SecretsApi = SecretsApi {
    service: AwsService { id: "Secrets Manager", host: "secretsmanager", signing_name: "secretsmanager" },
    operation: "secretsmanager.GetSecretValue",
};

const PARAMETER_STORE: SecretsApi = SecretsApi { service: AwsService { id: "SSM", host: "ssm", signing_name: "ssm" }, operation: "AmazonSSM.GetParameters" };

impl SecretsClient {
    /// Creates a client with the AWS configuration of the environment, which the first call reads.
    pub fn new(client: Client) -> Self {
        SecretsClient { signer: Signer::new(client) }
    }

    /// Creates a client with a given AWS configuration.
    pub fn with_config(sdk_config: SdkConfig, client: Client) -> Self {
        SecretsClient { signer: Signer::with_config(sdk_config, client) }
    }

    /// Fetches the secrets that references name. A secret with several fields is fetched once, and parameters ten at a time.
    pub async fn fetch(&self, references: &[Reference], now: ClockReading) -> Vec<ResolvedSecret> {
        let names_of = |secrets_service: SecretsService| -> Vec<&str> {
            let names: BTreeSet<&str> =
                references.iter().filter(|reference| reference.secrets_service == secrets_service).map(|reference| reference.name.as_str()).collect();
            names.into_iter().collect()
        };
        let (secrets, parameters) = (names_of(SecretsService::SecretsManager), names_of(SecretsService::ParameterStore));
        let secrets = futures_util::future::join_all(secrets.iter().map(|name| self.fetch_secret(name, now)));
        let parameters = futures_util::future::join_all(parameters.chunks(MAX_PARAMETERS).map(|names| self.fetch_parameters(names, now)));
        let (secrets, parameters) = futures_util::future::join(secrets, parameters).await;
        let parameters = parameters.concat();
        let resolve = |reference: &Reference| {
            let fetched = if reference.secrets_service == SecretsService::SecretsManager { &secrets } else { &parameters };
            let (_, value) = fetched.iter().find(|(name, _)| *name == reference.name).ok_or(FailureReason::BadAnswer)?;
            extract_field(value.as_ref().map_err(|cause| *cause)?, reference.field.as_deref())
        };
        references.iter().map(|reference| (reference.clone(), resolve(reference))).collect()
    }

    async fn fetch_secret(&self, name: &str, now: ClockReading) -> FetchedSecret {
        // An ARN contains its region.
        let region = name.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2));
        let answer: Result<Secret, FailureReason> = self.call(&SECRETS_MANAGER, &json!({ "SecretId": name }), region, now).await;
        (name.to_owned(), answer.map(|secret| secret.string))
    }

    async fn fetch_parameters(&self, names: &[&str], now: ClockReading) -> Vec<FetchedSecret> {
        let answer: Result<Parameters, FailureReason> = self.call(&PARAMETER_STORE, &json!({ "Names": names, "WithDecryption": true }), None, now).await;
        let value = |name: &str| match &answer {
            Ok(answer) => answer.found.iter().find(|found| found.name == name).map(|found| found.value.clone()).ok_or(FailureReason::Http4xx),
            Err(cause) => Err(*cause),
        };
        names.iter().map(|name| ((*name).to_owned(), value(name))).collect()
    }

    /// What the operator must fix before secrets can be fetched, if known.
    pub fn problem(&self) -> Option<AwsFault> {
        self.signer.problem()
    }

    fn failure_reason(&self, status: StatusCode, body: &[u8]) -> FailureReason {
        if error_type(body).ends_with("ExpiredTokenException") { self.signer.record_fault(AwsFault::Expired) } else { failure_reason(status, body) }
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        api: &SecretsApi,
        request: &Value,
        region: Option<&str>,
        now: ClockReading,
    ) -> Result<T, FailureReason> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", api.operation)];
        let (status, body) = self.signer.post(&api.service, region, SignedRequest { path: "", headers: &headers, body: request.to_string() }, now).await?;
        if status == StatusCode::OK { serde_json::from_slice(&body).map_err(|_| FailureReason::BadAnswer) } else { Err(self.failure_reason(status, &body)) }
    }
}

fn error_type(body: &[u8]) -> String {
    serde_json::from_slice::<ErrorBody>(body).map(|error| error.kind).unwrap_or_default()
}

fn failure_reason(status: StatusCode, body: &[u8]) -> FailureReason {
    match error_type(body).rsplit('#').next().unwrap_or_default() {
        "AccessDeniedException" | "UnrecognizedClientException" | "InvalidSignatureException" | "IncompleteSignature" | "InvalidClientTokenId" => {
            FailureReason::KeyRefused
        }
        "ThrottlingException" => FailureReason::RateLimited,
        _ => match status.as_u16() {
            401 | 403 => FailureReason::KeyRefused,
            429 => FailureReason::RateLimited,
            500..=599 => FailureReason::Http5xx,
            _ => FailureReason::Http4xx,
        },
    }
}

/// The value itself or one member of it, without surrounding white space such as a final line break.
fn extract_field(value: &str, field: Option<&str>) -> Result<SecretString, FailureReason> {
    let text = match field {
        None => value.to_owned(),
        Some(field) => match serde_json::from_str::<Value>(value).ok().as_ref().and_then(|value| value.get(field)) {
            Some(Value::String(text)) => text.clone(),
            Some(_) | None => return Err(FailureReason::BadAnswer),
        },
    };
    let text = text.trim();
    if text.is_empty() { Err(FailureReason::BadAnswer) } else { Ok(SecretString::from(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_field_is_a_string_of_a_json_object() {
        for (value, name, expected) in [
            ("plain\n", None, Some("plain")),
            (r#"{"ipqs":"k"}"#, Some("ipqs"), Some("k")),
            (r#"{"ipqs":"k"}"#, None, Some(r#"{"ipqs":"k"}"#)),
            (r#"{"ipqs":7}"#, Some("ipqs"), None),
            (r#"{"other":"k"}"#, Some("ipqs"), None),
            ("plain", Some("ipqs"), None),
            (r#"{"ipqs":" "}"#, Some("ipqs"), None),
            ("", None, None),
        ] {
            assert_eq!(extract_field(value, name).ok().as_ref().map(|found| found.expose_secret()), expected, "{value} {name:?}");
        }
    }

    #[test]
    fn errors_are_classified_by_their_type() {
        for (status, body, expected) in [
            (400, r#"{"__type":"ResourceNotFoundException","Message":"x"}"#, FailureReason::Http4xx),
            (400, r#"{"__type":"com.amazon.coral.service#AccessDeniedException"}"#, FailureReason::KeyRefused),
            (400, r#"{"__type":"ThrottlingException"}"#, FailureReason::RateLimited),
            (403, "", FailureReason::KeyRefused),
            (503, "<html>", FailureReason::Http5xx),
        ] {
            assert_eq!(failure_reason(StatusCode::from_u16(status).expect("a status"), body.as_bytes()), expected, "{status} {body}");
        }
    }
}
