//! A breaker before one service: when it fails too often it is left alone for a while.
//!
//! Lambda sees one call at a time and few in all, so there a run of failures counts, and an old run
//! is forgotten. A sidecar sees many, so there the share of failed and of slow calls in a window
//! counts too. Time is an argument.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Face;
use crate::{
    config::services::Service,
    evidence::{
        Cause,
        health::{AccountFault, BreakerState, Health},
        provider::Failure,
    },
};

/// Failures in a row that open it: more than one bad moment, fewer than a person's patience (C1: "consecutive-failure (3) + time decay").
const RUN_LAMBDA: u32 = 3;

/// The same in a sidecar, where calls overlap and one hiccup fails several.
const RUN_SIDECAR: u32 = 5;

/// After this long without a failure the run counts from zero.
const RUN_DECAY: Duration = Duration::from_secs(60);

/// The sidecar's window and the calls that make it worth reading (Hystrix: 20 calls in 10 s, half of them failed).
const WINDOW: Duration = Duration::from_secs(10);
const WINDOW_CALLS: u32 = 20;
const WINDOW_FAILED: f64 = 0.5;
const WINDOW_SLOW: f64 = 0.8;

/// A call is slow past this share of the service's timeout.
const SLOW_SHARE: f64 = 0.8;

/// The first wait while open; each failed probe doubles it, up to the last.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LAST_WAIT: Duration = Duration::from_secs(60);

/// The longest wait that a service may ask for: a day's quota is tried again every hour.
const LONGEST_ASKED_WAIT: Duration = Duration::from_secs(3600);

/// A breaker before one service.
#[derive(Debug)]
pub struct Breaker {
    service: Service,
    face: Face,
    slow: Duration,
    health: Arc<Health>,
    state: Mutex<State>,
}

/// What the breaker says to a question.
#[derive(Debug)]
pub enum Admission {
    /// It may be put.
    Pass(Permit),
    /// It may be put, to try whether the service is back; the next ones wait for its end.
    Probe(Permit),
    /// It may not. The cause is what opened the breaker where only the operator or time can mend that, else `breaker_open`.
    Refused(Cause),
}

/// The right to one call. Dropped without a word, the call counts as slow or given up by its callers.
#[derive(Debug)]
pub struct Permit {
    breaker: Option<Arc<Breaker>>,
    started: Instant,
    generation: u64,
}

#[derive(Debug, Default)]
struct State {
    /// Failures without a success between them.
    run: u32,
    last_failure: Option<Instant>,
    window: Window,
    open: Option<Open>,
    /// Grows each time the breaker opens, closes or lets a probe through. A call of an earlier generation decides nothing.
    generation: u64,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    /// What it waits when the next probe fails.
    next_wait: Duration,
    cause: Cause,
    probing: bool,
}

/// Counts of the last ten seconds, forgotten in two halves.
#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    older: Counts,
    newer: Counts,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    calls: u32,
    failed: u32,
    slow: u32,
}

// === impl Breaker ===

impl Breaker {
    /// A closed breaker before a service whose calls may take `timeout`.
    pub fn new(service: Service, face: Face, timeout: Duration, health: Arc<Health>) -> Self {
        Breaker { service, face, slow: timeout.mul_f64(SLOW_SHARE), health, state: Mutex::default() }
    }

    /// Asks whether a question may be put.
    pub fn admit(self: &Arc<Self>, now: Instant) -> Admission {
        let permit = |generation| Permit { breaker: Some(Arc::clone(self)), started: now, generation };
        let mut state = self.locked();
        let State { open, generation, .. } = &mut *state;
        match open {
            None => Admission::Pass(permit(*generation)),
            Some(open) if now >= open.until && !open.probing => {
                open.probing = true;
                *generation += 1;
                self.health.service(self.service).set_breaker(BreakerState::HalfOpen);
                Admission::Probe(permit(*generation))
            }
            Some(open) => Admission::Refused(open.cause),
        }
    }

    /// Whether it keeps questions back.
    pub fn is_open(&self) -> bool {
        self.locked().open.is_some()
    }

    fn succeeded(&self, generation: u64, started: Instant, now: Instant) {
        let slow = now.saturating_duration_since(started) >= self.slow;
        let mut state = self.locked();
        if state.generation != generation {
            return;
        }
        if state.open.take().is_some() {
            *state = State { generation: generation + 1, ..State::default() };
            self.health.service(self.service).set_breaker(BreakerState::Closed);
            return;
        }
        state.run = 0;
        state.window.count(now, false, slow);
        self.trip_if_due(&mut state, now);
    }

    fn failed(&self, generation: u64, failure: &Failure, started: Instant, now: Instant) {
        let slow = now.saturating_duration_since(started) >= self.slow;
        let mut state = self.locked();
        if state.generation != generation {
            return;
        }
        let asked = failure.retry_after.map(|wait| wait.min(LONGEST_ASKED_WAIT));
        if let Some(open) = &mut state.open {
            // Only the probe has the generation of an open breaker.
            open.probing = false;
            open.until = now + asked.unwrap_or(open.next_wait);
            open.next_wait = (open.next_wait * 2).min(LAST_WAIT);
            open.cause = refusal(failure.cause);
            state.generation += 1;
            self.health.service(self.service).set_breaker(BreakerState::Open);
            return;
        }
        if state.last_failure.is_none_or(|last| now.saturating_duration_since(last) > RUN_DECAY) {
            state.run = 0;
        }
        state.run += 1;
        state.last_failure = Some(now);
        state.window.count(now, true, slow);
        if failure.cause == Cause::RateLimited || asked.is_some() {
            self.open(&mut state, now + asked.unwrap_or(FIRST_WAIT), failure.cause);
        } else {
            let run = match self.face {
                Face::Lambda | Face::Command => RUN_LAMBDA,
                Face::Sidecar => RUN_SIDECAR,
            };
            if state.run >= run {
                self.open(&mut state, now + FIRST_WAIT, failure.cause);
            } else {
                self.trip_if_due(&mut state, now);
            }
        }
    }

    /// A question that was not put after all: nothing is learned, and the next one may be the probe.
    fn released(&self, generation: u64) {
        let mut state = self.locked();
        if state.generation == generation
            && let Some(open) = &mut state.open
        {
            open.probing = false;
            state.generation += 1;
            self.health.service(self.service).set_breaker(BreakerState::Open);
        }
    }

    /// A call whose callers all left: a failure if the service had most of its time.
    fn abandoned(&self, generation: u64, started: Instant, now: Instant) {
        if now.saturating_duration_since(started) >= self.slow / 2 {
            self.failed(generation, &Failure::from(Cause::Timeout), started, now);
        } else {
            self.released(generation);
        }
    }

    fn trip_if_due(&self, state: &mut State, now: Instant) {
        let Counts { calls, failed, slow } = state.window.total(now);
        let share = |part: u32| f64::from(part) / f64::from(calls.max(1));
        if self.face == Face::Sidecar && calls >= WINDOW_CALLS && (share(failed) >= WINDOW_FAILED || share(slow) >= WINDOW_SLOW) {
            self.open(state, now + FIRST_WAIT, Cause::BreakerOpen);
        }
    }

    fn open(&self, state: &mut State, until: Instant, cause: Cause) {
        state.open = Some(Open { until, next_wait: FIRST_WAIT * 2, cause: refusal(cause), probing: false });
        state.generation += 1;
        let health = self.health.service(self.service);
        health.set_breaker(BreakerState::Open);
        Health::count(&health.trips);
        tracing::warn!(service = self.service.as_label(), cause = cause.as_label(), "left alone for a while: it fails too often");
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Permit ===

impl Permit {
    /// The service answered.
    pub fn succeed(mut self, now: Instant) {
        if let Some(breaker) = self.breaker.take() {
            breaker.succeeded(self.generation, self.started, now);
        }
    }

    /// The service failed.
    pub fn fail(mut self, failure: &Failure, now: Instant) {
        if let Some(breaker) = self.breaker.take() {
            breaker.failed(self.generation, failure, self.started, now);
        }
    }

    /// The question was at fault, not the service: it answered.
    pub fn excuse(self, now: Instant) {
        self.succeed(now);
    }

    /// The question was not put after all.
    pub fn release(mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.released(self.generation);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.abandoned(self.generation, self.started, Instant::now());
        }
    }
}

// === impl Window ===

impl Window {
    fn count(&mut self, now: Instant, failed: bool, slow: bool) {
        self.turn(now);
        self.newer.calls += 1;
        self.newer.failed += u32::from(failed);
        self.newer.slow += u32::from(slow);
    }

    fn total(&mut self, now: Instant) -> Counts {
        self.turn(now);
        let (a, b) = (self.older, self.newer);
        Counts { calls: a.calls + b.calls, failed: a.failed + b.failed, slow: a.slow + b.slow }
    }

    fn turn(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age >= WINDOW / 2 {
            self.older = if age >= WINDOW { Counts::default() } else { self.newer };
            self.newer = Counts::default();
            self.since = Some(now);
        }
    }
}

/// What an open breaker answers: the causes that name what is to be done stay visible.
fn refusal(cause: Cause) -> Cause {
    if cause == Cause::RateLimited || AccountFault::of(cause).is_some() { cause } else { Cause::BreakerOpen }
}

#[cfg(test)]
mod tests;
