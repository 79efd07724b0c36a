//! Handles of all metric series.
//!
//! Label values come from closed enums through `as_label`, and every series is registered
//! at start. The number of series never depends on request data.

use metrics::{Counter, Gauge, Histogram};

use crate::{
    false_positives::FalsePositiveGauges,
    labels::{self, PassThrough, Refusal, StepUpResult},
    names,
    prometheus::Registry,
};
use riskgate_config::Config;
use riskgate_engine::{
    context::{BadContext, Trust},
    decision::{ScoreLevel, Verdict},
    evidence::{FailureReason, Outcome, ProviderResult, Tier, store_parts::StorePart},
    ignored::IgnoredInput,
    network_source::Source,
    score::reason::ReasonCode,
    service::Service,
    settings::{Fallback, Mode},
};
use riskgate_event::response::Assessment;
use riskgate_providers::fields::ignored;
use riskgate_runtime::{
    challenge_health::ChallengeEvent,
    health::{BundledPart, CacheResult, Health},
    session_health::SessionEvent,
    sharing::AddressProblem,
};

/// Upper bounds of duration histograms in seconds, from 1 ms to 3 s, which no budget reaches. The budget and 80 % of it are added.
const DURATION_BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0];

/// Additional bounds below a millisecond, because a stage without I/O takes microseconds.
const FINE_BOUNDS: &[f64] = &[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005];

/// Upper bounds of the score histogram, one every five points.
const SCORE_BOUNDS: &[f64] = &[0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0, 100.0];

/// Handles of every series.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    durations: Family<Verdict, Histogram>,
    networks: Histogram,
    history: Histogram,
    evidence: Histogram,
    evaluator: Histogram,
    providers: Family<(Service, Outcome), Histogram>,
    decisions: Family<(Verdict, Mode, ScoreLevel), Counter>,
    degraded: Family<(FailureReason, Option<Fallback>), Counter>,
    cache: Family<(Tier, CacheResult), Counter>,
    breakers: Family<Service, Gauge>,
    calls: Family<Service, Counter>,
    fields_ignored: Family<Service, Counter>,
    signals: Family<ReasonCode, Counter>,
    score: Histogram,
    contexts: Family<&'static str, Counter>,
    bad_contexts: Family<&'static str, Counter>,
    inputs_ignored: Family<IgnoredInput, Counter>,
    outcomes: Family<&'static str, Counter>,
    pass_throughs: Family<PassThrough, Counter>,
    token_refusals: Counter,
    refusals: Family<Refusal, Counter>,
    step_ups: Family<&'static str, Counter>,
    signing_key_failures: Counter,
    in_flight: Gauge,
    config_faults: Gauge,
    secrets_missing: Gauge,
    networks_built: [Gauge; Source::ALL.len()],
    bundled_data: [Gauge; BundledPart::ALL.len()],
    networks_refused: Counter,
    challenge_codes: Family<ChallengeEvent, Counter>,
    challenge_failures: Counter,
    sessions: Family<SessionEvent, Counter>,
    session_failures: Counter,
    session_lag: Gauge,
    store_failures: Family<StorePart, Counter>,
    block_list_read: Gauge,
    attack_state: Gauge,
    attack_state_read: Gauge,
    false_positives: FalsePositiveGauges,
    address_faults: Family<AddressProblem, Gauge>,
    shared_device_ids: Gauge,
    networks_undecodable: Counter,
    panics: Counter,
    lines_lost: Counter,
    log_lines_lost: Counter,
}

/// A guard that counts a sign-in as in flight until it is dropped.
#[derive(Debug)]
pub struct InFlight(Gauge);

/// The series of one metric, by label values.
#[derive(Debug)]
struct Family<K, H>(Vec<(K, H)>);

impl Metrics {
    /// Registers every series that the configuration makes possible.
    pub fn new(config: &Config) -> Self {
        let budget = config.budget.total.as_secs_f64();
        // Rounded to the millisecond for readable bounds.
        let eighty_percent = (budget * 800.0).round() / 1e3;
        let mut durations = DURATION_BOUNDS.to_vec();
        durations.extend([(budget * 1e3).round() / 1e3, eighty_percent]);
        let mut fine = FINE_BOUNDS.to_vec();
        fine.extend_from_slice(&durations);
        let registry = Registry::new(&[
            (names::ASSESSMENT_DURATION, sorted(durations.clone())),
            (names::PROVIDER_DURATION, sorted(durations)),
            (names::STAGE_DURATION, sorted(fine)),
            (names::SCORE, SCORE_BOUNDS.to_vec()),
        ]);
        let r = &registry;
        let services = || config.services.services.iter().map(|service| service.service());
        let outcomes = || [Outcome::Fresh, Outcome::Hit, Outcome::Stale, Outcome::Negative].into_iter().chain(FailureReason::ALL.map(Outcome::Failed));
        let fallbacks = [None, Some(Fallback::Local), Some(Fallback::Allow), Some(Fallback::Deny)];
        let stage = |stage| r.histogram(names::STAGE_DURATION, &[("stage", stage)]);
        r.gauge(names::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
        r.gauge(names::BUDGET, &[]).set(budget);
        r.counter(names::COLD_STARTS, &[]).increment(1);
        let labels = |name, label: &'static str, values: &[&'static str]| Family::new(values.iter().copied(), |value| r.counter(name, &[(label, value)]));
        Metrics {
            durations: Family::new(Verdict::ALL, |verdict| r.histogram(names::ASSESSMENT_DURATION, &[("decision", verdict.as_label())])),
            networks: stage("networks"),
            history: stage("history"),
            evidence: stage("evidence"),
            evaluator: stage("judge"),
            providers: Family::new(services().flat_map(|service| outcomes().map(move |outcome| (service, outcome))), |(service, outcome)| {
                r.histogram(names::PROVIDER_DURATION, &[("provider", service.as_label()), ("outcome", outcome.as_label())])
            }),
            decisions: Family::new(
                Verdict::ALL
                    .into_iter()
                    .flat_map(|verdict| Mode::ALL.into_iter().flat_map(move |mode| ScoreLevel::ALL.into_iter().map(move |level| (verdict, mode, level)))),
                |(verdict, mode, level)| {
                    r.counter(names::DECISIONS, &[("decision", verdict.as_label()), ("mode", mode.as_label()), ("level", level.as_label())])
                },
            ),
            degraded: Family::new(
                FailureReason::ALL.into_iter().flat_map(|cause| fallbacks.into_iter().map(move |fallback| (cause, fallback))),
                |(cause, fallback)| r.counter(names::DEGRADED, &[("cause", cause.as_label()), ("fallback", fallback.map_or("none", Fallback::as_label))]),
            ),
            cache: Family::new(Tier::ALL.into_iter().flat_map(|tier| CacheResult::ALL.into_iter().map(move |result| (tier, result))), |(tier, result)| {
                r.counter(names::CACHE_REQUESTS, &[("tier", tier.as_label()), ("result", result.as_label())])
            }),
            breakers: Family::new(services(), |service| r.gauge(names::BREAKER_STATE, &[("provider", service.as_label())])),
            calls: Family::new(services(), |service| r.counter(names::PROVIDER_CALLS, &[("provider", service.as_label())])),
            fields_ignored: Family::new(services(), |service| r.counter(names::PROVIDER_FIELDS_IGNORED, &[("provider", service.as_label())])),
            signals: Family::new(ReasonCode::BUILT_IN.iter().copied().chain(Service::ALL.map(ReasonCode::Service)), |code| {
                r.counter(names::SIGNALS, &[("reason", code.as_label())])
            }),
            score: r.histogram(names::SCORE, &[]),
            contexts: labels(names::CONTEXT, "state", &Trust::LABELS),
            bad_contexts: labels(names::BAD_CONTEXT, "cause", &BadContext::LABELS),
            inputs_ignored: Family::new(IgnoredInput::ALL, |input| r.counter(names::INPUTS_IGNORED, &[("input", input.input()), ("cause", input.cause())])),
            outcomes: labels(names::OUTCOMES, "outcome", &labels::OUTCOMES),
            pass_throughs: Family::new(PassThrough::ALL, |reason| r.counter(names::HANDED_BACK, &[("cause", reason.as_label())])),
            token_refusals: r.counter(names::TOKENS_REFUSED, &[]),
            refusals: Family::new(Refusal::ALL, |reason| r.counter(names::REFUSED, &[("cause", reason.as_label())])),
            step_ups: Family::new(StepUpResult::all().map(StepUpResult::as_label), |result| r.counter(names::STEP_UPS, &[("result", result)])),
            signing_key_failures: r.counter(names::SIGNING_KEY_FAILURES, &[]),
            in_flight: r.gauge(names::IN_FLIGHT, &[]),
            config_faults: r.gauge(names::CONFIG_FAULTS, &[]),
            secrets_missing: r.gauge(names::SECRETS_MISSING, &[]),
            networks_built: Source::ALL.map(|source| r.gauge(names::NETWORKS_BUILT, &[("source", source.as_label())])),
            bundled_data: BundledPart::ALL.map(|part| r.gauge(names::BUNDLED_DATA, &[("part", part.as_label())])),
            networks_refused: r.counter(names::NETWORKS_REFUSED, &[]),
            challenge_codes: Family::new(ChallengeEvent::ALL, |event| r.counter(names::CHALLENGE_CODES, &[("result", event.as_label())])),
            challenge_failures: r.counter(names::CHALLENGE_FAILURES, &[]),
            sessions: Family::new(SessionEvent::ALL, |event| r.counter(names::SESSIONS, &[("result", event.as_label())])),
            session_lag: r.gauge(names::SESSION_LAG, &[]),
            session_failures: r.counter(names::SESSION_FAILURES, &[]),
            store_failures: Family::new(StorePart::ALL, |part| r.counter(names::STORE_FAILURES, &[("part", part.as_label())])),
            block_list_read: r.gauge(names::BLOCK_LIST_READ, &[]),
            attack_state: r.gauge(names::ATTACK_STATE, &[]),
            attack_state_read: r.gauge(names::ATTACK_STATE_READ, &[]),
            false_positives: FalsePositiveGauges::new(r),
            address_faults: Family::new(AddressProblem::ALL, |fault| r.gauge(names::ADDRESS_FAULTS, &[("cause", fault.as_label())])),
            shared_device_ids: r.gauge(names::SHARED_DEVICE_IDS, &[]),
            networks_undecodable: r.counter(names::NETWORKS_UNDECODABLE, &[]),
            panics: r.counter(names::PANICS, &[]),
            lines_lost: r.counter(names::LINES_LOST, &[]),
            log_lines_lost: r.counter(names::LOG_LINES_LOST, &[]),
            registry,
        }
    }

    /// Counts a sign-in as in flight until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.increment(1.0);
        InFlight(self.in_flight.clone())
    }

    pub(super) fn record_assessment(&self, assessment: &Assessment) {
        let decision = &assessment.decision;
        let evidence = &decision.score.signals.evidence;
        if let Some(duration) = self.durations.series(decision.verdict) {
            duration.record(assessment.elapsed);
        }
        self.networks.record(evidence.took.networks);
        self.history.record(evidence.took.history);
        self.evidence.record(evidence.took.total);
        self.evaluator.record(assessment.evaluation);
        self.decisions.add((decision.verdict, decision.mode, decision.level));
        for result in &evidence.services {
            self.record_provider_result(result);
        }
        if decision.is_degraded() {
            let failed = evidence.services.iter().find_map(ProviderResult::degraded).or(evidence.history_outcome.cause());
            let failed = failed.or_else(|| evidence.history.unread.iter().map(|(_, cause)| cause).next());
            failed.into_iter().for_each(|cause| self.degraded.add((cause, decision.fallback)));
        }
        for reason in &decision.score.reasons {
            self.signals.add(reason.code);
        }
        self.score.record(decision.score.value);
        let trust = evidence.sign_in.context.trust;
        self.contexts.add(trust.as_label());
        if let Trust::Bad(cause) = trust {
            self.bad_contexts.add(cause.as_label());
        }
        for input in evidence.sign_in.context.ignored.iter() {
            self.inputs_ignored.add(input);
        }
    }

    pub(super) fn record_outcome(&self, outcome: &'static str) {
        self.outcomes.add(outcome);
    }

    pub(super) fn record_pass_through(&self, reason: PassThrough) {
        self.pass_throughs.add(reason);
    }

    pub(super) fn record_token_refusal(&self) {
        self.token_refusals.increment(1);
    }

    pub(super) fn record_refusal(&self, reason: Refusal) {
        self.refusals.add(reason);
    }

    pub(super) fn record_step_up(&self, result: StepUpResult) {
        self.step_ups.add(result.as_label());
    }

    pub(super) fn render(&self, health: &Health, lines_lost: u64, log_lines_lost: u64) -> String {
        use std::sync::atomic::Ordering::Relaxed;
        #[expect(clippy::cast_precision_loss, reason = "numbers of faults and seconds since 1970 are far below 2^53")]
        let set = |gauge: &Gauge, value: u64| gauge.set(value as f64);
        set(&self.config_faults, health.config_faults.load(Relaxed));
        set(&self.block_list_read, health.store.block_list_read());
        set(&self.attack_state, u64::from(health.attacks.state()));
        set(&self.attack_state_read, health.attacks.read_at());
        self.false_positives.set(&health.calibration);
        set(&self.secrets_missing, health.secrets_missing.load(Relaxed));
        let dates = self.networks_built.iter().zip(&health.networks_built).chain(self.bundled_data.iter().zip(&health.bundled_data));
        for (gauge, built) in dates {
            set(gauge, built.load(Relaxed));
        }
        for ((tier, result), counter) in &self.cache.0 {
            counter.absolute(health.cache(*tier, *result).load(Relaxed));
        }
        for (service, gauge) in &self.breakers.0 {
            set(gauge, health.service(*service).breaker() as u64);
        }
        for (service, counter) in &self.calls.0 {
            counter.absolute(health.service(*service).calls.load(Relaxed));
        }
        for (service, counter) in &self.fields_ignored.0 {
            counter.absolute(ignored(*service));
        }
        for (event, counter) in &self.challenge_codes.0 {
            counter.absolute(health.challenge.count(*event));
        }
        self.challenge_failures.absolute(health.challenge.failures());
        for (event, counter) in &self.sessions.0 {
            counter.absolute(health.sessions.count(*event));
        }
        set(&self.session_lag, health.sessions.lag().div_ceil(1000));
        self.session_failures.absolute(health.sessions.failures());
        for (part, counter) in &self.store_failures.0 {
            counter.absolute(health.store.failures(*part));
        }
        for (fault, gauge) in &self.address_faults.0 {
            set(gauge, health.sharing.addresses.affected_clients(*fault));
        }
        set(&self.shared_device_ids, health.sharing.devices.shared_ids());
        self.networks_refused.absolute(health.networks_refused.load(Relaxed));
        self.networks_undecodable.absolute(health.networks_undecodable.load(Relaxed));
        self.signing_key_failures.absolute(health.signing_key_failures.load(Relaxed));
        self.panics.absolute(health.panics.load(Relaxed));
        self.lines_lost.absolute(lines_lost);
        self.log_lines_lost.absolute(log_lines_lost);
        self.registry.render()
    }

    pub(super) fn upkeep(&self) {
        self.registry.upkeep();
    }

    fn record_provider_result(&self, result: &ProviderResult) {
        if let Some(duration) = self.providers.series((result.service, result.outcome)) {
            duration.record(result.took);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl<K: PartialEq + Copy, H> Family<K, H> {
    fn new(keys: impl IntoIterator<Item = K>, mut handle: impl FnMut(K) -> H) -> Self {
        Family(keys.into_iter().map(|key| (key, handle(key))).collect())
    }

    /// The series with these label values. A linear search is faster than hashing, because there are at most a few dozen series.
    fn series(&self, key: K) -> Option<&H> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, handle)| handle)
    }
}

impl<K: PartialEq + Copy> Family<K, Counter> {
    fn add(&self, key: K) {
        if let Some(counter) = self.series(key) {
            counter.increment(1);
        }
    }
}

fn sorted(mut bounds: Vec<f64>) -> Vec<f64> {
    bounds.sort_by(f64::total_cmp);
    bounds.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    bounds
}
