//! The log subscriber. A separate thread writes the lines to standard error.
//!
//! riskgate logs at the level of `LOG`, and dependencies at warn. lambda_runtime is off, because it logs raw events.

use std::{
    io,
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::writer::LineWriter;
use riskgate_config::telemetry::{LogFormat, LogLevel, TelemetryConfig};
use riskgate_runtime::deadline::Deadline;

/// How long a panic waits for its log line, because the process may end afterwards.
const PANIC_WAIT: Duration = Duration::from_millis(50);

/// The writer of all log lines.
static LOG: LazyLock<LineWriter> = LazyLock::new(LineWriter::logs);

/// Set when the first log line is written.
static IS_USED: OnceLock<()> = OnceLock::new();

/// A log line, which `fmt` writes in one call.
struct LogLine;

impl io::Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Installs the subscriber of the process and a panic hook.
///
/// The hook logs the place of a panic and not its message, which may contain a personal value.
pub fn install(config: &TelemetryConfig) {
    let registry = tracing_subscriber::registry().with(filter(config.log));
    // By default `fmt` writes its own errors to standard error and blocks on it.
    let json = || fmt::layer().log_internal_errors(false).with_writer(|| LogLine).json().flatten_event(true).with_current_span(false);
    let text = || fmt::layer().log_internal_errors(false).with_writer(|| LogLine).with_target(false);
    // Installing fails only if a subscriber is already installed. That one stays.
    let installed = match config.log_format {
        LogFormat::Json => registry.with(json()).try_init(),
        LogFormat::Text => registry.with(text()).try_init(),
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
            let is_drained = LOG.is_empty();
            tracing::error!(place, "a panic");
            if is_drained {
                LOG.drain(PANIC_WAIT);
            }
        }));
    }
}

/// Queues a line for standard error after the log lines. Does not block.
pub fn write(line: &[u8]) {
    let _ = IS_USED.set(());
    LOG.write(line);
}

/// Waits until every log line is written, at most until the deadline.
pub async fn flush(deadline: Deadline) {
    if IS_USED.get().is_some() {
        LOG.flush(deadline).await;
    }
}

/// Blocks until every log line is written, for at most `wait`. Used at the end of the process.
pub fn drain(wait: Duration) {
    if IS_USED.get().is_some() {
        LOG.drain(wait);
    }
}

/// The number of log lines that were lost because standard error was not read.
pub fn lines_lost() -> u64 {
    IS_USED.get().map_or(0, |()| LOG.lost())
}

/// Whether the most recent log lines could not be written.
pub fn is_failing() -> bool {
    IS_USED.get().is_some_and(|()| LOG.is_failing())
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
