//! The one moment that a sign-in carries with it.

use jiff::Timestamp;
use tokio::time::Instant;

/// The moment a sign-in arrived, by both clocks. Taken once, in `serve/` or `commands/`, and handed down.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The wall clock: hours, ages, the audit line. May jump.
    pub wall: Timestamp,
    /// The monotonic clock: deadlines and durations. Never jumps; may stand still while Lambda freezes the process.
    pub mono: Instant,
}

impl Now {
    /// Reads both clocks.
    #[expect(clippy::disallowed_methods, reason = "this is where the wall clock is read")]
    pub fn read() -> Self {
        Now { wall: Timestamp::now(), mono: Instant::now() }
    }

    /// A given wall time, now by the monotonic clock: for rows of a log.
    pub fn at(wall: Timestamp) -> Self {
        Now { wall, mono: Instant::now() }
    }

    /// Whole days since 1970-01-01 UTC, as kept in profiles; 0 before it, 65535 at most (the year 2149).
    pub fn day(self) -> u16 {
        u16::try_from(self.wall.as_second().max(0) / 86_400).unwrap_or(u16::MAX)
    }
}
