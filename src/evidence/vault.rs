//! Asking Secrets Manager and Parameter Store for secrets: signed calls, each secret asked for once, all at the same time.
//!
//! The caller keeps the time. No error tells more than its cause: what was asked for and what came back are secrets.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use ::http::{HeaderMap, HeaderValue, StatusCode};
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Cause,
    aws::{self, AwsFault, Identity},
    provider::Client,
};
use crate::{
    config::references::{Reference, Vault},
    event::Now,
};

/// The most parameters that one call may ask for.
const MOST_PARAMETERS: usize = 10;

/// The vaults that references name.
#[derive(Debug)]
pub struct Vaults {
    client: Client,
    identity: Identity,
    fault: Mutex<Option<AwsFault>>,
}

/// What a reference led to.
pub type Had = (Reference, Result<SecretString, Cause>);

/// A secret as its vault told it: its name, and its whole value.
type Told = (String, Result<String, Cause>);

/// How a vault is spoken to.
struct Dialect {
    /// Its name in the surrounding configuration, and in its own address and signatures.
    service: (&'static str, &'static str),
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
struct Refusal {
    #[serde(rename = "__type", default)]
    kind: String,
}

const SECRETS_MANAGER: Dialect = Dialect { service: ("Secrets Manager", "secretsmanager"), operation: "secretsmanager.GetSecretValue" };

const PARAMETER_STORE: Dialect = Dialect { service: ("SSM", "ssm"), operation: "AmazonSSM.GetParameters" };

// === impl Vaults ===

impl Vaults {
    /// Vaults of the surrounding AWS configuration; read by the first call.
    pub fn new(client: Client) -> Self {
        Vaults { client, identity: Identity::surrounding(), fault: Mutex::default() }
    }

    /// Vaults of an AWS configuration of the caller's own.
    pub fn over(surroundings: SdkConfig, client: Client) -> Self {
        Vaults { client, identity: Identity::of(surroundings), fault: Mutex::default() }
    }

    /// Asks for what references name. A secret of several fields is asked for once, and parameters ten at a time.
    pub async fn ask(&self, references: &[Reference], now: Now) -> Vec<Had> {
        let named = |vault: Vault| -> Vec<&str> {
            let names: BTreeSet<&str> = references.iter().filter(|reference| reference.vault == vault).map(|reference| reference.name.as_str()).collect();
            names.into_iter().collect()
        };
        let (secrets, parameters) = (named(Vault::SecretsManager), named(Vault::ParameterStore));
        let secrets = futures_util::future::join_all(secrets.iter().map(|name| self.secret(name, now)));
        let parameters = futures_util::future::join_all(parameters.chunks(MOST_PARAMETERS).map(|names| self.parameters(names, now)));
        let (secrets, parameters) = futures_util::future::join(secrets, parameters).await;
        let parameters = parameters.concat();
        let find = |reference: &Reference| {
            let told = if reference.vault == Vault::SecretsManager { &secrets } else { &parameters };
            let (_, value) = told.iter().find(|(name, _)| *name == reference.name).ok_or(Cause::BadAnswer)?;
            field(value.as_ref().map_err(|cause| *cause)?, reference.field.as_deref())
        };
        references.iter().map(|reference| (reference.clone(), find(reference))).collect()
    }

    async fn secret(&self, name: &str, now: Now) -> Told {
        // An ARN says in which region it is.
        let region = name.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2));
        let answer: Result<Secret, Cause> = self.call(&SECRETS_MANAGER, &json!({ "SecretId": name }), region, now).await;
        (name.to_owned(), answer.map(|secret| secret.string))
    }

    async fn parameters(&self, names: &[&str], now: Now) -> Vec<Told> {
        let answer: Result<Parameters, Cause> = self.call(&PARAMETER_STORE, &json!({ "Names": names, "WithDecryption": true }), None, now).await;
        let value = |name: &str| match &answer {
            Ok(answer) => answer.found.iter().find(|found| found.name == name).map(|found| found.value.clone()).ok_or(Cause::Http4xx),
            Err(cause) => Err(*cause),
        };
        names.iter().map(|name| ((*name).to_owned(), value(name))).collect()
    }

    /// What the operator has to correct before secrets can be fetched, if that is known.
    pub fn problem(&self) -> Option<AwsFault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, fault: AwsFault) -> Cause {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        Cause::NoCredentials
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Cause {
        if kind(body).ends_with("ExpiredTokenException") { self.note(AwsFault::Expired) } else { refused(status, body) }
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, dialect: &Dialect, asked: &Value, region: Option<&str>, now: Now) -> Result<T, Cause> {
        let surroundings = self.identity.ready().await.map_err(|fault| self.note(fault))?;
        let credentials = self.identity.credentials().await.map_err(|fault| self.note(fault))?;
        let region = region.or(surroundings.region().map(AsRef::as_ref)).ok_or_else(|| self.note(AwsFault::NoRegion))?;
        let endpoint = aws::endpoint(surroundings, dialect.service, region);
        let body = asked.to_string();
        let headers = signed(dialect, &endpoint, &body, region, credentials, now.wall.into()).ok_or(Cause::KeyRefused)?;
        let exchange = self.client.send(now, |client| client.post(&endpoint).headers(headers).body(body)).await.map_err(|failure| failure.cause)?;
        let status = exchange.status();
        let body = exchange.bytes().await.map_err(|failure| failure.cause)?;
        if status == StatusCode::OK { serde_json::from_slice(&body).map_err(|_| Cause::BadAnswer) } else { Err(self.refused(status, &body)) }
    }
}

/// The headers of a call, its signature (AWS Signature Version 4) among them.
fn signed(dialect: &Dialect, endpoint: &str, body: &str, region: &str, credentials: Credentials, time: SystemTime) -> Option<HeaderMap> {
    let own = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", dialect.operation)];
    let identity = credentials.into();
    let parameters =
        SigningParams::builder().identity(&identity).region(region).name(dialect.service.1).time(time).settings(SigningSettings::default()).build().ok()?;
    let request = SignableRequest::new("POST", endpoint, own.into_iter(), SignableBody::Bytes(body.as_bytes())).ok()?;
    let (instructions, _) = sign(request, &parameters.into()).ok()?.into_parts();
    let mut headers = HeaderMap::new();
    for (name, value) in own.into_iter().chain(instructions.headers()) {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        headers.insert(::http::HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(headers)
}

fn kind(body: &[u8]) -> String {
    serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.kind).unwrap_or_default()
}

fn refused(status: StatusCode, body: &[u8]) -> Cause {
    match kind(body).rsplit('#').next().unwrap_or_default() {
        "AccessDeniedException" | "UnrecognizedClientException" | "InvalidSignatureException" | "IncompleteSignature" | "InvalidClientTokenId" => {
            Cause::KeyRefused
        }
        "ThrottlingException" => Cause::RateLimited,
        _ => match status.as_u16() {
            401 | 403 => Cause::KeyRefused,
            429 => Cause::RateLimited,
            500..=599 => Cause::Http5xx,
            _ => Cause::Http4xx,
        },
    }
}

/// The value itself, or one member of it; without the line break that editors put at an end.
fn field(value: &str, field: Option<&str>) -> Result<SecretString, Cause> {
    let text = match field {
        None => value.to_owned(),
        Some(field) => match serde_json::from_str::<Value>(value).ok().as_ref().and_then(|value| value.get(field)) {
            Some(Value::String(text)) => text.clone(),
            Some(_) | None => return Err(Cause::BadAnswer),
        },
    };
    let text = text.trim();
    if text.is_empty() { Err(Cause::BadAnswer) } else { Ok(SecretString::from(text.to_owned())) }
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
            assert_eq!(field(value, name).ok().as_ref().map(|found| found.expose_secret()), expected, "{value} {name:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_type() {
        for (status, body, expected) in [
            (400, r#"{"__type":"ResourceNotFoundException","Message":"x"}"#, Cause::Http4xx),
            (400, r#"{"__type":"com.amazon.coral.service#AccessDeniedException"}"#, Cause::KeyRefused),
            (400, r#"{"__type":"ThrottlingException"}"#, Cause::RateLimited),
            (403, "", Cause::KeyRefused),
            (503, "<html>", Cause::Http5xx),
        ] {
            assert_eq!(refused(StatusCode::from_u16(status).expect("a status"), body.as_bytes()), expected, "{status} {body}");
        }
    }
}
