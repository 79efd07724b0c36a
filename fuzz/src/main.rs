//! Fuzzes one target: `RISKGATE_FUZZ_TARGET=NAME fuzz CORPUS..`. All targets are in one binary, so dependencies are linked once.
#![no_main]

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use libfuzzer_sys::fuzz_target;
use rustix::time::{ClockId, clock_gettime};

mod targets;

use targets::Target;

/// Longest that one input may take, in microseconds of this process's own processor time: a machine that is busy with other things proves nothing.
const LONGEST: u64 = 100_000;

static SLOWEST: AtomicU64 = AtomicU64::new(0);

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("RISKGATE_FUZZ_TARGET").unwrap_or_default();
    let names: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
    targets::ALL.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("set RISKGATE_FUZZ_TARGET to one of {names:?}"))
});

// The first run is not timed, because it also initializes what the target uses.
fuzz_target!(init: (TARGET.run)(TARGET.warm_up), |bytes: &[u8]| timed(|| (TARGET.run)(bytes)));

/// Runs one input, prints the time of each new slowest one, and panics past [`LONGEST`].
fn timed(run: impl FnOnce()) {
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
