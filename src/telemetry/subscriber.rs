//! Log lines: riskgate's own at `LOG`, dependencies at warn, lambda_runtime off because it prints raw events. To standard error.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

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

fn filter(level: LogLevel) -> EnvFilter {
    let own = match level {
        LogLevel::Off => "off",
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let others = if level == LogLevel::Off { "off" } else { "warn" };
    EnvFilter::new(format!("{others},lambda_runtime=off,riskgate={own}"))
}
