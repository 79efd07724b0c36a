//! Metrics in Prometheus' text format. The recorder is not global, which isolates tests and the demo from each other.

use std::fmt;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::names::ALL;

/// Registers series and renders them.
pub struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

const METADATA: Metadata<'_> = Metadata::new("riskgate", Level::INFO, None);

impl Registry {
    /// Creates a registry that describes every metric. `histograms` gives the upper bounds of each histogram's buckets.
    pub fn new(histograms: &[(&'static str, Vec<f64>)]) -> Self {
        let builder = histograms.iter().fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
            builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds).expect("every histogram has bounds")
        });
        let recorder = builder.build_recorder();
        for (name, help) in ALL {
            recorder.describe_counter(KeyName::from_const_str(name), None, (*help).into());
        }
        let handle = recorder.handle();
        Registry { recorder, handle }
    }

    /// Registers a counter, which starts at zero.
    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    /// Registers a gauge.
    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    /// Registers a histogram.
    pub fn histogram(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Histogram {
        self.recorder.register_histogram(&key(name, labels), &METADATA)
    }

    /// Renders all series as text.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves recorded samples into their buckets.
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
