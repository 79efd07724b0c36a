//! The whole set of decisions in memory, kept fresh by the Local API's deltas.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    FRESH, Lapi, OLDEST, Wire,
    decisions::{Decisions, is_on_address},
};
use crate::{
    config::services::Service,
    event::Now,
    evidence::{
        Cause, Outdated,
        provider::{Asking, Failure, Provider, Question, fields::log_unreadable},
        resilience::{cache::moment, deadline::Deadline},
    },
};

/// How often deltas are fetched; CrowdSec's own bouncers do the same.
const EVERY: Duration = Duration::from_secs(10);

/// The first fetch may bring a hundred thousand decisions.
const FIRST_FETCH: Duration = Duration::from_secs(30);

/// The largest set that is read; it is the operator's own server, and 200 bytes a decision are usual.
const LARGEST: usize = 64 * 1024 * 1024;

/// A provider that answers from memory.
pub(super) struct Stream {
    held: Arc<Held>,
    timeout: Duration,
    started: OnceLock<()>,
}

struct Held {
    lapi: Arc<Lapi>,
    decisions: RwLock<Decisions>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the set was last known to be right: before the Local API was asked, since a decision's duration counts from its answer.
    synced: Option<Instant>,
    /// Why the last fetch failed.
    failed: Option<Failure>,
}

/// What is fetched.
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
    pub(super) fn new(lapi: Arc<Lapi>, timeout: Duration) -> Self {
        let held = Held { lapi, decisions: RwLock::default(), state: Mutex::default() };
        Stream { held: Arc::new(held), timeout, started: OnceLock::new() }
    }

    /// Starts keeping the set, at the first question: only then there is certainly a runtime.
    fn start(&self, now: Now) {
        self.started.get_or_init(|| {
            tokio::spawn(keep_fresh(Arc::downgrade(&self.held), self.timeout, now));
        });
    }
}

impl Provider for Stream {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            self.start(question.received);
            let (synced, failed) = {
                let state = self.held.state.lock().unwrap_or_else(PoisonError::into_inner);
                (state.synced, state.failed)
            };
            match (synced, failed) {
                (Some(synced), _) if synced.elapsed() < OLDEST => {
                    Ok(self.held.decisions.read().unwrap_or_else(PoisonError::into_inner).on(*question.ip.expose(), Instant::now()))
                }
                // No set yet: one address is quickly asked about.
                (None, None) => self.held.lapi.ask(question).await,
                (Some(_) | None, failed) => Err(failed.unwrap_or(Cause::Timeout.into())),
            }
        })
    }

    fn outdated(&self, now: Instant) -> Option<Outdated> {
        let state = self.held.state.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(state.synced?);
        match state.failed {
            Some(failure) => Some(Outdated { cause: failure.cause, age }),
            None if age >= FRESH => Some(Outdated { cause: Cause::Timeout, age }),
            None => None,
        }
    }
}

/// Fetches deltas for as long as somebody holds the set.
async fn keep_fresh(held: Weak<Held>, timeout: Duration, since: Now) {
    let mut fetch = Fetch::Everything;
    loop {
        let Some(held_now) = held.upgrade() else { return };
        let limit = match fetch {
            Fetch::Everything => FIRST_FETCH,
            Fetch::Deltas => timeout,
        };
        let synced = Deadline::after(Instant::now(), limit).run(held_now.sync(fetch, moment(since))).await;
        fetch = match synced.unwrap_or(Err(Cause::Timeout.into())) {
            Ok(()) => Fetch::Deltas,
            Err(failure) => {
                held_now.state.lock().unwrap_or_else(PoisonError::into_inner).failed = Some(failure);
                // What the lost answer told is told no more: everything is fetched anew.
                Fetch::Everything
            }
        };
        drop(held_now);
        tokio::time::sleep(EVERY).await;
    }
}

/// Reads the decisions that can be read; the others are logged, since one of them must not cost the set.
fn read(decisions: Option<Vec<Value>>) -> Vec<Wire> {
    let decisions = decisions.unwrap_or_default();
    let read: Vec<Wire> = decisions.iter().filter_map(Wire::read).collect();
    if read.len() < decisions.len() {
        log_unreadable(Service::Crowdsec, "type or value", decisions.len() - read.len());
    }
    read
}

impl Held {
    async fn sync(self: &Arc<Self>, fetch: Fetch, now: Now) -> Result<(), Failure> {
        let path = match fetch {
            Fetch::Everything => "/v1/decisions/stream?startup=true",
            Fetch::Deltas => "/v1/decisions/stream?startup=false",
        };
        let asked = Instant::now();
        let body = self.lapi.exchange(now, path).await?.body(LARGEST).await?;
        let held = Arc::clone(self);
        // A hundred thousand decisions take a while to read: not on a thread that sign-ins wait for.
        tokio::task::spawn_blocking(move || held.apply(&body, fetch, asked)).await.map_err(|_| Cause::Panic)??;
        Ok(())
    }

    fn apply(&self, body: &[u8], fetch: Fetch, asked: Instant) -> Result<(), Cause> {
        let Deltas { new, deleted } = serde_json::from_slice(body).map_err(|_| Cause::BadAnswer)?;
        let (new, deleted) = (read(new), read(deleted));
        let (count, other_scopes) = match fetch {
            Fetch::Everything => {
                let mut everything = Decisions::default();
                new.iter().for_each(|decision| everything.add(decision, asked));
                let mut decisions = self.decisions.write().unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut *decisions, &mut everything);
                (decisions.len(), decisions.other_scopes())
            }
            Fetch::Deltas => {
                let mut decisions = self.decisions.write().unwrap_or_else(PoisonError::into_inner);
                decisions.remove_ended(asked);
                deleted.iter().for_each(|decision| decisions.remove(decision));
                new.iter().for_each(|decision| decisions.add(decision, asked));
                (decisions.len(), decisions.other_scopes())
            }
        };
        let ignored = new.iter().filter(|decision| !is_on_address(decision)).count();
        if ignored > 0 {
            log_unreadable(Service::Crowdsec, "scope or value", ignored);
        }
        tracing::debug!(decisions = count, "CrowdSec decisions in force");
        if other_scopes > 0 && matches!(fetch, Fetch::Everything) || ignored > 0 {
            tracing::warn!(other_scopes, "CrowdSec decisions on countries, AS numbers or other scopes are ignored: set DENY_COUNTRIES or DENY_ASNS instead");
        }
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State { synced: Some(asked), failed: None };
        Ok(())
    }
}
