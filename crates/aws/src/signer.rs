//! Signed calls of AWS services (AWS Signature Version 4), without the services' SDKs.
//!
//! The caller sets the deadline. Errors contain only a failure reason, because requests and responses contain secrets and personal data.

use std::{
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

use crate::environment::{self, AwsFault, Identity};
use riskgate_engine::evidence::FailureReason;
use riskgate_engine::time::ClockReading;
use riskgate_http_client::Client;

/// Signs requests and sends them.
#[derive(Debug)]
pub struct Signer {
    client: Client,
    identity: Identity,
    fault: Mutex<Option<AwsFault>>,
}

/// A service and its names.
#[derive(Debug, Clone, Copy)]
pub struct AwsService {
    /// The service id in the AWS configuration.
    pub id: &'static str,
    /// The first part of its host.
    pub host: &'static str,
    /// Its name in signatures.
    pub signing_name: &'static str,
}

/// A POST request.
pub struct SignedRequest<'a> {
    /// The path after the endpoint; empty for services with one path.
    pub path: &'static str,
    /// The headers to sign.
    pub headers: &'a [(&'static str, &'static str)],
    /// The body.
    pub body: String,
}

impl Signer {
    /// A signer with the AWS configuration of the environment, which the first call reads.
    pub fn new(client: Client) -> Self {
        Signer { client, identity: Identity::from_environment(), fault: Mutex::default() }
    }

    /// A signer with a given AWS configuration.
    pub fn with_config(sdk_config: SdkConfig, client: Client) -> Self {
        Signer { client, identity: Identity::from_config(sdk_config), fault: Mutex::default() }
    }

    /// What the operator must fix before a call can be signed, if known.
    pub fn problem(&self) -> Option<AwsFault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a problem, and returns its failure reason.
    pub fn record_fault(&self, fault: AwsFault) -> FailureReason {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        FailureReason::NoCredentials
    }

    /// Sends a request to a service in a region, or in that of the AWS configuration. Returns the status and the body.
    ///
    /// # Errors
    ///
    /// The request cannot be signed, or there is no complete response.
    pub async fn post(
        &self,
        service: &AwsService,
        region: Option<&str>,
        request: SignedRequest<'_>,
        now: ClockReading,
    ) -> Result<(StatusCode, Vec<u8>), FailureReason> {
        let sdk_config = self.identity.ready().await.map_err(|fault| self.record_fault(fault))?;
        let credentials = self.identity.credentials().await.map_err(|fault| self.record_fault(fault))?;
        let region = region.or(sdk_config.region().map(AsRef::as_ref)).ok_or_else(|| self.record_fault(AwsFault::NoRegion))?;
        let endpoint = environment::endpoint(sdk_config, (service.id, service.host), region);
        let url = if request.path.is_empty() { endpoint } else { format!("{}{}", endpoint.trim_end_matches('/'), request.path) };
        let headers = signed_headers(service, &url, &request, region, credentials, now.wall.into()).ok_or(FailureReason::KeyRefused)?;
        let exchange = self.client.send(now, |client| client.post(&url).headers(headers).body(request.body)).await.map_err(|failure| failure.cause)?;
        let status = exchange.status();
        let body = exchange.bytes().await.map_err(|failure| failure.cause)?;
        Ok((status, body.into()))
    }
}

/// The headers of a request, including its signature.
fn signed_headers(service: &AwsService, url: &str, request: &SignedRequest<'_>, region: &str, credentials: Credentials, time: SystemTime) -> Option<HeaderMap> {
    let identity = credentials.into();
    let parameters =
        SigningParams::builder().identity(&identity).region(region).name(service.signing_name).time(time).settings(SigningSettings::default()).build().ok()?;
    let base = request.headers.iter().copied();
    let signable = SignableRequest::new("POST", url, base.clone(), SignableBody::Bytes(request.body.as_bytes())).ok()?;
    let (instructions, _) = sign(signable, &parameters.into()).ok()?.into_parts();
    let mut headers = HeaderMap::new();
    for (name, value) in base.chain(instructions.headers()) {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        headers.insert(::http::HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(headers)
}
