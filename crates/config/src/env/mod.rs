//! Reads variables and collects all faults.
//!
//! The source is a trait, which lets tests use a map instead of the process environment.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use riskgate_engine::settings::PerClient;
use secrecy::SecretString;

use crate::{
    encoding,
    env::secret_references::Reference,
    service_links::is_service_link,
    variables::{self, PREFIX},
};

pub mod secret_references;

/// Where variables come from.
pub trait EnvSource {
    /// The value of a variable, by its full name.
    fn value(&self, name: &str) -> Option<String>;
    /// The names of all variables that start with `RISKGATE_`.
    fn names(&self) -> Vec<String>;
}

/// The process environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

/// An error in one variable. The text explains how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The full name of the variable.
    pub variable: String,
    /// What is wrong and what is expected. Never contains the value of a secret.
    pub problem: String,
}

/// Reads variables and collects faults.
pub struct Reader<'a> {
    source: &'a dyn EnvSource,
    faults: Vec<ConfigError>,
    pending_secrets: Vec<String>,
}

impl EnvSource for ProcessEnv {
    fn value(&self, name: &str) -> Option<String> {
        // A value that is not UTF-8 is read with replacement characters: its parser then reports the variable.
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| name.starts_with(PREFIX)).collect()
    }
}

impl EnvSource for BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().filter(|name| name.starts_with(PREFIX)).cloned().collect()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.problem)
    }
}

/// Why a file cannot be read. Encoding errors describe themselves; the text of other system errors is left out.
fn describe_read_error(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::InvalidData { error.to_string() } else { error.kind().to_string() }
}

impl<'a> Reader<'a> {
    /// Creates a reader. Names with the prefix that are not in the table of variables are faults.
    pub fn new(source: &'a dyn EnvSource) -> Self {
        let mut names = names(source);
        names.sort();
        let faults = names
            .iter()
            .filter(|name| !variables::is_known(name))
            .map(|name| ConfigError { variable: name.clone(), problem: describe_unknown(name) })
            .collect();
        Reader { source, faults, pending_secrets: Vec::new() }
    }

    /// Returns the names of the unresolved secrets, and all faults.
    pub fn finish(self) -> (Vec<String>, Vec<ConfigError>) {
        (self.pending_secrets, self.faults)
    }

    /// Adds a fault of the variable `name`, given without prefix.
    pub fn add_fault(&mut self, name: &str, problem: impl Into<String>) {
        self.faults.push(ConfigError { variable: format!("{PREFIX}{name}"), problem: problem.into() });
    }

    /// The text of a variable, or the content of the file that `NAME_FILE` names, without trailing line breaks. Empty means unset.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let direct = self.source.value(&format!("{PREFIX}{name}")).filter(|value| !value.is_empty());
        let file = self.source.value(&format!("{PREFIX}{name}_FILE")).filter(|value| !value.is_empty());
        match (direct, file) {
            (Some(_), Some(_)) => {
                self.add_fault(name, format!("set together with {PREFIX}{name}_FILE; unset one of them"));
                None
            }
            (Some(value), None) => Some(value),
            (None, Some(path)) => match std::fs::read(&path).and_then(encoding::decode) {
                Ok(value) => Some(value.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    self.add_fault(&format!("{name}_FILE"), format!("cannot read the file: {}", describe_read_error(&error)));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// Reads a secret. Its text never appears in a fault. An unresolved reference gives `None` and is added to the pending secrets.
    pub fn secret(&mut self, name: &str) -> Option<SecretString> {
        let value = self.text(name)?;
        match Reference::parse(value.trim()) {
            None => return Some(SecretString::from(value.trim().to_owned())),
            Some(Err(problem)) => self.add_fault(name, problem),
            Some(Ok(_)) if !cfg!(feature = "secrets") => {
                self.add_fault(name, "refers to a secrets service, which this build cannot query (build with --features secrets)")
            }
            Some(Ok(_)) => {}
        }
        self.pending_secrets.push(name.to_owned());
        None
    }

    /// Whether a secret is a reference that is not resolved yet.
    pub fn is_secret_pending(&self, name: &str) -> bool {
        self.pending_secrets.iter().any(|pending| pending == name)
    }

    /// Parses a variable. `None` when it is unset or faulty.
    pub fn parsed<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.text(name)?;
        match parse(value.trim()) {
            Ok(parsed) => Some(parsed),
            Err(problem) => {
                self.add_fault(name, problem);
                None
            }
        }
    }

    /// Parses a list separated by commas or line breaks. Empty entries are skipped.
    pub fn list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(value) = self.text(name) else { return Vec::new() };
        let mut entries = Vec::new();
        for entry in value.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
            match parse(entry) {
                Ok(parsed) => entries.push(parsed),
                Err(problem) => self.add_fault(name, problem),
            }
        }
        entries
    }

    /// Parses one of several words.
    ///
    /// # Errors
    ///
    /// The value is none of them; the text lists them. The type's default applies when the variable is unset or faulty.
    pub fn choice<T: Copy + Default>(&mut self, name: &str, choices: &[(&str, T)]) -> T {
        self.parsed(name, |value| one_of(value, choices)).unwrap_or_default()
    }

    /// Reads a variable that can be overridden for single app clients with `NAME__CLIENT`.
    pub fn per_client<T: Clone>(&mut self, name: &str, default: T, parse: impl Fn(&str) -> Result<T, String>) -> PerClient<T> {
        let default = self.parsed(name, &parse).unwrap_or(default);
        let prefix = format!("{PREFIX}{name}__");
        let mut clients = HashMap::new();
        for full_name in names(self.source) {
            let Some(client) = full_name.strip_prefix(&prefix) else { continue };
            let client = client.strip_suffix("_FILE").unwrap_or(client);
            if let Some(value) = self.parsed(&format!("{name}__{client}"), &parse) {
                clients.insert(client.to_owned(), value);
            }
        }
        PerClient { default, clients }
    }
}

/// The names of riskgate's variables. Service links that a platform sets under the same prefix are left out.
pub(super) fn names(source: &dyn EnvSource) -> Vec<String> {
    let is_link = |name: &String| source.value(name).is_some_and(|value| is_service_link(name, &value));
    source.names().into_iter().filter(|name| !is_link(name)).collect()
}

/// Parses one of several words.
///
/// # Errors
///
/// The value is none of them; the text lists them.
pub fn one_of<T: Copy>(value: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let words = || choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice).ok_or_else(|| format!("must be one of: {}", words()))
}

/// Parses a duration with its unit, such as "250ms", "15m" or "180d".
///
/// # Errors
///
/// The value is not a duration, or is zero.
pub fn duration(value: &str) -> Result<Duration, String> {
    match humantime::parse_duration(value) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("must be longer than zero".to_owned()),
        Err(_) => Err("must be a duration with its unit, such as 250ms, 15m or 180d".to_owned()),
    }
}

/// A parser of numbers from `low` to `high`, both included.
pub fn number_within(low: f64, high: f64) -> impl Fn(&str) -> Result<f64, String> {
    move |value| match value.parse::<f64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("must be a number from {low} to {high}")),
    }
}

/// A parser of integers from `low` to `high`, both included.
pub fn count_within(low: u64, high: u64) -> impl Fn(&str) -> Result<u64, String> {
    move |value| match value.parse::<u64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("must be a whole number from {low} to {high}")),
    }
}

/// The problem of a variable that does not exist, with a suggestion.
fn describe_unknown(name: &str) -> String {
    match variables::nearest(name) {
        Some(near) => format!("no such variable; did you mean {PREFIX}{near}?"),
        None => "no such variable; `riskgate config` lists all of them".to_owned(),
    }
}
