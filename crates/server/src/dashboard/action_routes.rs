//! The routes of actions. Only a named operator may use those that change something.

use std::sync::Arc;

use axum::{
    Extension,
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::Response,
};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use crate::{
    dashboard::{
        Dashboard,
        access::Identity,
        action_request::{ActionRequest, ActionSubject, checked_note},
        actions::ActionError,
        queries::{Parameters, json_response, query_failed, view_token_needed},
    },
    problem::{problem, problem_with_code},
};
use riskgate_pipeline::sessions::source::SourceError;

/// `GET /v1/actions`: the actions of this process.
pub async fn list(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>) -> Response {
    if identity.may_view() { json_response(&dashboard.list_actions()) } else { view_token_needed() }
}

/// `GET /v1/actions/affected`: how many known users an action would affect.
pub async fn affected(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, RawQuery(query): RawQuery) -> Response {
    if !identity.may_view() {
        return view_token_needed();
    }
    let parameters = Parameters::parse(query.as_deref());
    let subject = ActionSubject::parse(parameters.find("subject").unwrap_or_default(), parameters.find("value").unwrap_or_default());
    match subject {
        Ok(subject) => {
            let counting = Arc::clone(&dashboard);
            // Counting walks over all stored rows.
            match tokio::task::spawn_blocking(move || counting.affected_users(&subject)).await {
                Ok(users) => json_response(&json!({ "users": users })),
                Err(_) => query_failed(),
            }
        }
        Err(fault) => problem(StatusCode::UNPROCESSABLE_ENTITY, "not a subject", fault.to_owned()),
    }
}

/// `POST /v1/actions/preview`: the command that does the same as an action, and how many known users it would affect. It changes nothing.
pub async fn preview(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, body: Bytes) -> Response {
    if !identity.may_view() {
        return view_token_needed();
    }
    let request = match ActionRequest::parse(&body) {
        Ok(request) => request,
        Err(fault) => return problem(StatusCode::UNPROCESSABLE_ENTITY, "not an action", fault.to_owned()),
    };
    let counting = Arc::clone(&dashboard);
    // Counting walks over all stored rows.
    let answer = tokio::task::spawn_blocking(move || {
        let users = request.subject.is_shared().then(|| counting.affected_users(&request.subject));
        let command = counting.command_of(&request);
        json!({ "command": command.text, "undo_command": command.undo, "users": users })
    });
    match answer.await {
        Ok(answer) => json_response(&answer),
        Err(_) => query_failed(),
    }
}

/// `POST /v1/actions`: does an action.
pub async fn act(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, headers: HeaderMap, body: Bytes) -> Response {
    let operator = match operator(&identity, &headers) {
        Ok(operator) => operator,
        Err(refused) => return *refused,
    };
    let request = match ActionRequest::parse(&body) {
        Ok(request) => request,
        Err(fault) => return problem(StatusCode::UNPROCESSABLE_ENTITY, "not an action", fault.to_owned()),
    };
    match dashboard.act(request, operator).await {
        Ok(action) => json_response(&action),
        Err(error) => refuse(error),
    }
}

/// `POST /v1/actions/{id}/undo`: undoes an action.
pub async fn undo(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wire {
        note: String,
    }
    let operator = match operator(&identity, &headers) {
        Ok(operator) => operator,
        Err(refused) => return *refused,
    };
    let note = serde_json::from_slice::<Wire>(&body).map_err(|_| "send {\"note\"}: why the action is undone").and_then(|wire| checked_note(&wire.note));
    match note {
        Ok(note) => dashboard.undo(&id, operator, &note).await.map_or_else(refuse, |action| json_response(&action)),
        Err(fault) => problem(StatusCode::UNPROCESSABLE_ENTITY, "not an undo", fault.to_owned()),
    }
}

/// The operator of a request that changes something. A form of another site cannot send JSON, and a browser names the site that sends.
fn operator<'a>(identity: &'a Identity, headers: &HeaderMap) -> Result<&'a Arc<str>, Box<Response>> {
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if value("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return Err(Box::new(problem(StatusCode::FORBIDDEN, "cross-site request", "actions are sent from this server's own page only".to_owned())));
    }
    let content_type = value(header::CONTENT_TYPE.as_str()).unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !content_type.eq_ignore_ascii_case("application/json") {
        return Err(Box::new(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON", "send Content-Type: application/json".to_owned())));
    }
    match identity {
        Identity::Operator(operator) => Ok(operator),
        Identity::Anonymous => Err(Box::new(view_token_needed())),
        Identity::Viewer => {
            let detail = "an action is by a named operator: RISKGATE_DASHBOARD_OPERATORS, or a proxy that signs operators in".to_owned();
            Err(Box::new(problem_with_code(StatusCode::FORBIDDEN, "a view token cannot act", "operator_needed", detail)))
        }
    }
}

fn refuse(error: ActionError) -> Response {
    let (status, title, code, detail) = match error {
        ActionError::ReadOnly => (StatusCode::CONFLICT, "no action is possible here", "read_only", "this page shows a log; use the commands".to_owned()),
        ActionError::Unknown => {
            (StatusCode::NOT_FOUND, "the subject is not known here", "unknown", "it is not among the stored decisions; use the commands".to_owned())
        }
        ActionError::Affects(users) => {
            let detail = format!("{users} known users got in from there; send confirmed_users with that number to act nevertheless");
            (StatusCode::CONFLICT, "known users are affected", "confirm", detail)
        }
        ActionError::Undone => (StatusCode::CONFLICT, "the action was undone already", "undone", "nothing is left to undo".to_owned()),
        ActionError::Final => {
            (StatusCode::CONFLICT, "the action cannot be undone", "final", "ended sessions do not come back: the user signs in again".to_owned())
        }
        ActionError::NoSessions => {
            let detail = "set RISKGATE_SESSION_QUEUE and RISKGATE_SESSION_SOURCE=sessions here, or use riskgate sessions revoke".to_owned();
            (StatusCode::CONFLICT, "sessions cannot be revoked here", "no_sessions", detail)
        }
        ActionError::Pool(SourceError::NoUser) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "the user pool has no such user", "no_user", "enter the user's name in the pool (userName)".to_owned())
        }
        ActionError::Pool(SourceError::NotAllowed(problem)) => {
            (StatusCode::CONFLICT, "the user pool does not allow it", problem.as_label(), format!("for this process: {}", problem.help()))
        }
        ActionError::Pool(SourceError::Limited) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the user pool limits the calls", "limited", "no session was ended; send the action again".to_owned())
        }
        ActionError::Pool(SourceError::Failed(reason)) => {
            let detail = format!("{}; no session is known to have ended; send the action again", reason.as_label());
            (StatusCode::SERVICE_UNAVAILABLE, "the user pool could not be reached", "pool", detail)
        }
        ActionError::Store(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the store could not be reached", "store", format!("{}; send the action again", reason.as_label()))
        }
    };
    problem_with_code(status, title, code, detail)
}
