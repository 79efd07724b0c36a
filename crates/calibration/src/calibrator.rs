//! The calibration of a pool over its days.

use std::collections::BTreeMap;

use riskgate_engine::score::scale::CalibrationSource;

use crate::{
    counts::{CELL_WIDTH, CELLS, Counts, HALF_LIFE_DAYS},
    curve::Curve,
    group::{Basis, Group},
    promise::{Drift, GroupPromises, Thresholds, drift, promises, spread},
    success_cell::SuccessCell,
};

/// The most points by which a score moves in a day: in 30 days a factor of 1.47 of the promised share, whoever fills the counts.
pub const MAX_MOVE_PER_DAY: f64 = 0.14;

/// The most points by which a score rises in a day while the pool is new. A rise stops more sign-ins, but an attacker gains nothing from it.
pub const MAX_FIRST_RISE_PER_DAY: f64 = 3.0;

/// The days in which a pool is new. A scale that is 28 times too lax is corrected in 12 of them.
pub const FIRST_DAYS: i64 = 60;

/// The most points by which the curve of a country is above that of its parent, which has the counts of more people.
pub const MAX_ABOVE_PARENT: f64 = 10.0;

/// The most groups with a country of their own. The others have the curve of their basis.
pub const MAX_COUNTRIES: usize = 80;

/// The counts of realised scores lose half of their weight in this many days.
pub const REALISED_HALF_LIFE_DAYS: f64 = 30.0;

/// The days for which the curve of all sign-ins is stored.
const DAYS: usize = 8;

const DAY: i64 = 86_400;

/// Counts successes, and moves the curves of the groups once a day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibrator {
    pub(crate) counts: Counts,
    pub(crate) curves: BTreeMap<Group, Curve>,
    pub(crate) by_basis: BTreeMap<Basis, Curve>,
    /// Successes by the score that they had on the scale in force.
    pub(crate) realised: Counts,
    /// The curve of all sign-ins, without a bound, at the end of each of the last days.
    pub(crate) overall: Vec<(i64, Curve)>,
    /// The first day on which the pool was counted, in days since 1970.
    pub(crate) first_day: Option<i64>,
    /// The day of the curves, in days since 1970.
    pub(crate) day: Option<i64>,
    /// When a success was last counted, in seconds since 1970.
    pub(crate) counted_at: Option<i64>,
    /// The successes that were counted.
    pub(crate) sign_ins: u64,
    /// The score from which sign-ins are stopped.
    pub(crate) stopped_from: Option<f64>,
    /// The scale of that score.
    pub(crate) stop_scale: CalibrationSource,
}

impl Calibrator {
    /// Creates a calibrator with the shipped scale. Sign-ins are stopped from the calibrated score `stopped_from` on; `None` in monitor mode.
    pub fn new(stopped_from: Option<f64>) -> Self {
        Calibrator::default().with_stop(stopped_from, CalibrationSource::Pool)
    }

    /// The same calibrator where sign-ins are stopped from another score on, on this scale; `None` in monitor mode.
    #[must_use]
    pub fn with_stop(self, stopped_from: Option<f64>, stop_scale: CalibrationSource) -> Self {
        Calibrator { stopped_from, stop_scale, ..self }
    }

    /// The successes that were counted.
    pub fn sign_ins(&self) -> u64 {
        self.sign_ins
    }

    /// Returns the calibrated score of a sign-in with this shipped score, as far as is known before it.
    pub fn score(&self, group: Group, shipped: f64) -> f64 {
        self.curve(group).map_or(shipped, |curve| curve.score(shipped))
    }

    /// Whether sign-ins of this group with this shipped score are let in, and therefore counted.
    pub fn is_observed(&self, group: Group, shipped: f64) -> bool {
        let Some(stop) = self.stopped_from else { return true };
        match self.curve(group).filter(|_| self.stop_scale == CalibrationSource::Pool) {
            Some(curve) => curve.is_observed(shipped),
            None => shipped < stop,
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

    /// Counts the successes of a minute that begins at `at`, in seconds since 1970; nothing if it was counted before. Users are counted once a day by
    /// the caller. Successes that were labelled fraud are removed, at most as many as are counted in their cell.
    pub fn take_up(&mut self, at: i64, successes: impl IntoIterator<Item = (SuccessCell, u64)>, removed: impl IntoIterator<Item = (SuccessCell, u64)>) {
        if self.counted_at.is_some_and(|last| at <= last) {
            return;
        }
        self.advance(at);
        for (SuccessCell { group, cell }, count) in successes {
            // Where sign-ins are stopped, those of a client in monitor mode are no sample of all.
            if count == 0 || !self.is_observed(group, f64::from(cell) * CELL_WIDTH) {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "sign-ins of a minute")]
            let weight = count as f64;
            self.counts.add_to_cell(group, cell.into(), weight);
            self.add_realised(group, cell.into(), weight);
            self.sign_ins = self.sign_ins.saturating_add(count);
            self.counted_at = Some(at);
        }
        for (SuccessCell { group, cell }, count) in removed {
            if count == 0 || !self.is_observed(group, f64::from(cell) * CELL_WIDTH) {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "labels of a minute")]
            let weight = self.counts.remove_from_cell(group, cell.into(), count as f64);
            self.add_realised(group, cell.into(), -weight);
            self.sign_ins = self.sign_ins.saturating_sub(count);
            self.counted_at = Some(at);
        }
    }

    /// Moves the curves, if a day has passed since they were moved. `at` is in seconds since 1970.
    pub fn advance(&mut self, at: i64) {
        let day = at.div_euclid(DAY);
        self.first_day.get_or_insert(day);
        let passed = day - *self.day.get_or_insert(day);
        if passed <= 0 {
            return;
        }
        self.day = Some(day);
        #[expect(clippy::cast_precision_loss, reason = "days of a log")]
        let days = passed as f64;
        self.counts.fade(days);
        self.realised.fade(days * HALF_LIFE_DAYS / REALISED_HALF_LIFE_DAYS);
        self.counts.merge_small_groups(MAX_COUNTRIES);
        self.refit(day, days);
    }

    /// What the thresholds promise to each group, and the shares that the counted successes had.
    pub fn promises(&self, thresholds: &Thresholds) -> Vec<GroupPromises> {
        promises(&self.realised, thresholds)
    }

    /// How far the pool's own scale is from the shipped one and from that of a week before.
    pub fn drift(&self, thresholds: &Thresholds) -> Drift {
        drift(&self.overall, thresholds)
    }

    /// Counts successes by the score that they had. Countries without a curve are counted with their basis.
    fn add_realised(&mut self, group: Group, cell: usize, count: f64) {
        let shipped = Curve::shipped();
        let curve = self.curve(group).filter(|_| self.stop_scale == CalibrationSource::Pool).unwrap_or(&shipped);
        let (from, to) = curve.edges(cell.min(CELLS - 1));
        let counted_as = if self.curves.contains_key(&group) { group } else { Group { country: None, ..group } };
        spread(self.realised.of_mut(counted_as), from, to, count);
    }

    fn refit(&mut self, day: i64, days: f64) {
        let shipped = Curve::shipped();
        let is_new = self.first_day.is_some_and(|first| day - first <= FIRST_DAYS);
        let rise = if is_new { MAX_FIRST_RISE_PER_DAY } else { MAX_MOVE_PER_DAY };
        let bounded = |curve: &Curve, previous: &Curve| curve.within(previous, MAX_MOVE_PER_DAY * days, rise * days);
        let all = Curve::blend(&shipped, &self.counts.sum(None), self.observed(&shipped));
        let mut bases = BTreeMap::new();
        let mut curves = BTreeMap::new();
        for (group, counts) in self.counts.groups() {
            let (parent, in_force) = *bases.entry(group.basis).or_insert_with_key(|basis| {
                let own = self.by_basis.get(basis).copied().unwrap_or_default();
                let parent = Curve::blend(&all, &self.counts.sum(Some(*basis)), self.observed(&own));
                (parent, bounded(&parent, &own))
            });
            let own = self.curve(group).copied().unwrap_or_default();
            let curve = bounded(&Curve::blend(&parent, counts, self.observed(&own)), &own);
            curves.insert(group, curve.at_most_above(&in_force, MAX_ABOVE_PARENT));
        }
        let bases = bases.into_iter().map(|(basis, (_, in_force))| (basis, in_force)).collect();
        (self.curves, self.by_basis) = (curves, bases);
        self.overall.push((day, all));
        self.overall.drain(..self.overall.len().saturating_sub(DAYS));
    }

    /// The curve of a group, or of its parent if it has none.
    fn curve(&self, group: Group) -> Option<&Curve> {
        self.curves.get(&group).or_else(|| self.by_basis.get(&group.basis))
    }

    /// The first cell that is stopped.
    fn observed(&self, curve: &Curve) -> usize {
        let in_force = if self.stop_scale == CalibrationSource::Pool { *curve } else { Curve::shipped() };
        self.stopped_from.map_or(CELLS, |stop| in_force.first_cell_from(stop))
    }
}
