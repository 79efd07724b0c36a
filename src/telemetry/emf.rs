//! CloudWatch's embedded metric format: metrics that ride in the audit line, so that Lambda calls nobody.
//!
//! The shape is AWS's specification of the format. CloudWatch drops what breaks a rule of it
//! without a word, so the directives are constants and every value is finite.

use std::sync::{
    LazyLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::names;
use crate::{
    config::services::Service,
    evidence::{Outcome, health::Health, provider::fields::ignored},
    response::{Assessment, http::is_degraded, object::Object},
};

/// The namespace of every metric.
pub const NAMESPACE: &str = "riskgate";

/// What the format needs to know of the process.
#[derive(Debug, Default)]
pub struct Emf {
    /// Whether the first invocation has been written.
    warm: AtomicBool,
    /// Panics that were written.
    panics: AtomicU64,
    /// Failures of the store that were written.
    store_failures: AtomicU64,
    /// Unreadable fields of services' answers that were written.
    fields_ignored: AtomicU64,
}

/// One invocation's metrics.
#[derive(Debug)]
pub struct EmfBlock {
    /// Milliseconds since 1970.
    timestamp: i64,
    /// Seconds.
    duration: f64,
    score: f64,
    degraded: u8,
    cold_starts: u8,
    config_faults: u64,
    secrets_missing: u64,
    panics: u64,
    store_failures: u64,
    fields_ignored: u64,
    inputs_ignored: u32,
    address_faults: u64,
    /// A service that was asked, and its seconds.
    provider: Option<(&'static str, f64)>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: &'static [&'static [&'static str]],
    metrics: &'static [Metric],
}

#[derive(Serialize)]
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
            metric(names::ADDRESS_FAULTS, "Count"),
            metric(names::PROVIDER_FIELDS_IGNORED, "Count"),
        ],
    },
    // Only where a service was asked: a directive that names a missing member is dropped whole.
    Directive { namespace: NAMESPACE, dimensions: &[&["provider"]], metrics: &[metric(names::PROVIDER_DURATION, "Seconds")] },
];

/// The directives as text, without the last one and with it: they are the same in every line.
static WRITTEN: LazyLock<[Box<RawValue>; 2]> =
    LazyLock::new(|| [&DIRECTIVES[..2], DIRECTIVES].map(|directives| to_raw_value(directives).expect("the directives are JSON")));

/// What the line of an outcome has instead: no dimension, since the outcome is none of ours.
static OF_AN_OUTCOME: LazyLock<Box<RawValue>> = LazyLock::new(|| {
    const DIRECTIVES: &[Directive] = &[Directive { namespace: NAMESPACE, dimensions: &[&[]], metrics: &[metric(names::OUTCOMES, "Count")] }];
    to_raw_value(DIRECTIVES).expect("the directives are JSON")
});

/// Writes `_aws` and the one value of a sign-in's outcome.
pub fn outcome_members(time: Timestamp, object: &mut Object<'_>) {
    aws(object, time.as_millisecond(), &OF_AN_OUTCOME);
    object.member(names::OUTCOMES, &1);
}

fn aws(object: &mut Object<'_>, timestamp: i64, directives: &RawValue) {
    object.object("_aws", |aws| {
        aws.member("Timestamp", &timestamp);
        aws.member("CloudWatchMetrics", directives);
    });
}

const fn metric(name: &'static str, unit: &'static str) -> Metric {
    Metric { name, unit }
}

// === impl Emf ===

impl Emf {
    /// The metrics of one invocation.
    pub fn block(&self, assessment: &Assessment, health: &Health) -> EmfBlock {
        let decision = &assessment.decision;
        EmfBlock {
            timestamp: decision.score.signals.evidence.sign_in.received.wall.as_millisecond(),
            duration: assessment.elapsed.as_secs_f64(),
            score: decision.score.value,
            degraded: u8::from(is_degraded(decision)),
            cold_starts: u8::from(!self.warm.swap(true, Ordering::Relaxed)),
            panics: new(&self.panics, health.panics.load(Ordering::Relaxed)),
            store_failures: new(&self.store_failures, health.store.all_failures()),
            fields_ignored: new(&self.fields_ignored, Service::ALL.into_iter().map(ignored).sum()),
            inputs_ignored: decision.score.signals.evidence.sign_in.context.ignored.len(),
            address_faults: health.sharing.addresses.all_faulty(),
            config_faults: health.config_faults.load(Ordering::Relaxed),
            secrets_missing: health.secrets_missing.load(Ordering::Relaxed),
            provider: sampled_provider(assessment),
        }
    }
}

// === impl EmfBlock ===

impl EmfBlock {
    /// Writes `_aws` and the values that it names; `decision` and `mode` are the Assessment's own members.
    pub fn members(&self, object: &mut Object<'_>) {
        aws(object, self.timestamp, &WRITTEN[usize::from(self.provider.is_some())]);
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
        object.member(names::ADDRESS_FAULTS, &self.address_faults);
        object.member(names::PROVIDER_FIELDS_IGNORED, &self.fields_ignored);
        if let Some((provider, seconds)) = self.provider {
            object.plain("provider", provider);
            object.member(names::PROVIDER_DURATION, &finite(seconds));
        }
    }
}

/// One of the services that were asked, picked by the id, which is random.
///
/// A line has one member `provider`, so with several services each line tells of one of them: the
/// percentiles of each are those of a fair sample.
fn sampled_provider(assessment: &Assessment) -> Option<(&'static str, f64)> {
    let services = &assessment.decision.score.signals.evidence.services;
    let asked = || services.iter().filter(|asked| asked.outcome != Outcome::NotAsked);
    let pick = usize::from(*assessment.id.as_bytes().last()?) % asked().count().max(1);
    asked().nth(pick).map(|asked| (asked.service.as_label(), asked.took.as_secs_f64()))
}

/// How many of all events no line has yet.
fn new(written: &AtomicU64, all: u64) -> u64 {
    all.saturating_sub(written.swap(all, Ordering::Relaxed))
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
