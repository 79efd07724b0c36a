//! The calibration of a pool over its days.

use std::collections::BTreeMap;

use crate::{
    counts::{CELLS, Counts},
    curve::Curve,
    group::{Basis, Group},
};

/// The most points by which a score falls in a day. In 30 days an attacker who fills a group with unusual successes gains less than 10.
pub const MAX_FALL_PER_DAY: f64 = 0.33;

/// The most points by which a score rises in a day. A rise stops more sign-ins, but an attacker gains nothing from it.
pub const MAX_RISE_PER_DAY: f64 = 3.0;

const DAY: i64 = 86_400;

/// Counts successes, and moves the curves of the groups once a day.
#[derive(Debug, Clone, Default)]
pub struct Calibrator {
    counts: Counts,
    curves: BTreeMap<Group, Curve>,
    by_basis: BTreeMap<Basis, Curve>,
    /// The day of the curves, in days since 1970.
    day: Option<i64>,
    /// The calibrated score from which sign-ins are stopped.
    stopped_from: Option<f64>,
}

impl Calibrator {
    /// Creates a calibrator with the shipped scale. Sign-ins are stopped from `stopped_from` on; `None` in monitor mode.
    pub fn new(stopped_from: Option<f64>) -> Self {
        Calibrator { stopped_from, ..Calibrator::default() }
    }

    /// Returns the calibrated score of a sign-in with this shipped score, as far as is known before it.
    pub fn score(&self, group: Group, shipped: f64) -> f64 {
        self.curve(group).map_or(shipped, |curve| curve.score(shipped))
    }

    /// Whether sign-ins of this group with this shipped score are let in, and therefore counted.
    pub fn is_observed(&self, group: Group, shipped: f64) -> bool {
        match self.curve(group) {
            Some(curve) => curve.is_observed(shipped),
            None => self.stopped_from.is_none_or(|stop| shipped < stop),
        }
    }

    /// Counts a success. A user counts once a day, whatever the day's number of sign-ins, so no user has more influence than another.
    ///
    /// `days_since_last` are the days since the user's last success: 0 on the same day, `None` without one.
    pub fn add_success(&mut self, group: Group, shipped: f64, days_since_last: Option<i64>) {
        if days_since_last != Some(0) {
            self.counts.add(group, shipped);
        }
    }

    /// Moves the curves, if a day has passed since they were moved. `at` is in seconds since 1970.
    pub fn advance(&mut self, at: i64) {
        let day = at.div_euclid(DAY);
        let passed = day - *self.day.get_or_insert(day);
        if passed <= 0 {
            return;
        }
        self.day = Some(day);
        #[expect(clippy::cast_precision_loss, reason = "days of a log")]
        let days = passed as f64;
        self.counts.fade(days);
        self.refit(days);
    }

    fn refit(&mut self, days: f64) {
        let shipped = Curve::shipped();
        let all = Curve::blend(&shipped, &self.counts.sum(None), self.observed(&shipped));
        let mut bases: BTreeMap<Basis, Curve> = BTreeMap::new();
        let mut curves = BTreeMap::new();
        for (group, counts) in self.counts.groups() {
            let own = self.curve(group).copied().unwrap_or_default();
            let observed = self.observed(&own);
            let basis = *bases.entry(group.basis).or_insert_with_key(|basis| {
                let own = self.by_basis.get(basis).copied().unwrap_or_default();
                Curve::blend(&all, &self.counts.sum(Some(*basis)), self.observed(&own))
            });
            curves.insert(group, bounded(&Curve::blend(&basis, counts, observed), &own, days));
        }
        for (basis, curve) in &mut bases {
            *curve = bounded(curve, &self.by_basis.get(basis).copied().unwrap_or_default(), days);
        }
        (self.curves, self.by_basis) = (curves, bases);
    }

    /// The curve of a group, or of its parent if it has none.
    fn curve(&self, group: Group) -> Option<&Curve> {
        self.curves.get(&group).or_else(|| self.by_basis.get(&group.basis))
    }

    /// The first cell that is stopped.
    fn observed(&self, curve: &Curve) -> usize {
        self.stopped_from.map_or(CELLS, |stop| curve.first_cell_from(stop))
    }
}

fn bounded(curve: &Curve, previous: &Curve, days: f64) -> Curve {
    curve.within(previous, MAX_FALL_PER_DAY * days, MAX_RISE_PER_DAY * days)
}
