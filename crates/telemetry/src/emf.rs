//! CloudWatch's embedded metric format (EMF). Metrics are part of the audit line, and Lambda makes no calls for them.
//!
//! The format is specified by AWS. CloudWatch silently drops lines that violate it.
//! For this reason the directives are constants and every value is finite.

use std::sync::{
    LazyLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{labels::StepUpResult, names};
use riskgate_engine::{evidence::Outcome, service::Service};
use riskgate_event::response::{Assessment, object::Object};
use riskgate_providers::fields::ignored;
use riskgate_runtime::{
    challenge_health::{ChallengeEvent, ChallengeHealth},
    health::Health,
    session_health::{SessionEvent, SessionHealth},
};

/// The namespace of every metric.
pub const NAMESPACE: &str = "riskgate";

/// The state of the process that the metrics depend on.
#[derive(Debug, Default)]
pub struct Emf {
    /// Whether the first invocation is already written.
    warm: AtomicBool,
    /// The number of panics already written.
    panics: AtomicU64,
    /// The number of store failures already written.
    store_failures: AtomicU64,
    /// The number of codes that were not sent already written.
    challenge_failures: AtomicU64,
    /// For each `ChallengeEvent`, the number already written.
    challenge_codes: [AtomicU64; ChallengeEvent::ALL.len()],
    /// For each `SessionEvent`, the number already written.
    sessions: [AtomicU64; SessionEvent::ALL.len()],
    /// The number of failed look-ups of sessions already written.
    session_failures: AtomicU64,
    /// The number of ignored fields in services' answers already written.
    fields_ignored: AtomicU64,
}

/// The metrics of one invocation.
#[derive(Debug)]
pub struct EmfBlock {
    /// Milliseconds since 1970.
    timestamp: i64,
    /// In seconds.
    duration: f64,
    score: f64,
    degraded: u8,
    cold_starts: u8,
    config_faults: u64,
    secrets_missing: u64,
    panics: u64,
    store_failures: u64,
    challenge_failures: u64,
    fields_ignored: u64,
    inputs_ignored: u32,
    address_faults: u64,
    attack_state: u8,
    false_positive_excess: f64,
    /// A service that was queried, and its duration in seconds.
    provider: Option<(&'static str, f64)>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: &'static [&'static [&'static str]],
    metrics: &'static [Metric],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

const DIRECTIVES: &[Directive] = &[
    Directive {
        namespace: NAMESPACE,
        dimensions: &[&[], &["decision"], &["decision", "mode"]],
        metrics: &[metric(names::ASSESSMENT_DURATION, "Seconds"), metric(names::DECISIONS, "Count")],
    },
    Directive {
        namespace: NAMESPACE,
        dimensions: &[&[]],
        metrics: &[
            metric(names::SCORE, "None"),
            metric(names::DEGRADED, "Count"),
            metric(names::COLD_STARTS, "Count"),
            metric(names::CONFIG_FAULTS, "Count"),
            metric(names::SECRETS_MISSING, "Count"),
            metric(names::PANICS, "Count"),
            metric(names::INPUTS_IGNORED, "Count"),
            metric(names::STORE_FAILURES, "Count"),
            metric(names::CHALLENGE_FAILURES, "Count"),
            metric(names::ADDRESS_FAULTS, "Count"),
            metric(names::ATTACK_STATE, "None"),
            metric(names::FALSE_POSITIVE_EXCESS, "None"),
            metric(names::PROVIDER_FIELDS_IGNORED, "Count"),
        ],
    },
    // Only for lines with a queried service: CloudWatch drops a directive that names a missing member.
    Directive { namespace: NAMESPACE, dimensions: &[&["provider"]], metrics: &[metric(names::PROVIDER_DURATION, "Seconds")] },
];

/// The directives as JSON, without and with the last one. They are the same in every line.
static DIRECTIVES_JSON: LazyLock<[Box<RawValue>; 2]> =
    LazyLock::new(|| [&DIRECTIVES[..2], DIRECTIVES].map(|directives| to_raw_value(directives).expect("the directives are JSON")));

/// The directives of an outcome line as JSON. They have no dimension, because the outcome is not riskgate's decision.
static OUTCOME_DIRECTIVES_JSON: LazyLock<Box<RawValue>> = LazyLock::new(|| {
    const DIRECTIVES: &[Directive] = &[Directive { namespace: NAMESPACE, dimensions: &[&[]], metrics: &[metric(names::OUTCOMES, "Count")] }];
    to_raw_value(DIRECTIVES).expect("the directives are JSON")
});

/// Writes the `_aws` member and the metric of a sign-in's outcome.
pub fn write_outcome_members(time: Timestamp, object: &mut Object<'_>) {
    write_directives(object, time.as_millisecond(), &**OUTCOME_DIRECTIVES_JSON);
    object.member(names::OUTCOMES, &1);
}

/// A count by `result`, on a separate line: it does not belong to the decision on one sign-in.
#[derive(Debug)]
pub struct ResultCount {
    metric: &'static [Metric; 1],
    result: &'static str,
    count: u64,
}

const STEP_UPS: &[Metric; 1] = &[metric(names::STEP_UPS, "Count")];
const SESSIONS: &[Metric; 1] = &[metric(names::SESSIONS, "Count")];
const SESSION_FAILURES: &[Metric; 1] = &[metric(names::SESSION_FAILURES, "Count")];
const SESSION_LAG: &[Metric; 1] = &[metric(names::SESSION_LAG, "Seconds")];
const CHALLENGE_CODES: &[Metric; 1] = &[metric(names::CHALLENGE_CODES, "Count")];

impl ResultCount {
    /// A token that was checked for step-up.
    pub fn step_up(result: StepUpResult) -> Self {
        ResultCount { metric: STEP_UPS, result: result.as_label(), count: 1 }
    }

    /// Writes the members of the line.
    pub fn write_members(&self, time: Timestamp, object: &mut Object<'_>) {
        write_directives(object, time.as_millisecond(), &[Directive { namespace: NAMESPACE, dimensions: &[&[], &["result"]], metrics: self.metric }]);
        object.plain("result", self.result);
        object.member(self.metric[0].name, &self.count);
    }
}

fn write_directives(object: &mut Object<'_>, timestamp: i64, directives: &(impl Serialize + ?Sized)) {
    object.object("_aws", |aws| {
        aws.member("Timestamp", &timestamp);
        aws.member("CloudWatchMetrics", directives);
    });
}

const fn metric(name: &'static str, unit: &'static str) -> Metric {
    Metric { name, unit }
}

impl Emf {
    /// The metrics of one invocation.
    pub fn block(&self, assessment: &Assessment, health: &Health) -> EmfBlock {
        let decision = &assessment.decision;
        EmfBlock {
            timestamp: decision.score.signals.evidence.sign_in.received.wall.as_millisecond(),
            duration: assessment.elapsed.as_secs_f64(),
            score: decision.score.value,
            degraded: u8::from(decision.is_degraded()),
            cold_starts: u8::from(!self.warm.swap(true, Ordering::Relaxed)),
            panics: increase(&self.panics, health.panics.load(Ordering::Relaxed)),
            store_failures: increase(&self.store_failures, health.store.all_failures()),
            challenge_failures: increase(&self.challenge_failures, health.challenge.failures()),
            fields_ignored: increase(&self.fields_ignored, Service::ALL.into_iter().map(ignored).sum()),
            inputs_ignored: decision.score.signals.evidence.sign_in.context.ignored.len(),
            attack_state: health.attacks.state(),
            false_positive_excess: health.calibration.excess(),
            address_faults: health.sharing.addresses.all_affected_clients(),
            config_faults: health.config_faults.load(Ordering::Relaxed),
            secrets_missing: health.secrets_missing.load(Ordering::Relaxed),
            provider: sampled_provider(assessment),
        }
    }

    /// What happened to codes of challenges and is not written yet.
    pub fn new_challenge_codes(&self, health: &ChallengeHealth) -> impl Iterator<Item = ResultCount> {
        ChallengeEvent::ALL.into_iter().filter_map(|event| {
            let count = increase(&self.challenge_codes[event as usize], health.count(event));
            (count > 0).then_some(ResultCount { metric: CHALLENGE_CODES, result: event.as_label(), count })
        })
    }
}

impl Emf {
    /// What happened to look-ups of sessions and is not written yet, and the longest lag.
    pub fn new_session_events(&self, health: &SessionHealth) -> impl Iterator<Item = ResultCount> {
        let count = |metric, result, count| (count > 0).then_some(ResultCount { metric, result, count });
        let failures = count(SESSION_FAILURES, "failure", increase(&self.session_failures, health.failures()));
        let lag = count(SESSION_LAG, "judged", health.take_lag().div_ceil(1000));
        let events = SessionEvent::ALL
            .into_iter()
            .filter_map(move |event| count(SESSIONS, event.as_label(), increase(&self.sessions[event as usize], health.count(event))));
        events.chain(failures).chain(lag)
    }
}

impl EmfBlock {
    /// Writes the `_aws` member and the values that it names, except `decision` and `mode`, which are members of the assessment.
    pub fn write_members(&self, object: &mut Object<'_>) {
        write_directives(object, self.timestamp, &DIRECTIVES_JSON[usize::from(self.provider.is_some())]);
        object.member(names::ASSESSMENT_DURATION, &finite(self.duration));
        object.member(names::DECISIONS, &1);
        object.member(names::SCORE, &finite(self.score));
        object.member(names::DEGRADED, &self.degraded);
        object.member(names::COLD_STARTS, &self.cold_starts);
        object.member(names::CONFIG_FAULTS, &self.config_faults);
        object.member(names::SECRETS_MISSING, &self.secrets_missing);
        object.member(names::PANICS, &self.panics);
        object.member(names::INPUTS_IGNORED, &self.inputs_ignored);
        object.member(names::STORE_FAILURES, &self.store_failures);
        object.member(names::CHALLENGE_FAILURES, &self.challenge_failures);
        object.member(names::ADDRESS_FAULTS, &self.address_faults);
        object.member(names::ATTACK_STATE, &self.attack_state);
        object.member(names::FALSE_POSITIVE_EXCESS, &finite(self.false_positive_excess));
        object.member(names::PROVIDER_FIELDS_IGNORED, &self.fields_ignored);
        if let Some((provider, seconds)) = self.provider {
            object.plain("provider", provider);
            object.member(names::PROVIDER_DURATION, &finite(seconds));
        }
    }
}

/// One of the queried services, chosen by the random bits of the assessment's id.
///
/// A line has only one member `provider`. With several services each line reports one of them, and
/// the percentiles of each service are those of a uniform sample.
fn sampled_provider(assessment: &Assessment) -> Option<(&'static str, f64)> {
    let services = &assessment.decision.score.signals.evidence.services;
    let queried = || services.iter().filter(|result| result.outcome != Outcome::NotCalled);
    let pick = usize::from(*assessment.id.as_bytes().last()?) % queried().count().max(1);
    queried().nth(pick).map(|result| (result.service.as_label(), result.took.as_secs_f64()))
}

/// The increase of a total since the last line.
fn increase(written: &AtomicU64, total: u64) -> u64 {
    total.saturating_sub(written.swap(total, Ordering::Relaxed))
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
