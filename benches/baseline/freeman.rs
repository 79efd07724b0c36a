//! Flat Freeman: seven features, each the log ratio of everybody's share to the person's, one pseudo-count.

use super::{Everybody, FEATURES, Known, Login, Peer};

/// Freeman et al. (NDSS 2016) without hierarchy, smoothing 1.
pub struct Freeman;

impl Peer for Freeman {
    fn name(&self) -> &'static str {
        "flat Freeman"
    }

    fn score(&self, login: &Login, own: &Known, all: &Everybody) -> f64 {
        (0..FEATURES)
            .map(|feature| {
                let global = (all.count(login, feature) + 1.0) / (f64::from(all.successes) + 1.0);
                let person = (own.count(login, feature) + global) / (f64::from(own.successes) + 1.0);
                (global / person).ln()
            })
            .sum()
    }
}
