//! Settings of logs, metrics and audit lines.

use std::path::PathBuf;

use crate::env::Reader;

/// Settings of logs, metrics and audit lines.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Whether metrics are collected. `METRICS`.
    pub metrics: Metrics,
    /// The level of riskgate's log lines. `LOG`.
    pub log: LogLevel,
    /// The format of log lines. `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// Where audit lines go. `AUDIT`.
    pub audit: Audit,
}

/// Whether metrics are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metrics {
    /// Prometheus in the sidecar, EMF in Lambda.
    #[default]
    On,
    /// No metrics.
    Off,
}

/// The level of riskgate's log lines. Dependencies log at warn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are the usual log levels")]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// Text for people.
    Text,
}

/// Where audit lines go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Audit {
    /// Standard output.
    #[default]
    Stdout,
    /// No audit lines.
    Off,
    /// Appended to a file.
    File(PathBuf),
}

impl TelemetryConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let levels = [
            ("off", LogLevel::Off),
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        TelemetryConfig {
            metrics: r.choice("METRICS", &[("on", Metrics::On), ("off", Metrics::Off)]),
            log: r.choice("LOG", &levels),
            log_format: r.choice("LOG_FORMAT", &[("json", LogFormat::Json), ("text", LogFormat::Text)]),
            audit: match r.text("AUDIT").as_deref() {
                None | Some("stdout") => Audit::Stdout,
                Some("off") => Audit::Off,
                Some(file) => Audit::File(PathBuf::from(file)),
            },
        }
    }
}
