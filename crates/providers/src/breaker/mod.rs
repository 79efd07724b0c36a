//! The circuit breaker of one service: it stops calls for a while when the service fails too often.
//!
//! A Lambda environment makes one call at a time and few in total, so it counts consecutive failures, and old failures are
//! forgotten. A sidecar makes many calls, so it also counts the share of failed and of slow calls in a window. Time is an argument.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use riskgate_engine::{evidence::FailureReason, service::Service};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::{
    health::{AccountFault, BreakerState, Health},
    mode::RuntimeMode,
};

#[cfg(test)]
mod tests;

/// Consecutive failures that open the breaker in Lambda.
const MAX_FAILURES_LAMBDA: u32 = 3;

/// Consecutive failures that open the breaker in the sidecar. Calls overlap there, so a short outage fails several.
const MAX_FAILURES_SIDECAR: u32 = 5;

/// After this time without a failure, the count of consecutive failures restarts.
const FAILURE_DECAY: Duration = Duration::from_secs(60);

/// The sidecar's window, the minimum number of calls in it, and the shares of failed and slow calls that open the breaker. Hystrix has
/// the same defaults: 20 calls in 10 s, half of them failed.
const WINDOW: Duration = Duration::from_secs(10);
const MIN_WINDOW_CALLS: u32 = 20;
const MAX_FAILED_SHARE: f64 = 0.5;
const MAX_SLOW_SHARE: f64 = 0.8;

/// A call is slow if it takes this share of the service's timeout.
const SLOW_CALL_SHARE: f64 = 0.8;

/// The time until the first probe. Each failed probe doubles it, up to the maximum.
const MIN_WAIT: Duration = Duration::from_secs(5);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The maximum for a service's `Retry-After`. An exhausted daily quota is thus probed every hour.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The circuit breaker of one service.
#[derive(Debug)]
pub struct Breaker {
    service: Service,
    runtime_mode: RuntimeMode,
    /// The duration from which a call is slow.
    slow: Duration,
    health: Arc<Health>,
    state: Mutex<State>,
}

/// Whether the breaker admits a call.
#[derive(Debug)]
pub enum BreakerAdmission {
    /// The call is admitted.
    Pass(Permit),
    /// The call is admitted to test whether the service has recovered. Others are refused until it ends.
    Probe(Permit),
    /// The call is refused. The reason is the one that opened the breaker if only the operator or time can fix it, else `BreakerOpen`.
    Refused(FailureReason),
}

/// The permit for one call, which takes its result. If it is dropped, the call was abandoned by its callers.
#[derive(Debug)]
pub struct Permit {
    breaker: Option<Arc<Breaker>>,
    started: Instant,
    generation: u64,
}

#[derive(Debug, Default)]
struct State {
    /// The number of consecutive failures.
    failures: u32,
    last_failure: Option<Instant>,
    window: Window,
    open: Option<Open>,
    /// Increases when the breaker opens, closes or admits a probe. The result of a call of an earlier generation is ignored.
    generation: u64,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    /// The wait after the next failed probe.
    next_wait: Duration,
    cause: FailureReason,
    is_probing: bool,
}

/// Counts of the last ten seconds, in two halves that expire one after the other.
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

impl Breaker {
    /// A closed breaker of a service with this call timeout.
    pub fn new(service: Service, runtime_mode: RuntimeMode, timeout: Duration, health: Arc<Health>) -> Self {
        Breaker { service, runtime_mode, slow: timeout.mul_f64(SLOW_CALL_SHARE), health, state: Mutex::default() }
    }

    /// Admits or refuses a call.
    pub fn admit(self: &Arc<Self>, now: Instant) -> BreakerAdmission {
        let permit = |generation| Permit { breaker: Some(Arc::clone(self)), started: now, generation };
        let mut state = self.lock();
        let State { open, generation, .. } = &mut *state;
        match open {
            None => BreakerAdmission::Pass(permit(*generation)),
            Some(open) if now >= open.until && !open.is_probing => {
                open.is_probing = true;
                *generation += 1;
                self.health.service(self.service).set_breaker(BreakerState::HalfOpen);
                BreakerAdmission::Probe(permit(*generation))
            }
            Some(open) => BreakerAdmission::Refused(open.cause),
        }
    }

    /// Whether it is open or half-open.
    pub fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    fn record_success(&self, generation: u64, started: Instant, now: Instant) {
        let slow = now.saturating_duration_since(started) >= self.slow;
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        if state.open.take().is_some() {
            *state = State { generation: generation + 1, ..State::default() };
            self.health.service(self.service).set_breaker(BreakerState::Closed);
            return;
        }
        state.failures = 0;
        state.window.count(now, false, slow);
        self.open_if_window_failed(&mut state, now);
    }

    fn record_failure(&self, generation: u64, failure: &Failure, started: Instant, now: Instant) {
        let slow = now.saturating_duration_since(started) >= self.slow;
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        let retry_after = failure.retry_after.map(|wait| wait.min(MAX_RETRY_AFTER));
        if let Some(open) = &mut state.open {
            // The call is the probe: no other has the generation of an open breaker.
            open.is_probing = false;
            open.until = now + retry_after.unwrap_or(open.next_wait);
            open.next_wait = (open.next_wait * 2).min(MAX_WAIT);
            open.cause = refusal_reason(failure.cause);
            state.generation += 1;
            self.health.service(self.service).set_breaker(BreakerState::Open);
            return;
        }
        if state.last_failure.is_none_or(|last| now.saturating_duration_since(last) > FAILURE_DECAY) {
            state.failures = 0;
        }
        state.failures += 1;
        state.last_failure = Some(now);
        state.window.count(now, true, slow);
        if failure.cause == FailureReason::RateLimited || retry_after.is_some() {
            self.open(&mut state, now + retry_after.unwrap_or(MIN_WAIT), failure.cause);
        } else {
            let max_failures = match self.runtime_mode {
                RuntimeMode::Lambda | RuntimeMode::Command => MAX_FAILURES_LAMBDA,
                RuntimeMode::Sidecar => MAX_FAILURES_SIDECAR,
            };
            if state.failures >= max_failures {
                self.open(&mut state, now + MIN_WAIT, failure.cause);
            } else {
                self.open_if_window_failed(&mut state, now);
            }
        }
    }

    /// The call was not made. If it was the probe, the next call may be the probe.
    fn release(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation
            && let Some(open) = &mut state.open
        {
            open.is_probing = false;
            state.generation += 1;
            self.health.service(self.service).set_breaker(BreakerState::Open);
        }
    }

    /// All callers gave up. Counts as a failure if the service had a large part of its time.
    fn record_abandoned(&self, generation: u64, started: Instant, now: Instant) {
        if now.saturating_duration_since(started) >= self.slow / 2 {
            self.record_failure(generation, &Failure::from(FailureReason::Timeout), started, now);
        } else {
            self.release(generation);
        }
    }

    fn open_if_window_failed(&self, state: &mut State, now: Instant) {
        let Counts { calls, failed, slow } = state.window.total(now);
        let share = |part: u32| f64::from(part) / f64::from(calls.max(1));
        if self.runtime_mode == RuntimeMode::Sidecar && calls >= MIN_WINDOW_CALLS && (share(failed) >= MAX_FAILED_SHARE || share(slow) >= MAX_SLOW_SHARE) {
            self.open(state, now + MIN_WAIT, FailureReason::BreakerOpen);
        }
    }

    fn open(&self, state: &mut State, until: Instant, cause: FailureReason) {
        state.open = Some(Open { until, next_wait: MIN_WAIT * 2, cause: refusal_reason(cause), is_probing: false });
        state.generation += 1;
        let health = self.health.service(self.service);
        health.set_breaker(BreakerState::Open);
        Health::count(&health.trips);
        tracing::warn!(service = self.service.as_label(), cause = cause.as_label(), "circuit breaker opened: the service failed too often");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Records that the service answered.
    pub fn succeed(mut self, now: Instant) {
        if let Some(breaker) = self.breaker.take() {
            breaker.record_success(self.generation, self.started, now);
        }
    }

    /// Records that the service failed.
    pub fn fail(mut self, failure: &Failure, now: Instant) {
        if let Some(breaker) = self.breaker.take() {
            breaker.record_failure(self.generation, failure, self.started, now);
        }
    }

    /// Records that the request was at fault, and not the service.
    pub fn excuse(self, now: Instant) {
        self.succeed(now);
    }

    /// Records that the call was not made.
    pub fn release(mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.release(self.generation);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.record_abandoned(self.generation, self.started, Instant::now());
        }
    }
}

impl Window {
    fn count(&mut self, now: Instant, failed: bool, slow: bool) {
        self.rotate(now);
        self.newer.calls += 1;
        self.newer.failed += u32::from(failed);
        self.newer.slow += u32::from(slow);
    }

    fn total(&mut self, now: Instant) -> Counts {
        self.rotate(now);
        let (a, b) = (self.older, self.newer);
        Counts { calls: a.calls + b.calls, failed: a.failed + b.failed, slow: a.slow + b.slow }
    }

    fn rotate(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age >= WINDOW / 2 {
            self.older = if age >= WINDOW { Counts::default() } else { self.newer };
            self.newer = Counts::default();
            self.since = Some(now);
        }
    }
}

/// The reason that an open breaker returns: reasons that the operator can act on stay visible.
fn refusal_reason(cause: FailureReason) -> FailureReason {
    if cause == FailureReason::RateLimited || AccountFault::of(cause).is_some() { cause } else { FailureReason::BreakerOpen }
}
