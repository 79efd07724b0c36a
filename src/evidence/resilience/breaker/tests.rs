//! Breakers, driven through time by hand.

use std::sync::atomic::Ordering;

use super::*;

const TIMEOUT: Duration = Duration::from_millis(1000);

struct Bench {
    breaker: Arc<Breaker>,
    health: Arc<Health>,
    now: Instant,
}

impl Bench {
    fn new(face: Face) -> Self {
        let health = Arc::<Health>::default();
        Bench { breaker: Arc::new(Breaker::new(Service::Http, face, TIMEOUT, Arc::clone(&health))), health, now: Instant::now() }
    }

    fn state(&self) -> BreakerState {
        self.health.service(Service::Http).breaker()
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Puts a question; its permit, or the refusal.
    fn admit(&self) -> Result<Permit, Cause> {
        match self.breaker.admit(self.now) {
            Admission::Pass(permit) | Admission::Probe(permit) => Ok(permit),
            Admission::Refused(cause) => Err(cause),
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
fn a_run_of_failures_opens_and_one_probe_decides() {
    for (face, run) in [(Face::Lambda, RUN_LAMBDA), (Face::Sidecar, RUN_SIDECAR)] {
        let mut bench = Bench::new(face);
        for _ in 0..run {
            assert_eq!(bench.state(), BreakerState::Closed);
            bench.fail(Cause::Http5xx.into());
        }
        assert_eq!((bench.state(), bench.admit().err()), (BreakerState::Open, Some(Cause::BreakerOpen)));
        bench.wait(5);
        let probe = bench.admit().expect("a probe");
        assert_eq!((bench.state(), bench.admit().err()), (BreakerState::HalfOpen, Some(Cause::BreakerOpen)));
        probe.fail(&Cause::Timeout.into(), bench.now);
        bench.wait(9);
        assert_eq!(bench.admit().err(), Some(Cause::BreakerOpen), "the wait doubles");
        bench.wait(1);
        bench.succeed();
        assert_eq!(bench.state(), BreakerState::Closed);
        bench.fail(Cause::Http5xx.into());
        assert_eq!((bench.state(), bench.health.service(Service::Http).trips.load(Ordering::Relaxed)), (BreakerState::Closed, 1));
    }
}

#[test]
fn a_success_or_a_minute_ends_a_run() {
    let mut bench = Bench::new(Face::Lambda);
    for _ in 0..10 {
        bench.fail(Cause::Reset.into());
        bench.fail(Cause::Reset.into());
        bench.succeed();
        bench.fail(Cause::Reset.into());
        bench.fail(Cause::Reset.into());
        bench.wait(61);
    }
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn a_share_of_failed_or_slow_calls_opens_it_in_a_sidecar_only() {
    for (face, expected) in [(Face::Sidecar, BreakerState::Open), (Face::Lambda, BreakerState::Closed)] {
        let failing = Bench::new(face);
        for _ in 0..10 {
            failing.succeed();
            failing.fail(Cause::Http5xx.into());
        }
        assert_eq!(failing.state(), expected, "{face:?}");
        let mut slow = Bench::new(face);
        for _ in 0..25 {
            let Ok(permit) = slow.admit() else { break };
            slow.now += Duration::from_millis(850);
            permit.succeed(slow.now);
            slow.now -= Duration::from_millis(800);
        }
        assert_eq!(slow.state(), expected, "{face:?}");
    }
}

#[test]
fn an_excused_question_never_opens_it() {
    let bench = Bench::new(Face::Lambda);
    for _ in 0..100 {
        bench.admit().expect("admitted").excuse(bench.now);
    }
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn a_service_may_ask_to_be_left_alone_but_not_for_ever() {
    let mut bench = Bench::new(Face::Lambda);
    bench.fail(Failure { retry_after: Some(Duration::from_secs(120)), ..Cause::RateLimited.into() });
    assert_eq!(bench.admit().err(), Some(Cause::RateLimited));
    bench.wait(119);
    assert_eq!(bench.admit().err(), Some(Cause::RateLimited));
    bench.wait(1);
    bench.fail(Failure { retry_after: Some(Duration::from_secs(86_400 * 365)), ..Cause::RateLimited.into() });
    bench.wait(3599);
    assert_eq!(bench.admit().err(), Some(Cause::RateLimited));
    bench.wait(1);
    bench.succeed();
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn an_abandoned_probe_leaves_the_next_question_its_turn() {
    let mut bench = Bench::new(Face::Lambda);
    for _ in 0..RUN_LAMBDA {
        bench.fail(Cause::KeyRefused.into());
    }
    assert_eq!(bench.admit().err(), Some(Cause::KeyRefused), "what the operator has to mend stays visible");
    bench.wait(5);
    drop(bench.admit().expect("a probe"));
    assert_eq!(bench.state(), BreakerState::Open);
    bench.succeed();
    assert_eq!(bench.state(), BreakerState::Closed);
}

/// A breaker that opened for an hour, and the permits of calls that began before it did.
fn opened_with_earlier_calls<const N: usize>(bench: &Bench) -> [Permit; N] {
    let earlier = std::array::from_fn(|_| bench.admit().expect("admitted"));
    bench.fail(Failure { retry_after: Some(Duration::from_secs(3600)), ..Cause::RateLimited.into() });
    earlier
}

#[test]
fn a_late_success_does_not_end_a_wait_that_the_service_asked_for() {
    let mut bench = Bench::new(Face::Sidecar);
    let [success, excused, dropped, released] = opened_with_earlier_calls(&bench);
    bench.wait(1);
    success.succeed(bench.now);
    excused.excuse(bench.now);
    released.release();
    drop(dropped);
    assert_eq!((bench.state(), bench.admit().err()), (BreakerState::Open, Some(Cause::RateLimited)));
    bench.wait(3599);
    assert!(bench.admit().is_ok(), "the wait is over");
}

#[test]
fn an_earlier_call_decides_nothing_about_a_probe() {
    let mut bench = Bench::new(Face::Sidecar);
    let [failure, success, released] = opened_with_earlier_calls(&bench);
    bench.wait(3600);
    let probe = bench.admit().expect("a probe");
    failure.fail(&Cause::Timeout.into(), bench.now);
    success.succeed(bench.now);
    released.release();
    assert_eq!((bench.state(), bench.admit().err()), (BreakerState::HalfOpen, Some(Cause::RateLimited)));
    probe.succeed(bench.now);
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn an_earlier_failure_does_not_reopen_a_closed_breaker() {
    let mut bench = Bench::new(Face::Lambda);
    let [first, second, third, limited] = opened_with_earlier_calls(&bench);
    bench.wait(3600);
    bench.succeed();
    for permit in [first, second, third] {
        permit.fail(&Cause::Timeout.into(), bench.now);
    }
    limited.fail(&Cause::RateLimited.into(), bench.now);
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn a_probe_that_is_released_late_leaves_the_next_probe_alone() {
    let mut bench = Bench::new(Face::Sidecar);
    let [] = opened_with_earlier_calls(&bench);
    bench.wait(3600);
    bench.admit().expect("a probe").release();
    let probe = bench.admit().expect("the next probe");
    assert_eq!(bench.admit().err(), Some(Cause::RateLimited), "one probe at a time");
    probe.fail(&Cause::Http5xx.into(), bench.now);
    assert_eq!(bench.state(), BreakerState::Open);
}
