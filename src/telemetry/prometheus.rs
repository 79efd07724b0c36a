//! Prometheus' text format, by a recorder of this process's own: nothing is global, so that tests and the demo do not meet.

use std::fmt;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::names::ALL;

/// Makes series and renders them.
pub struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

const METADATA: Metadata<'_> = Metadata::new("riskgate", Level::INFO, None);

impl Registry {
    /// A registry with every name described, and the upper edges of each histogram's buckets.
    pub fn new(histograms: &[(&'static str, Vec<f64>)]) -> Self {
        let builder = histograms.iter().fold(PrometheusBuilder::new(), |builder, (name, edges)| {
            builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), edges).expect("every histogram has edges")
        });
        let recorder = builder.build_recorder();
        for (name, help) in ALL {
            recorder.describe_counter(KeyName::from_const_str(name), None, (*help).into());
        }
        let handle = recorder.handle();
        Registry { recorder, handle }
    }

    /// A counter, at zero until it is touched.
    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    /// A gauge.
    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    /// A histogram.
    pub fn histogram(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Histogram {
        self.recorder.register_histogram(&key(name, labels), &METADATA)
    }

    /// Everything, as text.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds samples into buckets.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
    Key::from_parts(name, labels.iter().map(|(label, value)| Label::new(*label, *value)).collect::<Vec<_>>())
}
