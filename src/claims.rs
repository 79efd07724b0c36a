//! Pre token generation: the sign-in's assessment becomes claims, and what is to be withheld is left out.
//!
//! The event's own text is edited in place: every byte that is not about our claims goes back as it
//! came. What a token says of groups is touched only when a group is withheld, because an empty
//! `groupOverrideDetails` would take all of them away.

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use smol_str::SmolStr;

use crate::{
    config::token::TokenConfig,
    event::{RawEvent, cognito::PreTokenGeneration, read_json},
    evidence::{
        Cause, Sources,
        history::{
            BlockKind,
            attempt::{Completeness, Hold},
            ledger::TokenFacts,
            unread::Part,
        },
    },
    learn::within,
};

mod splice;

use self::splice::{member, set};

/// An operator keeps the person, the client or the tenant out: the only thing that keeps a token from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspended {
    /// What the person is told, where the operator wrote something.
    pub message: Option<SmolStr>,
}

/// What was done to an event.
#[derive(Debug)]
pub struct Claimed {
    /// The event to answer with.
    pub event: RawEvent,
    /// What could not be known, and why: then nothing was added.
    pub missing: Option<Cause>,
}

/// The two forms of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// V1: the ID token's claims, strings only.
    Claims,
    /// V2 and V3: both tokens' claims, of any JSON, and scopes.
    ClaimsAndScopes,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Groups {
    groups_to_override: Option<Vec<String>>,
}

/// Adds claims to an event and withholds what is to be withheld. Waits for the store as long as a later trigger may.
///
/// # Errors
///
/// The person, the client or the tenant is suspended, or the client is one of `DENY_CLIENTS`; whatever the grant.
pub async fn pre_token_generation(sources: &Sources, config: &TokenConfig, event: PreTokenGeneration) -> Result<Claimed, Suspended> {
    // A machine's token has no person behind it, only a client.
    let is_machine = event.source == "ClientCredentials";
    let known = match sources.ledger() {
        Some(ledger) if is_machine => within(sources, event.received, ledger.machine_token(&event)).await,
        Some(ledger) => within(sources, event.received, ledger.token(&event)).await,
        None => Ok(TokenFacts::default()),
    };
    let block = known.as_ref().ok().and_then(|facts| facts.block.as_ref());
    match block.map(|block| block.kind) {
        Some(BlockKind::Suspended) => return Err(Suspended { message: block.and_then(|block| block.message.clone()) }),
        Some(BlockKind::Exempt) => {}
        None if config.denied_clients.iter().any(|denied| *denied == event.client) => return Err(Suspended { message: None }),
        None => {}
    }
    let facts = match known {
        Ok(facts) if !is_machine => facts,
        Ok(_) => return Ok(Claimed { event: event.raw, missing: None }),
        Err(cause) => return Ok(Claimed { event: event.raw, missing: Some(cause) }),
    };
    let edited = edit(event.raw.text(), &event.version, config, &facts).and_then(|text| RawValue::from_string(text).ok());
    Ok(Claimed { event: edited.map_or(event.raw, RawEvent::new), missing: None })
}

/// The event's text with our claims in it; `None` when it is not shaped like a token event, which then goes back as it came.
fn edit(text: &str, version: &str, config: &TokenConfig, facts: &TokenFacts) -> Option<String> {
    let form = form(text, version);
    let (details, generations): (&str, &[&str]) = match form {
        Form::Claims => ("claimsOverrideDetails", &[]),
        Form::ClaimsAndScopes => ("claimsAndScopeOverrideDetails", &["idTokenGeneration", "accessTokenGeneration"]),
    };
    let mut text = text.to_owned();
    if let Some(sign_in) = &facts.sign_in {
        // Without the list of blocks, whether the client or the tenant is kept out is not known.
        let is_degraded = sign_in.completeness == Completeness::Degraded || facts.unread.cause(Part::BlockList).is_some();
        let degraded = match form {
            Form::Claims => json!(is_degraded.to_string()),
            Form::ClaimsAndScopes => json!(is_degraded),
        };
        for (name, value) in [("level", json!(sign_in.level.as_label())), ("degraded", degraded)] {
            let claim = format!("{}{name}", config.claim_prefix);
            match form {
                Form::Claims => text = set(&text, &["response", details, "claimsToAddOrOverride", &claim], &value.to_string())?,
                Form::ClaimsAndScopes => {
                    for generation in generations {
                        text = set(&text, &["response", details, generation, "claimsToAddOrOverride", &claim], &value.to_string())?;
                    }
                }
            }
        }
    }
    let is_exempt = facts.block.as_ref().is_some_and(|block| block.kind == BlockKind::Exempt);
    if facts.hold == Hold::None || is_exempt {
        return Some(text);
    }
    if let Some(groups) = without_groups(&text, details, &config.withhold_groups) {
        text = set(&text, &["response", details, "groupOverrideDetails"], &groups.to_string())?;
    }
    if form == Form::ClaimsAndScopes && !config.withhold_scopes.is_empty() {
        let path = ["response", details, "accessTokenGeneration", "scopesToSuppress"];
        let kept = member(&text, &path).and_then(read_json::<Vec<String>>).unwrap_or_default();
        let withheld = config.withhold_scopes.iter().filter(|scope| !kept.contains(scope)).cloned();
        let all: Vec<String> = kept.iter().cloned().chain(withheld).collect();
        text = set(&text, &path, &json!(all).to_string())?;
    }
    Some(text)
}

/// By what the event asks for, else by its version.
fn form(text: &str, version: &str) -> Form {
    if member(text, &["response", "claimsAndScopeOverrideDetails"]).is_some() {
        Form::ClaimsAndScopes
    } else if member(text, &["response", "claimsOverrideDetails"]).is_some() || version == "1" || version.is_empty() {
        Form::Claims
    } else {
        Form::ClaimsAndScopes
    }
}

/// The person's groups without the withheld ones; `None` when none of those is among them. The groups' IAM roles go with
/// them: an event does not say which role belongs to which group.
fn without_groups(text: &str, details: &str, withheld: &[String]) -> Option<Value> {
    let overridden = member(text, &["response", details, "groupOverrideDetails"]).filter(|groups| *groups != "null");
    let groups = overridden.or_else(|| member(text, &["request", "groupConfiguration"]))?;
    let groups: Groups = read_json(groups)?;
    let groups = groups.groups_to_override.unwrap_or_default();
    let kept: Vec<&String> = groups.iter().filter(|group| !withheld.contains(group)).collect();
    (kept.len() < groups.len()).then(|| json!({ "groupsToOverride": kept, "iamRolesToOverride": [], "preferredRole": null }))
}
