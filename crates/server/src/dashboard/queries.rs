//! What the page reads: the overview, decisions, a user, and the likely mistakes. Users and decisions need an identity.

use std::sync::{Arc, PoisonError};

use axum::{
    Extension,
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    dashboard::{Dashboard, access::Identity, detector, lookup::has_history, store_feed::StoreSource},
    problem::{problem, problem_with_code},
};
use riskgate_activity::{Activity, Filter};
use riskgate_engine::evidence::{FailureReason, store_parts::StorePart};
use riskgate_pipeline::pool_monitor::PoolStatus;

/// Rows in one answer.
const MAX_LIMIT: usize = 500;

/// The rows that a query reads.
pub(super) struct Rows<'a> {
    /// The rows in memory: attacks and changes are those of these.
    pub(super) all: &'a Activity,
    /// The same, or those of an earlier range of a store.
    pub(super) selected: &'a Activity,
}

/// The parameters of a URL, decoded.
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes a query string.
    pub fn parse(query: Option<&str>) -> Self {
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        Parameters(pairs.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    /// The filter that the parameters describe.
    ///
    /// # Errors
    ///
    /// The response that says which parameter is not valid.
    pub fn filter(&self) -> Result<Filter, Box<Response>> {
        let pairs = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Filter::parse(pairs).map_err(|error| Box::new(problem(StatusCode::UNPROCESSABLE_ENTITY, "not a filter", error.0.to_owned())))
    }

    /// The value of a parameter.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter as a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.find(name).and_then(|value| value.parse().ok())
    }
}

/// `GET /v1/activity`: the overview. Without an identity it names no user and no network.
pub async fn overview(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, RawQuery(query): RawQuery) -> Response {
    let filter = match Parameters::parse(query.as_deref()).filter() {
        Ok(filter) => filter,
        Err(problem) => return *problem,
    };
    if filter.names_subject() && !identity.may_view() {
        return view_token_needed();
    }
    let is_identified = identity.may_view();
    let key = format!("overview {is_identified} {filter:?}");
    let (statuses, selected) = (dashboard.pool_statuses(), filter.clone());
    let query = move |rows: Rows<'_>, now| {
        let mut summary = rows.selected.summary(&filter, now, is_identified);
        if let (Value::Object(members), Value::Object(overview)) = (&mut summary, rows.all.overview(now, is_identified)) {
            members.extend(overview);
            members.insert("detector".to_owned(), detector::to_json(&statuses, is_identified.then_some(rows.all)));
            members.insert("pools".to_owned(), json!(rows.all.pools().iter().filter(|pool| !pool.is_empty()).collect::<Vec<_>>()));
        }
        summary
    };
    dashboard.answer(key, selected, query).await
}

/// `GET /v1/activity/decisions`: matching decisions, newest first.
pub async fn decisions(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, RawQuery(query): RawQuery) -> Response {
    if !identity.may_view() {
        return view_token_needed();
    }
    let parameters = Parameters::parse(query.as_deref());
    let filter = match parameters.filter() {
        Ok(filter) => filter,
        Err(problem) => return *problem,
    };
    let (offset, as_of) = (parameters.number("offset").unwrap_or(0), parameters.number("as_of"));
    let limit = parameters.number("limit").unwrap_or(100).min(MAX_LIMIT);
    let key = format!("decisions {offset} {limit} {as_of:?} {filter:?}");
    dashboard.answer(key, filter.clone(), move |rows, now| rows.selected.decisions(&filter, now, offset, limit, as_of)).await
}

/// `GET /v1/activity/decisions/{id}`: one decision with all its reasons.
pub async fn decision(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, Path(id): Path<String>) -> Response {
    if !identity.may_view() {
        return view_token_needed();
    }
    let stored = dashboard.activity().decision(&id);
    let found = match stored {
        Some(decision) => Ok(Some(decision)),
        None => dashboard.stored_decision(&id).await,
    };
    match found {
        Ok(found) => found.map_or_else(|| not_stored("no such decision"), |decision| json_response(&decision)),
        Err(cause) => dashboard.store_failed(cause),
    }
}

/// `GET /v1/activity/users/{pseudonym}`: a user's timeline and what the store knows.
pub async fn user(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, Path(user): Path<String>) -> Response {
    if !identity.may_view() {
        return view_token_needed();
    }
    let mut timeline = match dashboard.stored_user(&user).await {
        Ok(Some(timeline)) => Some(timeline),
        Ok(None) => dashboard.activity().user(&user),
        Err(cause) => return dashboard.store_failed(cause),
    };
    let records = match dashboard.user_records(&user).await {
        Ok(records) => records,
        Err(cause) if timeline.is_none() => return dashboard.store_failed(cause),
        // The sign-ins in memory are shown without what the store knows.
        Err(cause) => {
            dashboard.report_store_failure(cause);
            None
        }
    };
    if timeline.is_none() && !records.as_ref().is_some_and(has_history) {
        return not_stored("no such user");
    }
    let timeline = timeline
        .get_or_insert_with(|| json!({ "user": user, "total": 0, "got_in": 0, "stopped": 0, "sign_ins": [], "devices": [], "places": [], "hours": [] }));
    let restriction = dashboard.restriction_of(&user, records.as_ref());
    if let Value::Object(members) = timeline {
        members.insert("records".to_owned(), records.unwrap_or(Value::Null));
        members.insert("restriction".to_owned(), restriction);
    }
    json_response(timeline)
}

/// `GET /v1/activity/findings`: likely false positives and likely missed attacks.
pub async fn findings(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>, RawQuery(query): RawQuery) -> Response {
    if !identity.may_view() {
        return view_token_needed();
    }
    match Parameters::parse(query.as_deref()).filter() {
        Ok(filter) => {
            let key = format!("findings {filter:?}");
            dashboard.answer(key, filter.clone(), move |rows, now| rows.selected.findings(&filter, now)).await
        }
        Err(problem) => *problem,
    }
}

/// `GET /v1/activity/session`: who asks, what they may do, and where the data comes from.
pub async fn session(State(dashboard): State<Arc<Dashboard>>, Extension(identity): Extension<Identity>) -> Response {
    json_response(&json!({
        "may_view": identity.may_view(), "operator": identity.operator(), "can_act": identity.operator().is_some() && dashboard.can_act(),
        "source": dashboard.source_kind(), "has_operators": dashboard.can_act(), "can_find_users": dashboard.can_act(), "can_revoke": dashboard.can_revoke(),
    }))
}

impl Dashboard {
    /// The state of each pool's attack detector; none for a log.
    pub(super) fn pool_statuses(&self) -> Vec<PoolStatus> {
        self.instance.as_ref().map(|instance| instance.engine.enricher().pools().statuses()).unwrap_or_default()
    }

    /// Since when the tokens of a user are restricted, and after which stored decision; null if they are not. Challenges, reports of fraud and judged
    /// sessions restrict them for `CHALLENGE_HOLD`.
    fn restriction_of(&self, user: &str, records: Option<&Value>) -> Value {
        let untils =
            records.and_then(Value::as_array).into_iter().flatten().filter_map(|record| record["tokens_held_until"].as_str()?.parse::<Timestamp>().ok());
        let (Some(until), Some(instance)) = (untils.max(), &self.instance) else { return Value::Null };
        let Ok(since) = until.checked_sub(instance.config.token.challenge_hold) else { return Value::Null };
        let activity = self.activity();
        let decision = activity.stopped_at(user, since.as_millisecond()).map(|row| row.id.clone());
        json!({ "until": until.as_millisecond(), "since": since.as_millisecond(), "decision": decision })
    }

    /// Reports that the store did not answer a page.
    fn report_store_failure(&self, cause: FailureReason) {
        if let Some(instance) = &self.instance {
            instance.engine.health().store.report(StorePart::Activity, Some(cause), Instant::now());
        }
    }

    /// The answer to a page that the store did not answer, which is reported.
    pub(super) fn store_failed(&self, cause: FailureReason) -> Response {
        self.report_store_failure(cause);
        problem(StatusCode::SERVICE_UNAVAILABLE, "the store could not be reached", cause.as_label().to_owned())
    }

    /// Answers a query over the stored rows, on a thread of its own. An earlier range of a store is read first.
    pub(super) async fn answer(self: &Arc<Self>, key: String, filter: Filter, query: impl FnOnce(Rows<'_>, i64) -> Value + Send + 'static) -> Response {
        let earlier = match self.earlier_rows(&filter).await {
            Ok(earlier) => earlier,
            Err(cause) => return self.store_failed(cause),
        };
        let dashboard = Arc::clone(self);
        let compute = move || {
            let earlier = earlier.as_ref().map(|rows| rows.lock().unwrap_or_else(PoisonError::into_inner));
            let mut all = dashboard.activity();
            let (now, is_live) = dashboard.now(&all);
            all.detect_attacks(now);
            let mut answer = query(Rows { all: &all, selected: earlier.as_deref().unwrap_or(&all) }, now);
            drop(all);
            if let Value::Object(members) = &mut answer {
                members.insert("is_live".to_owned(), is_live.into());
                members.insert("notice".to_owned(), dashboard.store_source.as_ref().and_then(StoreSource::notice).into());
            }
            Bytes::from(answer.to_string())
        };
        match self.query_cache.answer(key, compute).await {
            Some(body) => ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
            None => query_failed(),
        }
    }
}

/// The response to a request for users or decisions without an identity.
pub fn view_token_needed() -> Response {
    let detail = "send a token of RISKGATE_DASHBOARD_VIEW_TOKEN or RISKGATE_DASHBOARD_OPERATORS as Authorization: Bearer".to_owned();
    let mut refused = problem_with_code(StatusCode::UNAUTHORIZED, "users and decisions need a token", "view_token_needed", detail);
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refused
}

/// The response to a query that panicked.
pub fn query_failed() -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "the query failed", "a bug in riskgate: its log names the place".to_owned())
}

fn not_stored(title: &'static str) -> Response {
    problem(
        StatusCode::NOT_FOUND,
        title,
        "it is older than the stored decisions, was not sampled, or never existed; the audit log has every decision".to_owned(),
    )
}

/// A response with a JSON body.
pub fn json_response(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], value.to_string()).into_response()
}
