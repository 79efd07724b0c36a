//! Promised and realised false-positive rates of a pool, for metrics.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// The groups with metrics: all, and what the score had to go on. Countries are on the page only, because their number has no bound.
pub const METRIC_GROUPS: [&str; 5] = ["all", "no_history", "one_day", "established", "no_context"];

/// What one threshold promises to one group, and what the group's sign-ins had.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PromisedRate {
    /// The group: all, or what the score had to go on.
    pub group: &'static str,
    /// The threshold: review, challenge or deny.
    pub threshold: &'static str,
    /// The promised share.
    pub promised: f64,
    /// The realised share and the ends of its 95 % interval. `None` if it is not observed.
    pub realised: Option<[f64; 3]>,
}

/// The rates of the pool with the most counted sign-ins, and how far its own scale has moved.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CalibrationRates {
    /// The rates.
    pub rates: Vec<PromisedRate>,
    /// The difference of the pool's own scale to the shipped one at the thresholds, in points.
    pub from_shipped: f64,
    /// The difference to the pool's own scale of a week before. `None` in the first week.
    pub from_week_before: Option<f64>,
}

/// The last rates.
#[derive(Debug, Default)]
pub struct CalibrationHealth {
    rates: Mutex<CalibrationRates>,
    /// The bits of the excess, which is read for each sign-in.
    excess: AtomicU64,
}

impl CalibrationHealth {
    /// Sets the rates.
    pub fn set(&self, rates: CalibrationRates) {
        let of_all = rates.rates.iter().filter(|rate| rate.group == "all" && rate.promised > 0.0);
        let excess = of_all.filter_map(|rate| rate.realised.map(|[_, low, _]| low / rate.promised)).fold(0.0, f64::max);
        self.excess.store(excess.to_bits(), Ordering::Relaxed);
        *self.lock() = rates;
    }

    /// The rates.
    pub fn rates(&self) -> CalibrationRates {
        self.lock().clone()
    }

    /// The lower end of the realised share of all sign-ins divided by the promised share, for the threshold where this is highest. 0 if nothing is
    /// observed.
    pub fn excess(&self) -> f64 {
        f64::from_bits(self.excess.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, CalibrationRates> {
        // Consistent even after a panic under the lock, because complete values are stored.
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
