//! References to secrets that are kept elsewhere: a secret variable may name where its value is, `secretsmanager://NAME#FIELD` or `ssm://NAME`.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::{
    env::Strings,
    variables::{Disclosure, PREFIX, VARIABLES},
};

/// Where a secret's value is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Who keeps it.
    pub vault: Vault,
    /// Its name or ARN there.
    pub name: String,
    /// The member to take, where the value is a JSON object.
    pub field: Option<String>,
}

/// Who keeps secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vault {
    /// AWS Secrets Manager.
    SecretsManager,
    /// AWS Systems Manager Parameter Store.
    ParameterStore,
}

/// The values that references have led to.
pub type Values = BTreeMap<Reference, SecretString>;

/// Variables with the values put in that their references have led to; a reference that has led nowhere yet stays as it is.
pub struct Resolved<'a> {
    source: &'a dyn Strings,
    values: &'a Values,
}

// === impl Reference ===

impl Reference {
    /// Reads a reference. `None` for any other text; an error for one that names nothing.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let (scheme, rest) = text.split_once("://")?;
        let vault = match scheme {
            "secretsmanager" => Vault::SecretsManager,
            "ssm" => Vault::ParameterStore,
            _ => return None,
        };
        let (name, field) = rest.split_once('#').map_or((rest, None), |(name, field)| (name, Some(field)));
        if name.is_empty() || field == Some("") {
            return Some(Err("must name a secret: secretsmanager://NAME, secretsmanager://NAME#FIELD or ssm://NAME".to_owned()));
        }
        Some(Ok(Reference { vault, name: name.to_owned(), field: field.map(str::to_owned) }))
    }

    /// Every secret variable that is a reference, by its name without prefix.
    pub fn all(source: &dyn Strings) -> Vec<(&'static str, Self)> {
        let secrets = VARIABLES.iter().filter(|variable| variable.disclosure == Disclosure::Secret);
        secrets.filter_map(|variable| Some((variable.name, Self::parse(source.value(&format!("{PREFIX}{}", variable.name))?.trim())?.ok()?))).collect()
    }
}

// === impl Resolved ===

impl<'a> Resolved<'a> {
    /// The variables of a source, with these values in the places of references to them.
    pub fn new(source: &'a dyn Strings, values: &'a Values) -> Self {
        Resolved { source, values }
    }
}

impl Strings for Resolved<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let text = self.source.value(name)?;
        let found = Reference::parse(text.trim()).and_then(Result::ok).and_then(|reference| self.values.get(&reference));
        Some(found.map_or(text, |value| value.expose_secret().to_owned()))
    }

    fn names(&self) -> Vec<String> {
        self.source.names()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, env::Fault};

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> (Config, Vec<Fault>) {
        Config::read(&variables(pairs))
    }

    #[test]
    fn a_reference_names_a_vault_a_secret_and_perhaps_a_field() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:my/keys-AbCdEf";
        for (text, expected) in [
            ("secretsmanager://my/keys", Some((Vault::SecretsManager, "my/keys", None))),
            ("secretsmanager://my/keys#ipqs", Some((Vault::SecretsManager, "my/keys", Some("ipqs")))),
            (&format!("secretsmanager://{arn}"), Some((Vault::SecretsManager, arn, None))),
            ("ssm:///riskgate/ipqs", Some((Vault::ParameterStore, "/riskgate/ipqs", None))),
            ("ssm://", None),
            ("secretsmanager://#ipqs", None),
            ("ssm://name#", None),
            ("https://example.com", None),
            ("a key", None),
        ] {
            let read = Reference::parse(text).and_then(Result::ok);
            assert_eq!(read.as_ref().map(|read| (read.vault, read.name.as_str(), read.field.as_deref())), expected, "{text}");
        }
    }

    #[cfg(feature = "secrets")]
    #[test]
    fn a_secret_that_is_not_there_yet_is_awaited_and_no_fault() {
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
        assert_eq!(config.awaited, ["IPQS_KEY", "HTTP_HEADERS", "PSEUDONYM_KEY", "TOKEN"]);
        // Nobody gets past the door before its key is here.
        let stand_in = config.sidecar.token.as_ref().map(|token| token.expose_secret().len());
        assert!(stand_in.is_some_and(|length| length >= 32));
        let (again, _) = read(&[("TOKEN", "ssm://token")]);
        assert_ne!(again.sidecar.token.as_ref().map(|token| token.expose_secret()), config.sidecar.token.as_ref().map(|token| token.expose_secret()));
    }

    #[test]
    fn what_a_reference_led_to_is_read_as_if_it_stood_there() {
        let source = variables(&[("PROVIDERS", "ipqs"), ("IPQS_KEY", "secretsmanager://keys#ipqs")]);
        let reference = Reference::all(&source).pop().map(|(_, reference)| reference).expect("a reference");
        let values = Values::from([(reference, SecretString::from("the-key".to_owned()))]);
        let (config, faults) = Config::read(&Resolved::new(&source, &values));
        assert!(faults.is_empty() && config.awaited.is_empty(), "{faults:?} {:?}", config.awaited);
        assert_eq!(config.services.services[0].key.as_ref().map(|key| key.expose_secret()), Some("the-key"));
    }

    #[test]
    fn a_reference_that_can_lead_nowhere_is_a_fault() {
        for (name, value) in [("CONTEXT_KEYS", "ssm://"), ("TOKEN", "secretsmanager://#token"), ("STORE", "ssm://store")] {
            let (_, faults) = read(&[(name, value)]);
            assert_eq!(faults.iter().map(|fault| fault.variable.as_str()).collect::<Vec<_>>(), [format!("{PREFIX}{name}")], "{faults:?}");
        }
    }
}
