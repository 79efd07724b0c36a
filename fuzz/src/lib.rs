//! What every target shares: an input that takes too long is a fault, as a panic is.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::time::{ClockId, clock_gettime};

/// Longest that one input may take, in microseconds of this process's own processor time: a machine that is busy with other things proves nothing.
const LONGEST: u64 = 100_000;

static SLOWEST: AtomicU64 = AtomicU64::new(0);

/// Runs one input, tells of each new slowest one, and panics past [`LONGEST`].
pub fn timed(run: impl FnOnce()) {
    let before = processor_time();
    run();
    let took = processor_time().saturating_sub(before);
    if SLOWEST.fetch_max(took, Relaxed) < took {
        eprintln!("slowest: {took} us");
    }
    assert!(took <= LONGEST, "one input took {took} us");
}

/// Processor time of this process so far, in microseconds.
fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}
