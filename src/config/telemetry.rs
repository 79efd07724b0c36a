//! Logs, metrics, audit.

use std::path::PathBuf;

use super::env::Reader;

/// Logs, metrics, audit.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Whether metrics are kept. `METRICS`.
    pub metrics: Metrics,
    /// riskgate's own log level. `LOG`.
    pub log: LogLevel,
    /// The form of log lines. `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// Where audit lines go. `AUDIT`.
    pub audit: Audit,
}

/// Whether metrics are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metrics {
    /// Prometheus in the sidecar, EMF in Lambda.
    #[default]
    On,
    /// None.
    Off,
}

/// riskgate's own log level; dependencies stay at warn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the level names say it")]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For eyes.
    Text,
}

/// Where audit lines go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Audit {
    /// Standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
    /// Added to a file.
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
