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
};

/// The curves of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolScale {
    curves: BTreeMap<Group, Curve>,
    by_basis: BTreeMap<Basis, Curve>,
    source: CalibrationSource,
    sign_ins: u64,
    counted_at: Option<i64>,
}

impl PoolScale {
    /// The scale of a pool. With `CalibrationSource::Shipped` it is only shown, and scores stay on the shipped scale.
    pub fn new(calibrator: &Calibrator, source: CalibrationSource) -> Self {
        let Calibrator { curves, by_basis, sign_ins, counted_at, .. } = calibrator;
        PoolScale { curves: curves.clone(), by_basis: by_basis.clone(), source, sign_ins: *sign_ins, counted_at: *counted_at }
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
        // Until the first day is over there is no curve.
        let source = if self.by_basis.is_empty() { CalibrationSource::Shipped } else { self.source };
        Calibration { source, sign_ins: self.sign_ins, as_of: self.counted_at.and_then(|at| Timestamp::from_second(at).ok()) }
    }
}
