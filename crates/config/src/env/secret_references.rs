//! References to secrets in a secrets service. A secret variable may hold `secretsmanager://NAME#FIELD` or `ssm://NAME` instead of its value.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    env::EnvSource,
    variables::{Disclosure, PREFIX, VARIABLES},
};

/// A reference to a secret in a secrets service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The service that stores the secret.
    pub secrets_service: SecretsService,
    /// The name or ARN of the secret in that service.
    pub name: String,
    /// The member to read when the value is a JSON object.
    pub field: Option<String>,
}

/// A service that stores secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretsService {
    /// AWS Secrets Manager.
    SecretsManager,
    /// AWS Systems Manager Parameter Store.
    ParameterStore,
}

/// The values of resolved references.
pub type SecretValues = BTreeMap<Reference, SecretString>;

/// A source of variables that replaces resolved references by their values. Unresolved references stay as they are.
pub struct ResolvedEnv<'a> {
    source: &'a dyn EnvSource,
    values: &'a SecretValues,
}

impl Reference {
    /// Parses a reference. `None` for any other text, and an error when the name or the field is empty.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let (scheme, rest) = text.split_once("://")?;
        let secrets_service = match scheme {
            "secretsmanager" => SecretsService::SecretsManager,
            "ssm" => SecretsService::ParameterStore,
            _ => return None,
        };
        let (name, field) = rest.split_once('#').map_or((rest, None), |(name, field)| (name, Some(field)));
        if name.is_empty() || field == Some("") {
            return Some(Err("must name a secret: secretsmanager://NAME, secretsmanager://NAME#FIELD or ssm://NAME".to_owned()));
        }
        Some(Ok(Reference { secrets_service, name: name.to_owned(), field: field.map(str::to_owned) }))
    }

    /// Every secret variable that holds a reference, by its name without prefix.
    pub fn all(source: &dyn EnvSource) -> Vec<(&'static str, Self)> {
        let secrets = VARIABLES.iter().filter(|variable| variable.disclosure == Disclosure::Secret);
        secrets.filter_map(|variable| Some((variable.name, Self::parse(source.value(&format!("{PREFIX}{}", variable.name))?.trim())?.ok()?))).collect()
    }
}

impl<'a> ResolvedEnv<'a> {
    /// Wraps a source with the values of its references.
    pub fn new(source: &'a dyn EnvSource, values: &'a SecretValues) -> Self {
        ResolvedEnv { source, values }
    }
}

impl EnvSource for ResolvedEnv<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let text = self.source.value(name)?;
        let value = Reference::parse(text.trim()).and_then(Result::ok).and_then(|reference| self.values.get(&reference));
        Some(value.map_or(text, |value| value.expose_secret().to_owned()))
    }

    fn names(&self) -> Vec<String> {
        self.source.names()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, env::ConfigError};

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> (Config, Vec<ConfigError>) {
        Config::read(&variables(pairs))
    }

    #[test]
    fn references_are_parsed_into_service_name_and_field() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:my/keys-AbCdEf";
        for (text, expected) in [
            ("secretsmanager://my/keys", Some((SecretsService::SecretsManager, "my/keys", None))),
            ("secretsmanager://my/keys#ipqs", Some((SecretsService::SecretsManager, "my/keys", Some("ipqs")))),
            (&format!("secretsmanager://{arn}"), Some((SecretsService::SecretsManager, arn, None))),
            ("ssm:///riskgate/ipqs", Some((SecretsService::ParameterStore, "/riskgate/ipqs", None))),
            ("ssm://", None),
            ("secretsmanager://#ipqs", None),
            ("ssm://name#", None),
            ("https://example.com", None),
            ("a key", None),
        ] {
            let read = Reference::parse(text).and_then(Result::ok);
            assert_eq!(read.as_ref().map(|read| (read.secrets_service, read.name.as_str(), read.field.as_deref())), expected, "{text}");
        }
    }

    #[cfg(feature = "secrets")]
    #[test]
    fn an_unresolved_secret_is_pending_and_not_a_fault() {
        let (config, faults) = read(&[
            ("PROVIDERS", "ipqs,http"),
            ("IPQS_KEY", "secretsmanager://keys#ipqs"),
            ("HTTP_URL", "https://risk.example"),
            ("HTTP_HEADERS", "ssm://headers"),
            ("STORE", "redis://127.0.0.1:1/0"),
            ("PSEUDONYM_KEY", "secretsmanager://keys#pseudonym"),
            ("TOKEN", "ssm://token"),
        ]);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(config.pending_secrets, ["IPQS_KEY", "HTTP_HEADERS", "PSEUDONYM_KEY", "TOKEN"]);
        // Until the token is resolved, a random one rejects every request.
        let placeholder = config.sidecar.token.as_ref().map(|token| token.expose_secret().len());
        assert!(placeholder.is_some_and(|length| length >= 32));
        let (again, _) = read(&[("TOKEN", "ssm://token")]);
        assert_ne!(again.sidecar.token.as_ref().map(|token| token.expose_secret()), config.sidecar.token.as_ref().map(|token| token.expose_secret()));
    }

    #[test]
    fn a_resolved_reference_is_read_like_a_plain_value() {
        let source = variables(&[("PROVIDERS", "ipqs"), ("IPQS_KEY", "secretsmanager://keys#ipqs")]);
        let reference = Reference::all(&source).pop().map(|(_, reference)| reference).expect("a reference");
        let values = SecretValues::from([(reference, SecretString::from("the-key".to_owned()))]);
        let (config, faults) = Config::read(&ResolvedEnv::new(&source, &values));
        assert!(faults.is_empty() && config.pending_secrets.is_empty(), "{faults:?} {:?}", config.pending_secrets);
        assert_eq!(config.services.services[0].key.as_ref().map(|key| key.expose_secret()), Some("the-key"));
    }

    #[test]
    fn an_invalid_reference_is_a_fault() {
        for (name, value) in [("CONTEXT_KEYS", "ssm://"), ("TOKEN", "secretsmanager://#token"), ("STORE", "ssm://store")] {
            let (_, faults) = read(&[(name, value)]);
            assert_eq!(faults.iter().map(|fault| fault.variable.as_str()).collect::<Vec<_>>(), [format!("{PREFIX}{name}")], "{faults:?}");
        }
    }
}
