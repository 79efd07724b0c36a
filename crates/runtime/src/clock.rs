//! The system clocks. Commands and servers read them and pass the readings to everything else.

use jiff::Timestamp;
use riskgate_engine::time::ClockReading;
use tokio::time::Instant;

/// Reads both clocks.
#[expect(clippy::disallowed_methods, reason = "this is where the wall clock is read")]
pub fn read() -> ClockReading {
    at(Timestamp::now())
}

/// A given wall time with the current monotonic time, for the rows of a log.
pub fn at(wall: Timestamp) -> ClockReading {
    // tokio's clock, because tests can pause it.
    ClockReading { wall, mono: Instant::now().into_std() }
}

/// The current time for a request: its wall time of arrival plus the monotonic time since then.
pub fn read_since(received: ClockReading) -> ClockReading {
    received.at(Instant::now().into_std())
}
