//! Explanations of single variables, for `riskgate config --explain`.

use std::collections::BTreeMap;

use crate::{
    Config,
    variables::{self, PER_SERVICE, PREFIX, SERVICES, Scope, VARIABLES, Variable},
};

/// A value that no parser accepts. The error that a parser gives to it states what the variable accepts.
const PROBE: &str = "?";

/// Durations that are shorter and longer than any that makes sense. Errors about them state the bounds.
const EXTREME_DURATIONS: [&str; 2] = ["1ns", "36500d"];

/// The most related variables that are listed.
const MAX_RELATED: usize = 8;

/// What a variable is for and what it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The full name, with the prefix.
    pub name: String,
    /// The group under which it is listed.
    pub group: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Its default. Empty when there is none.
    pub default: &'static str,
    /// What it accepts, in the words of its errors.
    pub accepts: String,
    /// Its per-client form, if it has one.
    pub per_client: Option<String>,
    /// The full names of related variables.
    pub related: Vec<String>,
}

/// Explains a variable. The prefix may be left out, the case does not matter, and the `_FILE` and per-client forms are accepted.
///
/// # Errors
///
/// There is no such variable. The text suggests the most similar one.
pub fn explain(name: &str) -> Result<Explanation, String> {
    let upper = name.trim().to_ascii_uppercase().replace('-', "_");
    let plain = upper.strip_prefix(PREFIX).unwrap_or(&upper);
    let plain = plain.split_once("__").map_or(plain, |(plain, _)| plain);
    let Some((name, group, default, meaning)) = find(plain).or_else(|| find(plain.strip_suffix("_FILE")?)) else {
        return Err(match variables::nearest(plain) {
            Some(near) => format!("there is no variable {name:?}; did you mean {PREFIX}{near}?"),
            None => format!("there is no variable {name:?}; `riskgate config` lists all of them"),
        });
    };
    let scope = VARIABLES.iter().find(|variable| variable.name == name).map_or(Scope::Process, |variable| variable.scope);
    Ok(Explanation {
        group,
        meaning,
        default,
        accepts: accepted_form(&name),
        per_client: (scope == Scope::PerClient).then(|| format!("{PREFIX}{name}__CLIENT_ID")),
        related: related(&name),
        name: format!("{PREFIX}{name}"),
    })
}

/// The name, group, default and meaning of a variable or a service's variable, by its name without prefix.
fn find(name: &str) -> Option<(String, &'static str, &'static str, &'static str)> {
    if let Some(Variable { group, default, meaning, .. }) = VARIABLES.iter().find(|variable| variable.name == name) {
        return Some((name.to_owned(), group, default, meaning));
    }
    let suffix = SERVICES.iter().filter_map(|service| name.strip_prefix(service)?.strip_prefix('_'));
    let (_, default, meaning) = suffix.filter_map(|suffix| PER_SERVICE.iter().find(|(known, ..)| *known == suffix)).next()?;
    Some((name.to_owned(), "services", default, meaning))
}

/// What a variable accepts.
fn accepted_form(name: &str) -> String {
    let Some(form) = problem(name, PROBE) else { return if name.ends_with("_DB") { "a path" } else { "text" }.to_owned() };
    // Parsers of paths report that they cannot read the probe.
    if form.starts_with("cannot read") || form.starts_with("the directory") {
        return "a path".to_owned();
    }
    let form = form.rsplit_once(&format!("{PROBE:?} is not a")).map_or(form.as_str(), |(_, form)| form.strip_prefix("n ").unwrap_or(form.trim_start()));
    let form = form.strip_prefix("must be ").or_else(|| form.split_once(" is not ").map(|(_, form)| form)).unwrap_or(form);
    let bounds = EXTREME_DURATIONS.iter().filter(|_| form.contains("duration")).filter_map(|extreme| problem(name, extreme));
    let bounds: Vec<String> = bounds.collect();
    if bounds.is_empty() { form.to_owned() } else { format!("{form}; {}", bounds.join("; ")) }
}

/// The error that a value gives, if there is one.
fn problem(name: &str, value: &str) -> Option<String> {
    let full_name = format!("{PREFIX}{name}");
    let mut source = BTreeMap::from([(full_name.clone(), value.to_owned())]);
    // Variables of a service are read only if the service is used.
    if let Some(service) = SERVICES.iter().filter(|service| name.starts_with(*service)).max_by_key(|service| service.len()) {
        source.insert(format!("{PREFIX}PROVIDERS"), service.to_ascii_lowercase());
        source.entry(format!("{PREFIX}HTTP_URL")).or_insert_with(|| "https://risk.example/{ip}".to_owned());
    }
    let (_, faults) = Config::read(&source);
    faults.into_iter().find(|fault| fault.variable == full_name).map(|fault| fault.problem)
}

/// The variables that the meaning of `name` names, those whose meanings name it, and those that share its first or last word.
fn related(name: &str) -> Vec<String> {
    let meaning = find(name).map_or("", |(.., meaning)| meaning);
    let group = find(name).map_or("", |(_, group, ..)| group);
    let is_named = |other: &&Variable| names_variable(meaning, other.name) || names_variable(other.meaning, name);
    let word = |name: &'static str, last: bool| if last { name.rsplit('_').next() } else { name.split('_').next() };
    let shares_word = |other: &&Variable, last: bool| {
        other.group == group && VARIABLES.iter().find(|variable| variable.name == name).is_some_and(|own| word(own.name, last) == word(other.name, last))
    };
    let others = || VARIABLES.iter().filter(|other| other.name != name);
    let mut related: Vec<&str> = Vec::new();
    let ranked = others().filter(is_named).chain(others().filter(|other| shares_word(other, true))).chain(others().filter(|other| shares_word(other, false)));
    for other in ranked {
        if related.len() < MAX_RELATED && !related.contains(&other.name) {
            related.push(other.name);
        }
    }
    related.iter().map(|name| format!("{PREFIX}{name}")).collect()
}

/// Whether a text names a variable as a complete word.
fn names_variable(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_has_an_explanation() {
        for variable in VARIABLES {
            let found = explain(variable.name).expect("a known variable");
            assert!(!found.accepts.is_empty() && !found.accepts.contains(&format!("{PROBE:?}")), "{}: {}", variable.name, found.accepts);
            assert_eq!(found.per_client.is_some(), variable.scope == Scope::PerClient, "{}", variable.name);
        }
    }

    #[test]
    fn the_accepted_form_is_that_of_the_parser() {
        for (name, accepts) in [
            ("DENY_AT", "a number from 0 to 100"),
            ("MODE", "one of: enforce, monitor"),
            ("DENY_COUNTRIES", "country's ISO 3166-1 alpha-2 code such as DE"),
            ("ALLOW_ASNS", "AS number such as 64500 or AS64500"),
            ("PSEUDONYM_KEY", "kid:base64url with at least 16 bytes and a unique kid"),
            ("IPQS_WEIGHT", "a number from 0 to 4"),
            ("CITY_DB", "a path"),
            ("TENANT_ATTRIBUTE", "text"),
        ] {
            assert_eq!(explain(name).expect("a known variable").accepts, accepts, "{name}");
        }
        let budget = explain("BUDGET").expect("a known variable").accepts;
        assert!(budget.contains("duration") && budget.contains("; "), "{budget}");
    }

    #[test]
    fn names_are_found_in_any_form() {
        for name in ["RISKGATE_DENY_AT", "deny_at", "deny-at", "DENY_AT__kiosk", "RISKGATE_DENY_AT_FILE"] {
            assert_eq!(explain(name).expect("a known variable").name, "RISKGATE_DENY_AT", "{name}");
        }
        assert!(explain("DENY_AD").expect_err("no variable").contains("did you mean RISKGATE_DENY_AT?"));
        assert!(explain("qqqq").expect_err("no variable").contains("lists all"));
    }

    #[test]
    fn related_variables_are_those_that_are_named_together() {
        let related = explain("DENY_AT").expect("a known variable").related;
        assert!(["REVIEW_AT", "DEGRADED_DENY_AT"].iter().all(|name| related.contains(&format!("{PREFIX}{name}"))), "{related:?}");
        assert!(related.len() <= MAX_RELATED);
    }
}
