//! What every crate that waits needs: clocks, deadlines, panic catching, health counters and the signals that end a process.

pub mod attack_health;

pub mod calibration_health;

pub mod catch_panic;

pub mod challenge_health;

pub mod clock;

pub mod deadline;

pub mod health;

pub mod mode;

pub mod session_health;

pub mod sharing;

pub mod shutdown;
