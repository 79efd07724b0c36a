//! Replay and synthetic logs.

pub mod attacks;
pub mod calibration;
pub mod replay;

pub mod synth;
pub mod tuning;
pub mod wrappers;
