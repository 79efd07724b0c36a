//! The breaker with explicit times.

use std::sync::atomic::Ordering;

use crate::breaker::*;

const TIMEOUT: Duration = Duration::from_millis(1000);

struct Fixture {
    breaker: Arc<Breaker>,
    health: Arc<Health>,
    now: Instant,
}

impl Fixture {
    fn new(runtime_mode: RuntimeMode) -> Self {
        let health = Arc::<Health>::default();
        Fixture { breaker: Arc::new(Breaker::new(Service::Http, runtime_mode, TIMEOUT, Arc::clone(&health))), health, now: Instant::now() }
    }

    fn state(&self) -> BreakerState {
        self.health.service(Service::Http).breaker()
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Requests admission. Returns the permit or the reason for the refusal.
    fn admit(&self) -> Result<Permit, FailureReason> {
        match self.breaker.admit(self.now) {
            BreakerAdmission::Pass(permit) | BreakerAdmission::Probe(permit) => Ok(permit),
            BreakerAdmission::Refused(cause) => Err(cause),
        }
    }

    #[track_caller]
    fn fail(&self, failure: Failure) {
        self.admit().expect("admitted").fail(&failure, self.now);
    }

    #[track_caller]
    fn succeed(&self) {
        self.admit().expect("admitted").succeed(self.now);
    }
}

#[test]
fn consecutive_failures_open_the_breaker_and_one_probe_decides() {
    for (runtime_mode, max_failures) in [(RuntimeMode::Lambda, MAX_FAILURES_LAMBDA), (RuntimeMode::Sidecar, MAX_FAILURES_SIDECAR)] {
        let mut fixture = Fixture::new(runtime_mode);
        for _ in 0..max_failures {
            assert_eq!(fixture.state(), BreakerState::Closed);
            fixture.fail(FailureReason::Http5xx.into());
        }
        assert_eq!((fixture.state(), fixture.admit().err()), (BreakerState::Open, Some(FailureReason::BreakerOpen)));
        fixture.wait(5);
        let probe = fixture.admit().expect("a probe");
        assert_eq!((fixture.state(), fixture.admit().err()), (BreakerState::HalfOpen, Some(FailureReason::BreakerOpen)));
        probe.fail(&FailureReason::Timeout.into(), fixture.now);
        fixture.wait(9);
        assert_eq!(fixture.admit().err(), Some(FailureReason::BreakerOpen), "the wait doubles");
        fixture.wait(1);
        fixture.succeed();
        assert_eq!(fixture.state(), BreakerState::Closed);
        fixture.fail(FailureReason::Http5xx.into());
        assert_eq!((fixture.state(), fixture.health.service(Service::Http).trips.load(Ordering::Relaxed)), (BreakerState::Closed, 1));
    }
}

#[test]
fn a_success_or_a_minute_resets_the_count_of_failures() {
    let mut fixture = Fixture::new(RuntimeMode::Lambda);
    for _ in 0..10 {
        fixture.fail(FailureReason::Reset.into());
        fixture.fail(FailureReason::Reset.into());
        fixture.succeed();
        fixture.fail(FailureReason::Reset.into());
        fixture.fail(FailureReason::Reset.into());
        fixture.wait(61);
    }
    assert_eq!(fixture.state(), BreakerState::Closed);
}

#[test]
fn a_share_of_failed_or_slow_calls_opens_the_breaker_only_in_the_sidecar() {
    for (runtime_mode, expected) in [(RuntimeMode::Sidecar, BreakerState::Open), (RuntimeMode::Lambda, BreakerState::Closed)] {
        let failing = Fixture::new(runtime_mode);
        for _ in 0..10 {
            failing.succeed();
            failing.fail(FailureReason::Http5xx.into());
        }
        assert_eq!(failing.state(), expected, "{runtime_mode:?}");
        let mut slow = Fixture::new(runtime_mode);
        for _ in 0..25 {
            let Ok(permit) = slow.admit() else { break };
            slow.now += Duration::from_millis(850);
            permit.succeed(slow.now);
            slow.now -= Duration::from_millis(800);
        }
        assert_eq!(slow.state(), expected, "{runtime_mode:?}");
    }
}

#[test]
fn an_excused_request_does_not_open_the_breaker() {
    let fixture = Fixture::new(RuntimeMode::Lambda);
    for _ in 0..100 {
        fixture.admit().expect("admitted").excuse(fixture.now);
    }
    assert_eq!(fixture.state(), BreakerState::Closed);
}

#[test]
fn retry_after_is_followed_up_to_an_hour() {
    let mut fixture = Fixture::new(RuntimeMode::Lambda);
    fixture.fail(Failure { retry_after: Some(Duration::from_secs(120)), ..FailureReason::RateLimited.into() });
    assert_eq!(fixture.admit().err(), Some(FailureReason::RateLimited));
    fixture.wait(119);
    assert_eq!(fixture.admit().err(), Some(FailureReason::RateLimited));
    fixture.wait(1);
    fixture.fail(Failure { retry_after: Some(Duration::from_secs(86_400 * 365)), ..FailureReason::RateLimited.into() });
    fixture.wait(3599);
    assert_eq!(fixture.admit().err(), Some(FailureReason::RateLimited));
    fixture.wait(1);
    fixture.succeed();
    assert_eq!(fixture.state(), BreakerState::Closed);
}

#[test]
fn after_an_abandoned_probe_the_next_call_is_the_probe() {
    let mut fixture = Fixture::new(RuntimeMode::Lambda);
    for _ in 0..MAX_FAILURES_LAMBDA {
        fixture.fail(FailureReason::KeyRefused.into());
    }
    assert_eq!(fixture.admit().err(), Some(FailureReason::KeyRefused), "a reason that the operator can act on stays visible");
    fixture.wait(5);
    drop(fixture.admit().expect("a probe"));
    assert_eq!(fixture.state(), BreakerState::Open);
    fixture.succeed();
    assert_eq!(fixture.state(), BreakerState::Closed);
}

/// Opens the breaker for an hour. Returns the permits of calls that began before.
fn opened_with_earlier_calls<const N: usize>(fixture: &Fixture) -> [Permit; N] {
    let earlier = std::array::from_fn(|_| fixture.admit().expect("admitted"));
    fixture.fail(Failure { retry_after: Some(Duration::from_secs(3600)), ..FailureReason::RateLimited.into() });
    earlier
}

#[test]
fn a_late_success_does_not_end_a_retry_after() {
    let mut fixture = Fixture::new(RuntimeMode::Sidecar);
    let [success, excused, dropped, released] = opened_with_earlier_calls(&fixture);
    fixture.wait(1);
    success.succeed(fixture.now);
    excused.excuse(fixture.now);
    released.release();
    drop(dropped);
    assert_eq!((fixture.state(), fixture.admit().err()), (BreakerState::Open, Some(FailureReason::RateLimited)));
    fixture.wait(3599);
    assert!(fixture.admit().is_ok(), "the wait is over");
}

#[test]
fn the_result_of_an_earlier_call_does_not_end_a_probe() {
    let mut fixture = Fixture::new(RuntimeMode::Sidecar);
    let [failure, success, released] = opened_with_earlier_calls(&fixture);
    fixture.wait(3600);
    let probe = fixture.admit().expect("a probe");
    failure.fail(&FailureReason::Timeout.into(), fixture.now);
    success.succeed(fixture.now);
    released.release();
    assert_eq!((fixture.state(), fixture.admit().err()), (BreakerState::HalfOpen, Some(FailureReason::RateLimited)));
    probe.succeed(fixture.now);
    assert_eq!(fixture.state(), BreakerState::Closed);
}

#[test]
fn an_earlier_failure_does_not_reopen_a_closed_breaker() {
    let mut fixture = Fixture::new(RuntimeMode::Lambda);
    let [first, second, third, limited] = opened_with_earlier_calls(&fixture);
    fixture.wait(3600);
    fixture.succeed();
    for permit in [first, second, third] {
        permit.fail(&FailureReason::Timeout.into(), fixture.now);
    }
    limited.fail(&FailureReason::RateLimited.into(), fixture.now);
    assert_eq!(fixture.state(), BreakerState::Closed);
}

#[test]
fn a_released_probe_allows_exactly_one_more() {
    let mut fixture = Fixture::new(RuntimeMode::Sidecar);
    let [] = opened_with_earlier_calls(&fixture);
    fixture.wait(3600);
    fixture.admit().expect("a probe").release();
    let probe = fixture.admit().expect("the next probe");
    assert_eq!(fixture.admit().err(), Some(FailureReason::RateLimited), "one probe at a time");
    probe.fail(&FailureReason::Http5xx.into(), fixture.now);
    assert_eq!(fixture.state(), BreakerState::Open);
}
