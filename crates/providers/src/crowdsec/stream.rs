//! All decisions in memory, refreshed by the Local API's deltas.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    Provider, ProviderFuture, ProviderRequest,
    crowdsec::{
        ApiDecision, FRESH, LocalApi, MAX_AGE,
        decisions::{Decisions, is_on_address},
    },
    fields::log_unreadable,
};
use riskgate_engine::{
    evidence::{FailureReason, Outdated},
    service::Service,
    time::ClockReading,
};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::{clock, deadline::Deadline};

/// How often deltas are fetched. CrowdSec's own bouncers use the same interval.
const INTERVAL: Duration = Duration::from_secs(10);

/// The timeout of a fetch of all decisions, which may be a hundred thousand.
const FULL_FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum size of a response. A decision usually takes 200 bytes, and the server is the operator's own.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A provider with all decisions in memory.
pub(super) struct Stream {
    data: Arc<StreamData>,
    timeout: Duration,
    refresh_started: OnceLock<()>,
}

struct StreamData {
    local_api: Arc<LocalApi>,
    decisions: RwLock<Decisions>,
    state: Mutex<SyncState>,
}

#[derive(Default)]
struct SyncState {
    /// When the last successful fetch started. The durations in its response count from then.
    synced: Option<Instant>,
    /// Why the last fetch failed, if it did.
    failure: Option<Failure>,
}

/// A request to the stream.
#[derive(Debug, Clone, Copy)]
enum Fetch {
    /// All decisions in force.
    Everything,
    /// What has changed since the last fetch.
    Deltas,
}

#[derive(Deserialize)]
struct Deltas {
    new: Option<Vec<Value>>,
    deleted: Option<Vec<Value>>,
}

impl Stream {
    pub(super) fn new(local_api: Arc<LocalApi>, timeout: Duration) -> Self {
        let data = StreamData { local_api, decisions: RwLock::default(), state: Mutex::default() };
        Stream { data: Arc::new(data), timeout, refresh_started: OnceLock::new() }
    }

    /// Starts the refresh in the background. Called on the first request, because there may be no runtime before.
    fn start_refresh(&self, now: ClockReading) {
        self.refresh_started.get_or_init(|| {
            tokio::spawn(refresh(Arc::downgrade(&self.data), self.timeout, now));
        });
    }
}

impl Provider for Stream {
    fn query<'a>(&'a self, request: &'a ProviderRequest) -> ProviderFuture<'a> {
        Box::pin(async move {
            self.start_refresh(request.received);
            let (synced, failure) = {
                let state = self.data.state.lock().unwrap_or_else(PoisonError::into_inner);
                (state.synced, state.failure)
            };
            match (synced, failure) {
                (Some(synced), _) if synced.elapsed() < MAX_AGE => {
                    let decisions = self.data.decisions.read().unwrap_or_else(PoisonError::into_inner);
                    Ok(decisions.look_up(*request.ip.expose(), Instant::now()))
                }
                // The first fetch has not ended. A query about one address is faster.
                (None, None) => self.data.local_api.query(request).await,
                (Some(_) | None, failure) => Err(failure.unwrap_or(FailureReason::Timeout.into())),
            }
        })
    }

    fn outdated(&self, now: Instant) -> Option<Outdated> {
        let state = self.data.state.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(state.synced?);
        match state.failure {
            Some(failure) => Some(Outdated { cause: failure.cause, age }),
            None if age >= FRESH => Some(Outdated { cause: FailureReason::Timeout, age }),
            None => None,
        }
    }
}

/// Fetches deltas until the stream is dropped.
async fn refresh(data: Weak<StreamData>, timeout: Duration, since: ClockReading) {
    let mut fetch = Fetch::Everything;
    loop {
        let Some(data) = data.upgrade() else { return };
        let limit = match fetch {
            Fetch::Everything => FULL_FETCH_TIMEOUT,
            Fetch::Deltas => timeout,
        };
        let synced = Deadline::after(Instant::now(), limit).run(data.sync(fetch, clock::read_since(since))).await;
        fetch = match synced.unwrap_or(Err(FailureReason::Timeout.into())) {
            Ok(()) => Fetch::Deltas,
            Err(failure) => {
                data.state.lock().unwrap_or_else(PoisonError::into_inner).failure = Some(failure);
                // The Local API does not repeat lost deltas, so all decisions are fetched again.
                Fetch::Everything
            }
        };
        drop(data);
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Parses decisions. Those that cannot be parsed are skipped and logged, so the others stay usable.
fn parse(decisions: Option<Vec<Value>>) -> Vec<ApiDecision> {
    let decisions = decisions.unwrap_or_default();
    let parsed: Vec<ApiDecision> = decisions.iter().filter_map(ApiDecision::parse).collect();
    if parsed.len() < decisions.len() {
        log_unreadable(Service::Crowdsec, "type or value", decisions.len() - parsed.len());
    }
    parsed
}

impl StreamData {
    async fn sync(self: &Arc<Self>, fetch: Fetch, now: ClockReading) -> Result<(), Failure> {
        let path = match fetch {
            Fetch::Everything => "/v1/decisions/stream?startup=true",
            Fetch::Deltas => "/v1/decisions/stream?startup=false",
        };
        let started = Instant::now();
        let body = self.local_api.get(now, path).await?.body(MAX_BODY).await?;
        let data = Arc::clone(self);
        // Parsing takes long for a hundred thousand decisions and would delay the sign-ins of this thread.
        tokio::task::spawn_blocking(move || data.apply(&body, fetch, started)).await.map_err(|_| FailureReason::Panic)??;
        Ok(())
    }

    fn apply(&self, body: &[u8], fetch: Fetch, started: Instant) -> Result<(), FailureReason> {
        let Deltas { new, deleted } = serde_json::from_slice(body).map_err(|_| FailureReason::BadAnswer)?;
        let (new, deleted) = (parse(new), parse(deleted));
        let (count, other_scopes) = match fetch {
            Fetch::Everything => {
                let mut everything = Decisions::default();
                new.iter().for_each(|decision| everything.add(decision, started));
                let mut decisions = self.decisions.write().unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut *decisions, &mut everything);
                (decisions.len(), decisions.other_scopes())
            }
            Fetch::Deltas => {
                let mut decisions = self.decisions.write().unwrap_or_else(PoisonError::into_inner);
                decisions.remove_ended(started);
                deleted.iter().for_each(|decision| decisions.remove(decision));
                new.iter().for_each(|decision| decisions.add(decision, started));
                (decisions.len(), decisions.other_scopes())
            }
        };
        let ignored = new.iter().filter(|decision| !is_on_address(decision)).count();
        if ignored > 0 {
            log_unreadable(Service::Crowdsec, "scope or value", ignored);
        }
        tracing::debug!(decisions = count, "CrowdSec decisions refreshed");
        if other_scopes > 0 && matches!(fetch, Fetch::Everything) || ignored > 0 {
            tracing::warn!(other_scopes, "CrowdSec decisions on countries, AS numbers and other scopes are ignored; set DENY_COUNTRIES or DENY_ASNS instead");
        }
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = SyncState { synced: Some(started), failure: None };
        Ok(())
    }
}
