//! One signed call of an AWS API with the JSON protocol, and its error.

use ::http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    environment::AwsFault,
    signer::{AwsService, SignedRequest, Signer},
};
use riskgate_engine::{evidence::FailureReason, time::ClockReading};

/// The operation of a service.
pub(crate) struct Operation {
    /// The service.
    pub(crate) service: AwsService,
    /// `application/x-amz-json-1.0` or `-1.1`.
    pub(crate) content_type: &'static str,
    /// The header `x-amz-target`.
    pub(crate) target: &'static str,
}

/// Why a call failed: the reason, and the service's own name of the error, if it answered with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The reason.
    pub cause: FailureReason,
    /// The error's name, such as `UserNotFoundException`. It never contains a value of the request.
    pub name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    #[serde(rename = "__type")]
    kind: String,
}

/// Sends a request and parses the response.
///
/// # Errors
///
/// The request cannot be signed, the service did not answer, or it answered with an error or with another format.
pub(crate) async fn call<T: DeserializeOwned>(
    signer: &Signer,
    operation: &Operation,
    region: Option<&str>,
    request: &Value,
    now: ClockReading,
) -> Result<T, CallError> {
    let headers = [("content-type", operation.content_type), ("x-amz-target", operation.target)];
    let request = SignedRequest { path: "", headers: &headers, body: request.to_string() };
    let (status, body) = signer.post(&operation.service, region, request, now).await?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|_| FailureReason::BadAnswer.into());
    }
    let error = CallError::of(status, &body);
    if error.name == "ExpiredTokenException" {
        signer.record_fault(AwsFault::Expired);
    }
    Err(error)
}

impl CallError {
    fn of(status: StatusCode, body: &[u8]) -> Self {
        let kind = serde_json::from_slice::<ErrorBody>(body).map(|error| error.kind).unwrap_or_default();
        let name: String = kind.rsplit('#').next().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        let cause = match name.as_str() {
            "AccessDeniedException"
            | "AccessDenied"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "NotAuthorizedException"
            | "InvalidClientTokenId"
            | "ExpiredTokenException" => FailureReason::KeyRefused,
            "TooManyRequestsException" | "ThrottlingException" | "RequestThrottled" => FailureReason::RateLimited,
            _ => match status.as_u16() {
                401 | 403 => FailureReason::KeyRefused,
                429 => FailureReason::RateLimited,
                500..=599 => FailureReason::Http5xx,
                300..=399 => FailureReason::Redirect,
                _ => FailureReason::Http4xx,
            },
        };
        CallError { cause, name }
    }
}

impl From<FailureReason> for CallError {
    fn from(cause: FailureReason) -> Self {
        CallError { cause, name: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classified_by_their_name() {
        for (status, body, cause, name) in [
            (400, r#"{"__type":"TooManyRequestsException","message":"x"}"#, FailureReason::RateLimited, "TooManyRequestsException"),
            (400, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}"#, FailureReason::Http4xx, "QueueDoesNotExist"),
            (400, r#"{"__type":"NotAuthorizedException","Message":"ada"}"#, FailureReason::KeyRefused, "NotAuthorizedException"),
            (500, "<html>", FailureReason::Http5xx, ""),
        ] {
            let error = CallError::of(StatusCode::from_u16(status).expect("a status"), body.as_bytes());
            assert_eq!((error.cause, error.name.as_str()), (cause, name), "{body}");
        }
    }
}
