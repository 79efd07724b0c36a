//! Flat Freeman: the sum over seven features of the log ratio of global to user frequency, with one pseudo-count.

use super::{AllUsers, Baseline, FEATURES, Login, UserCounts};

/// The model of Freeman et al. (NDSS 2016) without a hierarchy, with smoothing 1.
pub struct Freeman;

impl Baseline for Freeman {
    fn name(&self) -> &'static str {
        "flat Freeman"
    }

    fn score(&self, login: &Login, own: &UserCounts, all: &AllUsers) -> f64 {
        (0..FEATURES)
            .map(|feature| {
                let global = (all.count(login, feature) + 1.0) / (f64::from(all.successes) + 1.0);
                let user = (own.count(login, feature) + global) / (f64::from(own.successes) + 1.0);
                (global / user).ln()
            })
            .sum()
    }
}
