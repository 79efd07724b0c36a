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
    evidence::{FailureReason, history::BlockKind, unread::StorePart},
    personal::RawEvent,
};
use riskgate_event::{cognito::PreTokenGeneration, text::read_json};
use riskgate_history::{
    attempt::{Completeness, TokenRestriction},
    repository::token::TokenFacts,
};

use crate::claims::splice::{member, set};

mod splice;

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
}

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
        Ok(_) => return Ok(EditedEvent { event: event.raw, missing: None }),
        Err(cause) => return Ok(EditedEvent { event: event.raw, missing: Some(cause) }),
    };
    let edited = edit(event.raw.text(), &event.version, config, &facts).and_then(|text| RawValue::from_string(text).ok());
    Ok(EditedEvent { event: edited.map_or(event.raw, RawEvent::new), missing: None })
}

/// Adds the claims to the event's text; `None` when it does not have the structure of a token event and must be returned unchanged.
fn edit(text: &str, version: &str, config: &TokenConfig, facts: &TokenFacts) -> Option<String> {
    let form = response_form(text, version);
    let (details, generations): (&str, &[&str]) = match form {
        ResponseForm::Claims => ("claimsOverrideDetails", &[]),
        ResponseForm::ClaimsAndScopes => ("claimsAndScopeOverrideDetails", &["idTokenGeneration", "accessTokenGeneration"]),
    };
    let mut text = text.to_owned();
    if let Some(sign_in) = &facts.sign_in {
        // Without the block list it is unknown whether the client or the tenant is blocked.
        let is_degraded = sign_in.completeness == Completeness::Degraded || facts.unread.cause(StorePart::BlockList).is_some();
        let degraded = match form {
            ResponseForm::Claims => json!(is_degraded.to_string()),
            ResponseForm::ClaimsAndScopes => json!(is_degraded),
        };
        for (name, value) in [("level", json!(sign_in.level.as_label())), ("degraded", degraded)] {
            let claim = format!("{}{name}", config.claim_prefix);
            match form {
                ResponseForm::Claims => text = set(&text, &["response", details, "claimsToAddOrOverride", &claim], &value.to_string())?,
                ResponseForm::ClaimsAndScopes => {
                    for generation in generations {
                        text = set(&text, &["response", details, generation, "claimsToAddOrOverride", &claim], &value.to_string())?;
                    }
                }
            }
        }
    }
    let is_exempt = facts.block.as_ref().is_some_and(|block| block.kind == BlockKind::Exempt);
    if facts.restriction == TokenRestriction::None || is_exempt {
        return Some(text);
    }
    if let Some(groups) = without_groups(&text, details, &config.withhold_groups) {
        text = set(&text, &["response", details, "groupOverrideDetails"], &groups.to_string())?;
    }
    if form == ResponseForm::ClaimsAndScopes && !config.withhold_scopes.is_empty() {
        let path = ["response", details, "accessTokenGeneration", "scopesToSuppress"];
        let suppressed = member(&text, &path).and_then(read_json::<Vec<String>>).unwrap_or_default();
        let withheld = config.withhold_scopes.iter().filter(|scope| !suppressed.contains(scope)).cloned();
        let all: Vec<String> = suppressed.iter().cloned().chain(withheld).collect();
        text = set(&text, &path, &json!(all).to_string())?;
    }
    Some(text)
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
