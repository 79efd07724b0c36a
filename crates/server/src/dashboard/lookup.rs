//! What a text names, and the complete lists behind the rankings. A name is looked up by its pseudonym, and is neither stored nor logged.

use std::sync::Arc;

use axum::{
    Extension,
    body::Bytes,
    extract::{RawQuery, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::{
    dashboard::{
        Dashboard,
        access::Identity,
        queries::{Parameters, json_response, query_failed, view_token_needed},
    },
    problem::problem,
};
use riskgate_activity::{
    FoundValue,
    listing::{ListKind, ListOrder, ListPage, MAX_LISTED},
};
use riskgate_engine::evidence::FailureReason;

/// The values of a page, unless it asks for another number.
const DEFAULT_LIMIT: usize = 50;

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 2048;

/// The longest id of a user pool, in bytes.
const MAX_POOL_BYTES: usize = 256;

/// The most user pools in which a name is looked up, if none is chosen.
const MAX_POOLS: usize = 8;

/// The body of a look-up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserWire {
    /// The name that was typed, or the `sub`.
    name: String,
    #[serde(default)]
    pool: String,
}

/// The body of a search.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextWire {
    text: String,
}

/// `GET /v1/activity/values`: every network, account or other value of the selected decisions with its counts, in pages.
pub async fn values(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::parse(query.as_deref());
    let filter = match parameters.filter() {
        Ok(filter) => filter,
        Err(problem) => return *problem,
    };
    let kind = parameters.find("of").and_then(ListKind::from_name);
    let order = parameters.find("sort").map_or(Some(ListOrder::default()), ListOrder::from_name);
    let (Some(kind), Some(order)) = (kind, order) else {
        let detail = "of must be net, asn, country, user, client, reason or decided_by; sort must be total, got_in, stopped, failed or last";
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "not a list", detail.to_owned());
    };
    if (kind.names_subjects() || filter.names_subject()) && !identity.may_view() {
        return view_token_needed();
    }
    let (offset, limit) = (parameters.number("offset").unwrap_or(0), parameters.number("limit").unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LISTED));
    let page = ListPage { kind, order, offset, limit };
    let key = format!("values {page:?} {filter:?}");
    dashboard.answer(key, filter.clone(), move |rows, now| rows.selected.values(&filter, now, page)).await
}

/// `POST /v1/activity/users`: the pseudonym of a user's name or sub.
pub async fn find_user(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, body: Bytes) -> Response {
    if !identity.may_view() {
        return view_token_needed();
    }
    let wire = serde_json::from_slice::<UserWire>(&body).ok();
    let Some(UserWire { name, pool }) = wire.filter(|wire| is_name(&wire.name) && wire.pool.len() <= MAX_POOL_BYTES) else {
        return problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            "not a user",
            "send {\"name\", \"pool\"}: the name as it is typed or the sub, and the user pool's id".to_owned(),
        );
    };
    match dashboard.find_user(&pool, &name).await {
        Ok(Some(user)) => json_response(&json!({ "user": user })),
        Ok(None) => not_found(&dashboard),
        Err(cause) => dashboard.store_failed(cause),
    }
}

/// `POST /v1/activity/find`: what a text names: a decision, an account by pseudonym, name or sub, a network, a device, an AS, a country or an app
/// client.
pub async fn find(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, body: Bytes) -> Response {
    if !identity.may_view() {
        return view_token_needed();
    }
    let wire = serde_json::from_slice::<TextWire>(&body).ok();
    let Some(TextWire { text }) = wire.filter(|wire| is_name(&wire.text)) else {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, "not a text", "send {\"text\"}: an id, a pseudonym, a name or a sub".to_owned());
    };
    let (searching, searched) = (Arc::clone(&dashboard), text.clone());
    // The search walks over all stored rows.
    let found = match tokio::task::spawn_blocking(move || searching.activity().find_value(&searched)).await {
        Ok(found) => found,
        Err(_) => return query_failed(),
    };
    if let Some(FoundValue { kind, value, last }) = found {
        return json_response(&json!({ "kind": kind, "value": value, "last": last }));
    }
    match dashboard.find_stored(&text).await {
        Ok(Some(found)) => json_response(&found),
        Ok(None) => not_found(&dashboard),
        Err(cause) => dashboard.store_failed(cause),
    }
}

impl Dashboard {
    /// What a text names that is no longer among the rows in memory; `None` if nothing.
    async fn find_stored(&self, text: &str) -> Result<Option<Value>, FailureReason> {
        if self.stored_decision(text).await?.is_some() {
            return Ok(Some(json!({ "kind": "decision", "value": text, "last": null })));
        }
        if self.stored_user(text).await?.is_some() {
            return Ok(Some(json!({ "kind": "user", "value": text, "last": null })));
        }
        let mut pools = self.activity().pools();
        if !pools.iter().any(SmolStr::is_empty) {
            pools.push(SmolStr::default());
        }
        for pool in pools.iter().take(MAX_POOLS) {
            if let Some(user) = self.find_user(pool, text).await? {
                return Ok(Some(json!({ "kind": "user", "value": user, "last": null })));
            }
        }
        Ok(None)
    }

    /// The pseudonym of a user's name or sub. `None` if the user has no stored sign-in and no record, or without the pseudonym key of the
    /// deployment.
    async fn find_user(&self, pool: &str, name: &str) -> Result<Option<SmolStr>, FailureReason> {
        let Some(instance) = &self.instance else { return Ok(None) };
        let pseudonyms = instance.engine.enricher().pseudonyms();
        let (user, keys) = (pseudonyms.user(pool, name), pseudonyms.user_keys(pool, name));
        let has_rows = self.activity().newest_of(&user).is_some() || self.stored_user(&user).await?.is_some();
        if !has_rows && !self.records_of(&keys).await?.is_some_and(|records| has_history(&records)) {
            return Ok(None);
        }
        self.subjects().insert(user.clone(), keys);
        Ok(Some(user))
    }
}

/// Whether the store knows anything about a user.
pub fn has_history(records: &Value) -> bool {
    let is_set = |record: &Value, name: &str| match &record[name] {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(_) | Value::String(_) | Value::Object(_) => true,
    };
    const MEMBERS: [&str; 6] = ["successes", "values", "attempts", "tokens_held_until", "challenges", "block"];
    records.as_array().into_iter().flatten().any(|record| MEMBERS.iter().any(|name| is_set(record, name)))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES
}

fn not_found(dashboard: &Dashboard) -> Response {
    let detail = if dashboard.can_act() {
        "no stored decision, account, network, device, AS, country or app client has this name; the audit log has older ones"
    } else {
        "no stored decision, account, network, device, AS, country or app client has this name; names of users cannot be looked up here, because the \
         pseudonym key is with the deployment"
    };
    problem(StatusCode::NOT_FOUND, "not found", detail.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_without_content_is_no_history() {
        let empty = json!({ "key": "u#x", "successes": 0, "values": [], "attempts": [], "tokens_held_until": null, "challenges": [], "block": null });
        assert!(!has_history(&json!([])) && !has_history(&json!([empty.clone(), empty.clone()])));
        for (name, value) in [("successes", json!(1)), ("block", json!({ "kind": "suspend" })), ("attempts", json!([{}])), ("tokens_held_until", json!("2026"))]
        {
            let mut record = empty.clone();
            record[name] = value;
            assert!(has_history(&json!([empty.clone(), record])), "{name}");
        }
    }
}
