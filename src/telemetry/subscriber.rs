//! Log lines: riskgate's own at `LOG`, dependencies at warn, lambda_runtime off because it prints raw events. To standard error, by a thread of their own.

use std::{
    io,
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::writer::LineWriter;
use crate::{
    config::telemetry::{LogFormat, LogLevel, TelemetryConfig},
    evidence::resilience::deadline::Deadline,
};

/// How long a panic waits until its line is written: the process may end with it.
const PANIC_WAIT: Duration = Duration::from_millis(50);

/// The process's log lines. One writer, since there is one standard error.
static LOG: LazyLock<LineWriter> = LazyLock::new(LineWriter::logs);

/// Set with the first log line.
static IS_USED: OnceLock<()> = OnceLock::new();

/// One log line; `fmt` writes each in one call.
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

/// Installs the process's subscriber and a panic hook that tells where, never what: a panic's text may hold a personal value.
pub fn install(config: &TelemetryConfig) {
    let registry = tracing_subscriber::registry().with(filter(config.log));
    // `fmt` would report its own failures on standard error, and wait for it.
    let json = || fmt::layer().log_internal_errors(false).with_writer(|| LogLine).json().flatten_event(true).with_current_span(false);
    let text = || fmt::layer().log_internal_errors(false).with_writer(|| LogLine).with_target(false);
    // Installing fails only where a subscriber is in place already, and then that one stays.
    let installed = match config.log_format {
        LogFormat::Json => registry.with(json()).try_init(),
        LogFormat::Text => registry.with(text()).try_init(),
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
            let is_read = LOG.is_empty();
            tracing::error!(place, "a panic");
            if is_read {
                LOG.drain(PANIC_WAIT);
            }
        }));
    }
}

/// Writes a line to standard error, behind the log lines. Never waits.
pub fn write(line: &[u8]) {
    let _ = IS_USED.set(());
    LOG.write(line);
}

/// Waits until every log line is out, at most until the deadline.
pub async fn flush(deadline: Deadline) {
    if IS_USED.get().is_some() {
        LOG.flush(deadline).await;
    }
}

/// Blocks until every log line is out, for no longer than `wait`: for the end of the process.
pub fn drain(wait: Duration) {
    if IS_USED.get().is_some() {
        LOG.drain(wait);
    }
}

/// Log lines that were lost because standard error was not read.
pub fn lines_lost() -> u64 {
    IS_USED.get().map_or(0, |()| LOG.lost())
}

/// Whether the last log lines could not be written.
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
