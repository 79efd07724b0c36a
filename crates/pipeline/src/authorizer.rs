//! The authorizer of API Gateway: it lets a challenged user call an API only with a token of a stronger authentication (RFC 9470).

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::value::to_raw_value;
use tokio::time::Instant;

use crate::{instance::Instance, learn::run_store_call};
use riskgate_engine::{personal::RawEvent, settings::Mode, time::ClockReading};
use riskgate_event::{
    authorizer::{Api, Authorization, AuthorizerRequest},
    response::cognito::Denial,
};
use riskgate_runtime::deadline::Deadline;
use riskgate_telemetry::labels::StepUpResult;
use riskgate_tokens::{Requirement, TokenError, TokenUse, TokenVerifier, VerifiedToken};

/// The error with which a REST API answers status 401.
const UNAUTHORIZED: &str = "Unauthorized";

/// The error when the token could not be checked. API Gateway answers status 500 and does not cache it.
const UNAVAILABLE: &str = "the token could not be checked";

/// A checked token, and what is required of it.
struct Checked {
    token: VerifiedToken,
    requirement: Option<Requirement>,
    result: Result<(), TokenError>,
}

/// Allows or denies a request to an API.
///
/// # Errors
///
/// The token is missing or invalid and the API is a REST API, or the token could not be checked. API Gateway refuses the request.
pub async fn authorize(instance: &Instance, request: &AuthorizerRequest, received: ClockReading, limit: Option<Duration>) -> Result<RawEvent, Denial> {
    let Some(verifier) = &instance.step_up else {
        tracing::error!("RISKGATE_STEP_UP_POOLS is not set, so the authorizer refuses every request");
        return Err(Denial { message: UNAVAILABLE.to_owned() });
    };
    let deadline = instance.engine.deadline(received.mono, limit);
    let reserve = instance.engine.enricher().store_timeout().min(deadline.left(Instant::now()) / 2);
    let checked = match check(instance, verifier, request, (received, deadline.reserving(reserve))).await {
        Ok(checked) => checked,
        Err(error) => {
            instance.telemetry.record_step_up(StepUpResult::Refused(error), received.wall, deadline).await;
            return refuse(instance, request, error, None, received.wall);
        }
    };
    let result = match (checked.result, &checked.requirement) {
        (Ok(()), Some(_)) => StepUpResult::Passed,
        (Ok(()), None) => StepUpResult::NotRequired,
        (Err(error), _) => StepUpResult::Refused(error),
    };
    let mut context = checked.context(&instance.config.token.claim_prefix);
    if result == StepUpResult::Passed && !end_challenges(instance, &checked.token, received.wall, deadline).await {
        context.insert("degraded", "history".to_owned());
    }
    instance.telemetry.record_step_up(result, received.wall, deadline).await;
    match (checked.result, instance.config.decision.mode.of(&checked.token.client)) {
        (Err(error), Mode::Enforce) => refuse(instance, request, error, Some(&checked), received.wall),
        (Err(error), Mode::Monitor) => {
            context.insert("would_deny", error.as_label().to_owned());
            allow(instance, request, &checked, context)
        }
        (Ok(()), _) => allow(instance, request, &checked, context),
    }
}

/// Verifies the token, and compares its authentication with the requirement in its claims.
async fn check(
    instance: &Instance,
    verifier: &TokenVerifier,
    request: &AuthorizerRequest,
    (received, deadline): (ClockReading, Deadline),
) -> Result<Checked, TokenError> {
    let token = request.token.as_ref().ok_or(TokenError::Missing)?;
    let token = verifier.verify(token.expose(), &[TokenUse::Access], received, deadline).await?;
    Ok(match token.requirement(&instance.config.token.claim_prefix) {
        Err(error) => Checked { token, requirement: None, result: Err(error) },
        Ok(None) => Checked { token, requirement: None, result: Ok(()) },
        Ok(Some(requirement)) => {
            let result = token.check_authentication(&requirement);
            Checked { token, requirement: Some(requirement), result }
        }
    })
}

/// Ends the user's challenges that are older than the token's authentication. `false` when the store could not be reached; the token is
/// sufficient all the same, and a later request tries again.
async fn end_challenges(instance: &Instance, token: &VerifiedToken, now: Timestamp, deadline: Deadline) -> bool {
    let (Some(repository), Some(proof)) = (instance.engine.enricher().repository(), token.auth_time()) else { return false };
    let ended = repository.end_challenges(&token.pool, token.sub.expose(), proof, now);
    run_store_call(instance.engine.health(), deadline, ended).await.is_ok()
}

fn allow(instance: &Instance, request: &AuthorizerRequest, checked: &Checked, context: BTreeMap<&'static str, String>) -> Result<RawEvent, Denial> {
    respond(instance, request, &Authorization { is_allowed: true, principal: Some(checked.token.sub.clone()), context })
}

/// Refuses a request: with an error where the client gets a fitting status for it, else with a denial whose context explains it.
fn refuse(instance: &Instance, request: &AuthorizerRequest, error: TokenError, checked: Option<&Checked>, now: Timestamp) -> Result<RawEvent, Denial> {
    if matches!(error, TokenError::KeysUnavailable(_)) {
        return Err(Denial { message: UNAVAILABLE.to_owned() });
    }
    if request.api == Api::Rest && !error.is_insufficient_authentication() {
        return Err(Denial { message: UNAUTHORIZED.to_owned() });
    }
    let requirement = checked.and_then(|checked| checked.requirement.as_ref());
    let principal = checked.map(|checked| checked.token.sub.clone());
    respond(instance, request, &Authorization { is_allowed: false, principal, context: refusal_context(error, requirement, now) })
}

fn respond(instance: &Instance, request: &AuthorizerRequest, authorization: &Authorization) -> Result<RawEvent, Denial> {
    let response = request.response(authorization, instance.config.step_up.authorizer_response);
    to_raw_value(&response).map(RawEvent::new).map_err(|_| Denial { message: UNAVAILABLE.to_owned() })
}

/// The context of a denial: the members of RFC 9470's challenge, and the header that carries them.
fn refusal_context(error: TokenError, requirement: Option<&Requirement>, now: Timestamp) -> BTreeMap<&'static str, String> {
    let mut context = BTreeMap::from([("cause", error.as_label().to_owned())]);
    let mut header = "Bearer".to_owned();
    let mut parameters = Vec::new();
    match requirement.filter(|_| error.is_insufficient_authentication()) {
        Some(requirement) => {
            let max_age = now.as_second().saturating_sub(requirement.after).max(0);
            parameters.push(("error", "insufficient_user_authentication".to_owned()));
            parameters.push(("acr_values", requirement.acr_values.join(" ")));
            parameters.push(("max_age", max_age.to_string()));
        }
        None if error == TokenError::Missing => {}
        None => parameters.push(("error", "invalid_token".to_owned())),
    }
    for (index, (name, value)) in parameters.into_iter().enumerate() {
        header.push_str(if index == 0 { " " } else { ", " });
        header.push_str(&format!("{name}=\"{value}\""));
        context.insert(name, value);
    }
    context.insert("www_authenticate", header);
    context
}

impl Checked {
    /// What the API behind the authorizer may use.
    fn context(&self, claim_prefix: &str) -> BTreeMap<&'static str, String> {
        let level = format!("{claim_prefix}level");
        let claims = [("scope", self.token.text_claim("scope")), ("acr", self.token.text_claim("acr")), ("level", self.token.text_claim(&level))];
        let mut context: BTreeMap<&'static str, String> = claims.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect();
        context.insert("sub", self.token.sub.expose().to_string());
        context.insert("client_id", self.token.client.to_string());
        if self.token.stale_keys.is_some() {
            context.insert("degraded", "signing_keys".to_owned());
        }
        context
    }
}
