//! Reading variables: through a trait, so that tests need no process environment, and never stopping at the first fault.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use secrecy::SecretString;

use super::{
    encoding,
    platform::is_service_link,
    references::Reference,
    variables::{self, PREFIX},
};

/// Where variables come from.
pub trait Strings {
    /// The value of a variable, by its whole name.
    fn value(&self, name: &str) -> Option<String>;
    /// The names of all variables that start with `RISKGATE_`.
    fn names(&self) -> Vec<String>;
}

/// The process environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

/// Something wrong with one variable, said so that it can be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable's whole name.
    pub variable: String,
    /// What is wrong and what would be right; never the value of a secret.
    pub problem: String,
}

/// A value that can be set apart for single app clients, as `NAME__<client id>`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PerClient<T> {
    /// For every client that is not named.
    pub default: T,
    /// For those that are.
    pub clients: HashMap<String, T>,
}

/// Reads variables and gathers faults.
pub struct Reader<'a> {
    source: &'a dyn Strings,
    faults: Vec<Fault>,
    awaited: Vec<String>,
}

// === impl Strings ===

impl Strings for ProcessEnv {
    fn value(&self, name: &str) -> Option<String> {
        // A value that is not UTF-8 is read with replacement characters, so that its parser names the variable.
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| name.starts_with(PREFIX)).collect()
    }
}

impl Strings for BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().filter(|name| name.starts_with(PREFIX)).cloned().collect()
    }
}

// === impl Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.problem)
    }
}

// === impl PerClient ===

impl<T> PerClient<T> {
    /// One value for all clients.
    pub fn all(default: T) -> Self {
        PerClient { default, clients: HashMap::new() }
    }

    /// The value for one app client.
    pub fn of(&self, client: &str) -> &T {
        // Most deployments name no client, and then nothing is hashed.
        if self.clients.is_empty() { &self.default } else { self.clients.get(client).unwrap_or(&self.default) }
    }
}

/// Why a file cannot be read. The text of a system's error is left out; what its encoding is says itself.
fn reason(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::InvalidData { error.to_string() } else { error.kind().to_string() }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Starts reading; names that no table knows are faults.
    pub fn new(source: &'a dyn Strings) -> Self {
        let mut names = names(source);
        names.sort();
        let faults = names.iter().filter(|name| !variables::is_known(name)).map(|name| Fault { variable: name.clone(), problem: unknown(name) }).collect();
        Reader { source, faults, awaited: Vec::new() }
    }

    /// The secrets that are not here yet, and all faults found.
    pub fn finish(self) -> (Vec<String>, Vec<Fault>) {
        (self.awaited, self.faults)
    }

    /// Records a fault of the variable `name`, given without prefix.
    pub fn fault(&mut self, name: &str, problem: impl Into<String>) {
        self.faults.push(Fault { variable: format!("{PREFIX}{name}"), problem: problem.into() });
    }

    /// The text of a variable, or of the file that `NAME_FILE` names with its last line break cut. Empty means unset.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let direct = self.source.value(&format!("{PREFIX}{name}")).filter(|value| !value.is_empty());
        let file = self.source.value(&format!("{PREFIX}{name}_FILE")).filter(|value| !value.is_empty());
        match (direct, file) {
            (Some(_), Some(_)) => {
                self.fault(name, format!("set together with {PREFIX}{name}_FILE; unset one of them"));
                None
            }
            (Some(value), None) => Some(value),
            (None, Some(path)) => match std::fs::read(&path).and_then(encoding::text) {
                Ok(value) => Some(value.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    self.fault(&format!("{name}_FILE"), format!("cannot read the file: {}", reason(&error)));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// A secret; its text never appears in a fault. One that is kept elsewhere and not here yet is none, and is awaited.
    pub fn secret(&mut self, name: &str) -> Option<SecretString> {
        let value = self.text(name)?;
        match Reference::parse(value.trim()) {
            None => return Some(SecretString::from(value.trim().to_owned())),
            Some(Err(problem)) => self.fault(name, problem),
            Some(Ok(_)) if !cfg!(feature = "secrets") => self.fault(name, "is kept elsewhere, and this build cannot ask for it (feature secrets)"),
            Some(Ok(_)) => {}
        }
        self.awaited.push(name.to_owned());
        None
    }

    /// Whether a secret is kept elsewhere and is not here yet.
    pub fn awaits(&self, name: &str) -> bool {
        self.awaited.iter().any(|awaited| awaited == name)
    }

    /// Parses a variable if it is set; a fault leaves `None`.
    pub fn parsed<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.text(name)?;
        match parse(value.trim()) {
            Ok(parsed) => Some(parsed),
            Err(problem) => {
                self.fault(name, problem);
                None
            }
        }
    }

    /// A comma-separated list; empty entries are skipped.
    pub fn list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(value) = self.text(name) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in value.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
            match parse(entry) {
                Ok(parsed) => found.push(parsed),
                Err(problem) => self.fault(name, problem),
            }
        }
        found
    }

    /// One of several words; the type's default where it is unset or faulty.
    pub fn choice<T: Copy + Default>(&mut self, name: &str, choices: &[(&str, T)]) -> T {
        self.parsed(name, |value| one_of(value, choices)).unwrap_or_default()
    }

    /// A variable that single app clients may set apart.
    pub fn per_client<T: Clone>(&mut self, name: &str, default: T, parse: impl Fn(&str) -> Result<T, String>) -> PerClient<T> {
        let default = self.parsed(name, &parse).unwrap_or(default);
        let prefix = format!("{PREFIX}{name}__");
        let mut clients = HashMap::new();
        for whole in names(self.source) {
            let Some(client) = whole.strip_prefix(&prefix) else { continue };
            let client = client.strip_suffix("_FILE").unwrap_or(client);
            if let Some(value) = self.parsed(&format!("{name}__{client}"), &parse) {
                clients.insert(client.to_owned(), value);
            }
        }
        PerClient { default, clients }
    }
}

/// The names of all variables that are meant for riskgate: those that a platform sets under the same prefix are left out.
pub(super) fn names(source: &dyn Strings) -> Vec<String> {
    let is_link = |name: &String| source.value(name).is_some_and(|value| is_service_link(name, &value));
    source.names().into_iter().filter(|name| !is_link(name)).collect()
}

/// Reads one of several words.
pub fn one_of<T: Copy>(value: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let words = || choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice).ok_or_else(|| format!("must be one of: {}", words()))
}

/// Reads a duration with its unit, "250ms", "15m", "180d"; longer than zero.
pub fn duration(value: &str) -> Result<Duration, String> {
    match humantime::parse_duration(value) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("must be longer than zero".to_owned()),
        Err(_) => Err("must be a duration with its unit, such as 250ms, 15m or 180d".to_owned()),
    }
}

/// Reads a number between two bounds, both allowed.
pub fn number_within(low: f64, high: f64) -> impl Fn(&str) -> Result<f64, String> {
    move |value| match value.parse::<f64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("must be a number from {low} to {high}")),
    }
}

/// Reads a whole number between two bounds, both allowed.
pub fn count_within(low: u64, high: u64) -> impl Fn(&str) -> Result<u64, String> {
    move |value| match value.parse::<u64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("must be a whole number from {low} to {high}")),
    }
}

fn unknown(name: &str) -> String {
    match variables::nearest(name) {
        Some(near) => format!("no such variable; did you mean {PREFIX}{near}?"),
        None => "no such variable; `riskgate config` lists all of them".to_owned(),
    }
}
