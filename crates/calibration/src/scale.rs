//! The scale of a pool: its curves, as the engine uses them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use riskgate_engine::{
    score::scale::{Calibration, CalibrationSource, ScoreScale},
    signals::Signals,
};

use crate::{
    calibrator::Calibrator,
    curve::Curve,
    group::{Basis, Group},
    promise::{Drift, GroupPromises, Thresholds},
};

/// The curves of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolScale {
    curves: BTreeMap<Group, Curve>,
    by_basis: BTreeMap<Basis, Curve>,
    source: CalibrationSource,
    sign_ins: u64,
    counted_at: Option<i64>,
    /// The day of the curves.
    day: Option<i64>,
    promises: Vec<GroupPromises>,
    drift: Drift,
}

impl PoolScale {
    /// The scale of a pool. With `CalibrationSource::Shipped` it is only shown, and scores stay on the shipped scale.
    pub fn new(calibrator: &Calibrator, source: CalibrationSource, thresholds: &Thresholds) -> Self {
        let Calibrator { curves, by_basis, sign_ins, counted_at, day, .. } = calibrator;
        PoolScale {
            curves: curves.clone(),
            by_basis: by_basis.clone(),
            source,
            sign_ins: *sign_ins,
            counted_at: *counted_at,
            day: *day,
            promises: calibrator.promises(thresholds),
            drift: calibrator.drift(thresholds),
        }
    }

    /// What the thresholds promise to each group, all sign-ins first, and what the pool's sign-ins had.
    pub fn promises(&self) -> &[GroupPromises] {
        &self.promises
    }

    /// How far the pool's own scale is from the shipped one and from that of a week before.
    pub fn drift(&self) -> Drift {
        self.drift
    }

    /// The scale in force. Until the first day is over there is no curve.
    pub fn source(&self) -> CalibrationSource {
        if self.by_basis.is_empty() { CalibrationSource::Shipped } else { self.source }
    }

    /// When a success was last counted, in seconds since 1970.
    pub fn counted_at(&self) -> Option<i64> {
        self.counted_at
    }

    /// Whether this is the scale of a calibrator with the same counts.
    pub fn is_of(&self, calibrator: &Calibrator) -> bool {
        (self.sign_ins, self.counted_at, self.day) == (calibrator.sign_ins, calibrator.counted_at, calibrator.day)
    }

    /// The successes that were counted.
    pub fn sign_ins(&self) -> u64 {
        self.sign_ins
    }

    fn curve(&self, signals: &Signals) -> Option<&Curve> {
        let group = Group::of(signals);
        self.curves.get(&group).or_else(|| self.by_basis.get(&group.basis))
    }
}

impl ScoreScale for PoolScale {
    fn calibrate(&self, signals: &Signals, shipped: f64) -> f64 {
        self.curve(signals).map_or(shipped, |curve| curve.score(shipped))
    }

    fn calibration(&self) -> Calibration {
        Calibration { source: self.source(), sign_ins: self.sign_ins, as_of: self.counted_at.and_then(|at| Timestamp::from_second(at).ok()) }
    }
}
