//! The pre token generation trigger: adds the assessment as claims, and withholds groups and scopes.
//!
//! The event is edited as text, so every byte outside the riskgate claims is returned unchanged. The
//! groups of a token are edited only when a group is withheld, because an empty
//! `groupOverrideDetails` would remove all of them.

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use smol_str::SmolStr;

use crate::{enricher::Enricher, learn::with_store_timeout};
use riskgate_config::token::TokenConfig;
use riskgate_engine::{
    evidence::{FailureReason, history::BlockKind, store_parts::StorePart},
    personal::RawEvent,
};
use riskgate_event::{
    cognito::PreTokenGeneration,
    json_splice::{member, set},
    json_strings::read_json,
};
use riskgate_history::{
    attempt::{Completeness, TokenRestriction},
    repository::token::{TokenFacts, TokenSessionFacts},
};

/// The user, the client or the tenant is blocked by the operator. No other condition prevents a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspended {
    /// The message to the user, if the operator set one.
    pub message: Option<SmolStr>,
}

/// A token event with its claims.
#[derive(Debug)]
pub struct EditedEvent {
    /// The event to return.
    pub event: RawEvent,
    /// Why the assessment could not be read; then no claims were added.
    pub missing: Option<FailureReason>,
    /// The facts for the look-up of the session; `None` for a machine's token.
    pub session: Option<TokenSessionFacts>,
}

/// The scope that lets a token's holder change the account: its attributes, factors and passkeys.
const OWN_ACCOUNT_SCOPE: &str = "aws.cognito.signin.user.admin";

/// The two response formats of the trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseForm {
    /// Version 1: claims of the ID token, as strings.
    Claims,
    /// Versions 2 and 3: claims of both tokens, as any JSON, and scopes.
    ClaimsAndScopes,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Groups {
    groups_to_override: Option<Vec<String>>,
}

/// Adds claims to an event and withholds groups and scopes. Waits for the store at most as long as the other triggers after the decision.
///
/// # Errors
///
/// The user, the client or the tenant is suspended, or `DENY_CLIENTS` contains the client. This applies to every grant type.
pub async fn pre_token_generation(enricher: &Enricher, config: &TokenConfig, event: PreTokenGeneration) -> Result<EditedEvent, Suspended> {
    // A client credentials token belongs to a client, not to a user.
    let is_machine = event.source == "ClientCredentials";
    let facts = match enricher.repository() {
        Some(repository) if is_machine => with_store_timeout(enricher, event.received, repository.read_machine_token_facts(&event)).await,
        Some(repository) => with_store_timeout(enricher, event.received, repository.read_token_facts(&event)).await,
        None => Ok(TokenFacts::default()),
    };
    let block = facts.as_ref().ok().and_then(|facts| facts.block.as_ref());
    match block.map(|block| block.kind) {
        Some(BlockKind::Suspended) => return Err(Suspended { message: block.and_then(|block| block.message.clone()) }),
        Some(BlockKind::Exempt) => {}
        None if config.denied_clients.iter().any(|denied| *denied == event.client) => return Err(Suspended { message: None }),
        None => {}
    }
    let facts = match facts {
        Ok(facts) if !is_machine => facts,
        Ok(_) => return Ok(EditedEvent { event: event.raw, missing: None, session: None }),
        Err(cause) => return Ok(EditedEvent { event: event.raw, missing: Some(cause), session: Some(TokenSessionFacts::default()) }),
    };
    let edited = edit(event.raw.text(), &event.version, config, &facts).and_then(|text| RawValue::from_string(text).ok());
    Ok(EditedEvent { event: edited.map_or(event.raw, RawEvent::new), missing: None, session: Some(facts.session) })
}

/// Adds the claims to the event's text; `None` when it does not have the structure of a token event and must be returned unchanged.
fn edit(text: &str, version: &str, config: &TokenConfig, facts: &TokenFacts) -> Option<String> {
    let form = response_form(text, version);
    let (details, generations): (&str, &[&str]) = match form {
        ResponseForm::Claims => ("claimsOverrideDetails", &[]),
        ResponseForm::ClaimsAndScopes => ("claimsAndScopeOverrideDetails", &["idTokenGeneration", "accessTokenGeneration"]),
    };
    let mut text = text.to_owned();
    let is_exempt = facts.block.as_ref().is_some_and(|block| block.kind == BlockKind::Exempt);
    let challenge = challenge_claims(config, facts).filter(|_| !is_exempt);
    for (name, value) in sign_in_claims(facts).into_iter().flatten().chain(challenge.into_iter().flatten()) {
        let claim = format!("{}{name}", config.claim_prefix);
        match form {
            ResponseForm::Claims => {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                text = set(&text, &["response", details, "claimsToAddOrOverride", &claim], &json!(value).to_string())?;
            }
            ResponseForm::ClaimsAndScopes => {
                for generation in generations {
                    text = set(&text, &["response", details, generation, "claimsToAddOrOverride", &claim], &value.to_string())?;
                }
            }
        }
    }
    if facts.restriction == TokenRestriction::None || is_exempt {
        return Some(text);
    }
    if let Some(groups) = without_groups(&text, details, &config.withhold_groups) {
        text = set(&text, &["response", details, "groupOverrideDetails"], &groups.to_string())?;
    }
    let own_account = (facts.restriction == TokenRestriction::Challenge && config.withhold_own_account).then(|| OWN_ACCOUNT_SCOPE.to_owned());
    let withheld: Vec<String> = config.withhold_scopes.iter().cloned().chain(own_account).collect();
    if form == ResponseForm::ClaimsAndScopes && !withheld.is_empty() {
        let path = ["response", details, "accessTokenGeneration", "scopesToSuppress"];
        let suppressed = member(&text, &path).and_then(read_json::<Vec<String>>).unwrap_or_default();
        let added = withheld.into_iter().filter(|scope| !suppressed.contains(scope));
        let all: Vec<String> = suppressed.iter().cloned().chain(added).collect();
        text = set(&text, &path, &json!(all).to_string())?;
    }
    Some(text)
}

/// The claims of the last sign-in through the client.
fn sign_in_claims(facts: &TokenFacts) -> Option<[(&'static str, Value); 2]> {
    let sign_in = facts.sign_in.as_ref()?;
    // Without the block list it is unknown whether the client or the tenant is blocked.
    let is_degraded = sign_in.completeness == Completeness::Degraded || facts.unread.cause(StorePart::BlockList).is_some();
    Some([("level", json!(sign_in.level.as_label())), ("degraded", json!(is_degraded))])
}

/// The claims of an open challenge: the sufficient levels, and the time in seconds since 1970 after which the user has to authenticate.
fn challenge_claims(config: &TokenConfig, facts: &TokenFacts) -> Option<[(&'static str, Value); 2]> {
    let since = facts.challenged_since.filter(|_| config.withhold_own_account)?;
    Some([("acr", json!(config.challenge_acr_values.join(" "))), ("step_up_after", json!(since.as_second()))])
}

/// The response format, by the members of the response in the event, else by its version.
fn response_form(text: &str, version: &str) -> ResponseForm {
    if member(text, &["response", "claimsAndScopeOverrideDetails"]).is_some() {
        ResponseForm::ClaimsAndScopes
    } else if member(text, &["response", "claimsOverrideDetails"]).is_some() || version == "1" || version.is_empty() {
        ResponseForm::Claims
    } else {
        ResponseForm::ClaimsAndScopes
    }
}

/// The user's groups without the withheld ones; `None` when the user is in none of the withheld groups. All IAM roles of the groups are
/// removed too, because an event does not say which role belongs to which group.
fn without_groups(text: &str, details: &str, withheld: &[String]) -> Option<Value> {
    let overridden = member(text, &["response", details, "groupOverrideDetails"]).filter(|groups| *groups != "null");
    let groups = overridden.or_else(|| member(text, &["request", "groupConfiguration"]))?;
    let groups: Groups = read_json(groups)?;
    let groups = groups.groups_to_override.unwrap_or_default();
    let remaining: Vec<&String> = groups.iter().filter(|group| !withheld.contains(group)).collect();
    (remaining.len() < groups.len()).then(|| json!({ "groupsToOverride": remaining, "iamRolesToOverride": [], "preferredRole": null }))
}
