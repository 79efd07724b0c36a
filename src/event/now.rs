//! System time and event time: when a request arrived here, and when the sign-in happened.

use jiff::Timestamp;
use tokio::time::Instant;

/// System time: the moment a request arrived, by both clocks. Taken once, in `serve/` or `commands/`, and handed down.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The wall clock: hours, ages, the audit line. May jump.
    pub wall: Timestamp,
    /// The monotonic clock: deadlines and durations. Never jumps; may stand still while Lambda freezes the process.
    pub mono: Instant,
}

/// When a sign-in happened. A caller may state it, so it decides what the sign-in looks like (hour, travel, gaps) and
/// never how long something is stored, counted or waited for: that is system time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTime(Timestamp);

impl EventTime {
    /// A stated time, or the time of arrival where none was stated.
    pub fn new(at: Timestamp) -> Self {
        EventTime(at)
    }

    /// The time as it was stated.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }

    /// The time as history records it: a sign-in cannot have happened after it arrived.
    pub fn recorded(self, now: Timestamp) -> Timestamp {
        self.0.min(now)
    }
}

impl From<Now> for EventTime {
    /// The time of arrival, where no other was stated.
    fn from(now: Now) -> Self {
        EventTime(now.wall)
    }
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
