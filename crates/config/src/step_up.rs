//! Settings of step-up: whose tokens are accepted, and the authentication levels that end a challenge.

use std::time::Duration;

use smol_str::SmolStr;

use crate::{
    budget::BudgetConfig,
    env::Reader,
    services::{is_loopback, parse_origin},
};

/// Whose tokens are accepted, and the authentication levels that end a challenge.
#[derive(Debug, Clone)]
pub struct StepUpConfig {
    /// The user pools whose tokens are accepted. `STEP_UP_POOLS`; step-up is off when empty.
    pub issuers: Vec<Issuer>,
    /// The app clients whose tokens are accepted. `STEP_UP_CLIENTS`.
    pub clients: Vec<String>,
    /// The authentication levels that end a challenge, highest first. `CHALLENGE_ACR_VALUES`.
    pub acr_values: Vec<String>,
    /// The response format for HTTP APIs. `AUTHORIZER_RESPONSE`.
    pub authorizer_response: AuthorizerResponse,
    /// Timeout of DNS, TCP and TLS together. `CONNECT_TIMEOUT`.
    pub connect_timeout: Duration,
}

/// The issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The `iss` claim, under which the signing keys are published.
    pub url: String,
    /// The user pool's id, under which history is stored.
    pub pool: SmolStr,
}

/// The response format that the authorizer of an HTTP API is configured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthorizerResponse {
    /// `isAuthorized` (`EnableSimpleResponses`).
    #[default]
    Simple,
    /// An IAM policy, as for REST APIs.
    Iam,
}

impl StepUpConfig {
    pub(super) fn read(r: &mut Reader<'_>, budget: &BudgetConfig) -> Self {
        let issuers = r.list("STEP_UP_POOLS", Issuer::parse);
        let clients = r.list("STEP_UP_CLIENTS", |v| Ok(v.to_owned()));
        if !issuers.is_empty() && clients.is_empty() {
            r.add_fault("STEP_UP_CLIENTS", "is needed because STEP_UP_POOLS is set: the app client ids whose tokens are accepted");
        }
        StepUpConfig {
            issuers,
            clients,
            acr_values: Vec::new(),
            authorizer_response: r.choice("AUTHORIZER_RESPONSE", &[("simple", AuthorizerResponse::Simple), ("iam", AuthorizerResponse::Iam)]),
            connect_timeout: budget.connect,
        }
    }

    /// Whether tokens of an app client are accepted.
    pub fn accepts_client(&self, client: &str) -> bool {
        self.clients.iter().any(|accepted| accepted == client)
    }
}

impl Issuer {
    /// Parses a user pool's id, such as `eu-west-1_AbCdEf`, or the URL of an issuer.
    fn parse(value: &str) -> Result<Self, String> {
        if !value.contains("://") {
            let (region, id) = value.split_once('_').ok_or_else(|| "must be user pool ids such as eu-west-1_AbCdEf, or issuer URLs".to_owned())?;
            let is_region = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            if !is_region || id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err("must be user pool ids such as eu-west-1_AbCdEf, or issuer URLs".to_owned());
            }
            return Ok(Issuer { url: format!("https://cognito-idp.{region}.amazonaws.com/{value}"), pool: value.into() });
        }
        let (_, uri) = parse_origin(value)?;
        if uri.scheme_str() == Some("http") && !is_loopback(uri.host().unwrap_or_default()) {
            return Err("must start with https:// (plain http only to loopback)".to_owned());
        }
        match uri.path().rsplit('/').next() {
            Some(pool) if !pool.is_empty() && uri.query().is_none() => Ok(Issuer { url: value.to_owned(), pool: pool.into() }),
            Some(_) | None => Err("must be an issuer URL that ends with the user pool's id, without a final slash".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[track_caller]
    fn read(variables: &[(&str, &str)]) -> (StepUpConfig, Vec<String>) {
        let map: std::collections::BTreeMap<String, String> = variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
        let (config, faults) = Config::read(&map);
        (config.step_up, faults.into_iter().map(|fault| fault.variable).collect())
    }

    #[test]
    fn an_issuer_is_a_pool_id_or_a_url() {
        let (config, faults) = read(&[("STEP_UP_POOLS", "eu-west-1_AbC12,http://127.0.0.1:9/x_Y,https://id.example/eu_Z"), ("STEP_UP_CLIENTS", "web")]);
        assert!(faults.is_empty(), "{faults:?}");
        let issuers: Vec<(&str, &str)> = config.issuers.iter().map(|issuer| (issuer.url.as_str(), issuer.pool.as_str())).collect();
        let expected = [
            ("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC12", "eu-west-1_AbC12"),
            ("http://127.0.0.1:9/x_Y", "x_Y"),
            ("https://id.example/eu_Z", "eu_Z"),
        ];
        assert_eq!(issuers, expected);
        for pool in
            ["", "pool", "_x", "eu/../_x", "eu-west-1_a/b", "http://192.0.2.1/x", "https://169.254.169.254/x", "https://id.example/", "https://id.example/x?y"]
        {
            let (config, faults) = read(&[("STEP_UP_POOLS", pool), ("STEP_UP_CLIENTS", "web")]);
            assert!(config.issuers.is_empty(), "{pool}");
            assert_eq!(faults.is_empty(), pool.is_empty(), "{pool}");
        }
    }

    #[test]
    fn clients_are_needed_with_pools() {
        assert_eq!(read(&[("STEP_UP_POOLS", "eu-west-1_AbC12")]).1, ["RISKGATE_STEP_UP_CLIENTS"]);
        let config = read(&[("STEP_UP_CLIENTS", "web, ios")]).0;
        assert_eq!((config.accepts_client("ios"), config.accepts_client(""), config.accepts_client("other")), (true, false, false));
    }
}
