//! Thresholds, lists and modes, which turn a score into a verdict.

use std::collections::BTreeSet;

use riskgate_engine::{
    client_ip::parse_network,
    context::is_unassigned_country,
    settings::{DecisionConfig, Fallback, Mode, NoIp},
};

use crate::{
    env::{Reader, number_within, one_of},
    variables::PREFIX,
};

/// Reads the decision settings.
pub(super) fn read(r: &mut Reader<'_>) -> DecisionConfig {
    let score = number_within(0.0, 100.0);
    let default = DecisionConfig::default();
    let mut config = DecisionConfig {
        mode: r.per_client("MODE", default.mode.default, |v| one_of(v, &[("enforce", Mode::Enforce), ("monitor", Mode::Monitor)])),
        deny_at: r.per_client("DENY_AT", default.deny_at.default, &score),
        review_at: r.per_client("REVIEW_AT", default.review_at.default, &score),
        challenge_at: r.per_client("CHALLENGE_AT", None, |v| if v == "off" { Ok(None) } else { score(v).map(Some) }),
        challenge_acr_values: Some(r.list("CHALLENGE_ACR_VALUES", acr_value)).filter(|values| !values.is_empty()).unwrap_or(default.challenge_acr_values),
        fallback: r.per_client("FALLBACK", default.fallback.default, |v| {
            one_of(v, &[("local", Fallback::Local), ("allow", Fallback::Allow), ("deny", Fallback::Deny)])
        }),
        degraded_deny_at: r.parsed("DEGRADED_DENY_AT", &score),
        no_ip: r.per_client("NO_IP", default.no_ip.default, |v| one_of(v, &[("score", NoIp::Score), ("allow", NoIp::Allow), ("deny", NoIp::Deny)])),
        deny_message: r.parsed("DENY_MESSAGE", deny_message).unwrap_or(default.deny_message),
        allow_cidrs: r.list("ALLOW_CIDRS", parse_network),
        deny_cidrs: r.list("DENY_CIDRS", parse_network),
        deny_clients: r.list("DENY_CLIENTS", |v| Ok(v.to_owned())),
        deny_countries: r.per_client("DENY_COUNTRIES", Vec::new(), list_of(country)),
        deny_asns: r.per_client("DENY_ASNS", Vec::new(), list_of(asn)),
        allow_asns: r.per_client("ALLOW_ASNS", Vec::new(), list_of(asn)),
    };
    check_challenge_thresholds(r, &mut config);
    config
}

/// Reports each app client whose challenge threshold is not between its other thresholds, and turns its challenges off.
fn check_challenge_thresholds(r: &mut Reader<'_>, config: &mut DecisionConfig) {
    let DecisionConfig { review_at, challenge_at, deny_at, .. } = config;
    let names = challenge_at.clients.keys().chain(review_at.clients.keys()).chain(deny_at.clients.keys());
    // An empty name means all clients without a value.
    let clients: BTreeSet<String> = names.cloned().chain([String::new()]).collect();
    for client in clients {
        let (review, deny) = (*review_at.of(&client), *deny_at.of(&client));
        let Some(challenge) = challenge_at.of(&client).filter(|challenge| !(review..=deny).contains(challenge)) else { continue };
        let name = |name: &str, is_own: bool| if is_own { format!("{PREFIX}{name}__{client}") } else { format!("{PREFIX}{name}") };
        let (review_name, deny_name) = (name("REVIEW_AT", review_at.clients.contains_key(&client)), name("DENY_AT", deny_at.clients.contains_key(&client)));
        let for_client = if client.is_empty() { String::new() } else { format!(" for app client {client}") };
        r.add_fault(
            name("CHALLENGE_AT", challenge_at.clients.contains_key(&client)).trim_start_matches(PREFIX),
            format!("{challenge} must be between {review_name} ({review}) and {deny_name} ({deny}){for_client}"),
        );
        if client.is_empty() {
            challenge_at.default = None;
        } else {
            challenge_at.clients.insert(client, None);
        }
    }
}

/// Parses the name of an authentication level.
fn acr_value(value: &str) -> Result<String, String> {
    // Cognito's names have at most 64 characters, and `acr_values` separates them by spaces.
    if value.len() > 64 || !value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') {
        return Err(format!("{value:?} is not a level's name such as urn:cognito:loa:3: at most 64 characters without spaces and quotes"));
    }
    Ok(value.to_owned())
}

/// A parser of comma-separated lists. `none` is the empty list: it lets an app client override the general list.
fn list_of<T>(parse: impl Fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<Vec<T>, String> {
    move |value| match value {
        "none" => Ok(Vec::new()),
        value => value.split([',', '\n', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).map(&parse).collect(),
    }
}

/// Parses an ISO 3166-1 alpha-2 code. `UK`, which the standard reserves, is read as `GB`.
fn country(value: &str) -> Result<String, String> {
    let code = value.to_ascii_uppercase();
    match code.as_bytes() {
        b"UK" => Ok("GB".to_owned()),
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && !is_unassigned_country([*a, *b]) => Ok(code),
        _ => Err(format!("{value:?} is not a country's ISO 3166-1 alpha-2 code such as DE")),
    }
}

/// Parses an AS number with or without the prefix `AS`.
fn asn(value: &str) -> Result<u32, String> {
    let upper = value.to_ascii_uppercase();
    let digits = upper.strip_prefix("AS").unwrap_or(&upper);
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number.filter(|number| *number != 0).ok_or_else(|| format!("{value:?} is not an AS number such as 64500 or AS64500"))
}

/// Parses the message of a denial.
fn deny_message(value: &str) -> Result<String, String> {
    if value.chars().any(char::is_control) || value.len() > 200 || value.ends_with('.') {
        return Err("must be one line of at most 200 bytes without a final dot (Cognito adds one)".to_owned());
    }
    Ok(value.to_owned())
}
