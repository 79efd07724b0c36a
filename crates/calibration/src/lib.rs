//! Calibration of the score on a pool's own traffic.
//!
//! A score promises a share: 25 x -log10 of the share of legitimate sign-ins at or above it. The shipped tables keep this promise on the
//! traffic from which they were computed. A pool's successful sign-ins, counted by score, show what the promise is worth there.
//!
//! # Layout
//!
//! - [`group`]: which sign-ins are compared with each other.
//! - [`counts`]: successes by group and cell of the shipped score; they fade with time.
//! - [`curve`]: the shipped tail and counts, blended to a rising map from the shipped score to the calibrated one.
//! - [`calibrator`]: counts and curves over the days of a pool, with a bound per day; its stored form.
//! - [`promise`]: promised and realised shares at the thresholds in force; drift. [`rate`]: a share with its interval.
//! - [`success_cell`]: where one success is counted, and the name of its counter.
//! - [`scale`]: the curves, as the engine uses them.
//!
//! Nothing here waits, reads a clock or writes. Sources: Mondrian conformal prediction (one p-value per group, Vovk et al. 2003), the
//! finite-sample correction of conformal p-values, and a Pólya tree with the shipped tail as its mean (Lavine 1992).

pub mod group;

pub mod counts;

pub mod curve;

pub mod calibrator;

mod encoding;

pub mod scale;

pub mod success_cell;

pub mod rate;

pub mod promise;

pub use crate::{
    calibrator::Calibrator, counts::Counts, curve::Curve, group::Group, promise::Thresholds, rate::Rate, scale::PoolScale, success_cell::SuccessCell,
};
