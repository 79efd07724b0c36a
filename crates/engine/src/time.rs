//! System time and event time: when a request arrived, and when the sign-in happened.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// System time by the wall clock and the monotonic clock. It is read once when a request arrives, and then passed on.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    /// The wall clock, for ages and the audit line. It may jump.
    pub wall: Timestamp,
    /// The monotonic clock, for deadlines and durations. It never jumps, but may stop while Lambda freezes the process.
    pub mono: Instant,
}

/// When a sign-in happened. A caller may state it, so it only affects signals (hour, travel, gaps). Storage times, counters and
/// deadlines use system time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTime(Timestamp);

impl EventTime {
    /// An event time as stated, or the time of arrival if none was stated.
    pub fn new(at: Timestamp) -> Self {
        EventTime(at)
    }

    /// The time as stated.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }

    /// The time as history records it: at most `now`, since a sign-in cannot have happened after it arrived.
    pub fn recorded(self, now: Timestamp) -> Timestamp {
        self.0.min(now)
    }
}

impl From<ClockReading> for EventTime {
    /// The time of arrival, for a sign-in without a stated time.
    fn from(now: ClockReading) -> Self {
        EventTime(now.wall)
    }
}

impl ClockReading {
    /// The reading at a later instant: the wall clock advances by the elapsed monotonic time.
    pub fn at(self, mono: Instant) -> Self {
        let passed = SignedDuration::try_from(mono.saturating_duration_since(self.mono)).unwrap_or_default();
        ClockReading { wall: self.wall.checked_add(passed).unwrap_or(self.wall), mono }
    }

    /// The time since an earlier reading: the maximum of both clocks. The monotonic clock may have stopped while Lambda froze the
    /// process, and the wall clock may have been set back.
    pub fn since(self, earlier: ClockReading) -> Duration {
        let wall = Duration::try_from(self.wall.duration_since(earlier.wall)).unwrap_or_default();
        self.mono.saturating_duration_since(earlier.mono).max(wall)
    }

    /// Complete days since 1970-01-01 UTC, as stored in profiles; 0 before it, 65535 at most (the year 2149).
    pub fn day(self) -> u16 {
        u16::try_from(self.wall.as_second().max(0) / 86_400).unwrap_or(u16::MAX)
    }
}
