//! Log lines: riskgate's own at `LOG`, dependencies at warn, lambda_runtime off because it prints raw events. To standard error.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::telemetry::{LogFormat, LogLevel, TelemetryConfig};

/// Installs the process's subscriber and a panic hook that tells where, never what: a panic's text may hold a personal value.
pub fn install(config: &TelemetryConfig) {
    let registry = tracing_subscriber::registry().with(filter(config.log));
    // Installing fails only where a subscriber is in place already, and then that one stays.
    let installed = match config.log_format {
        LogFormat::Json => registry.with(fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(std::io::stderr)).try_init(),
        LogFormat::Text => registry.with(fmt::layer().with_target(false).with_writer(std::io::stderr)).try_init(),
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
            tracing::error!(place, "a panic");
        }));
    }
}

fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let others = if level == LogLevel::Off { LevelFilter::OFF } else { LevelFilter::WARN };
    Targets::new().with_default(others).with_target("lambda_runtime", LevelFilter::OFF).with_target("riskgate", own)
}
