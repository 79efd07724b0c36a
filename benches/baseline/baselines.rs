//! Simple counts: SIMPLE (is the address known?), mismatches, and an ad-hoc weighted sum.

use super::{AllUsers, Baseline, FEATURES, Login, UserCounts};

/// The single-feature model of GOG.com, as observed by Wiefling et al. (2021): an unknown address is risky.
pub struct Simple;

/// The number of new features, out of seven.
pub struct Mismatches;

/// The sum of points for each new feature.
pub struct WeightedSum;

/// Points for a new address, country, provider, user agent, browser, system and device type. Plausible values, not fitted.
const POINTS: [f64; FEATURES] = [10.0, 40.0, 25.0, 5.0, 8.0, 12.0, 15.0];

impl Baseline for Simple {
    fn name(&self) -> &'static str {
        "SIMPLE (IP seen?)"
    }

    fn score(&self, login: &Login, own: &UserCounts, _: &AllUsers) -> f64 {
        if own.has(login, 0) { 0.0 } else { 1.0 }
    }
}

impl Baseline for Mismatches {
    fn name(&self) -> &'static str {
        "mismatch count (7)"
    }

    fn score(&self, login: &Login, own: &UserCounts, _: &AllUsers) -> f64 {
        (0..FEATURES).filter(|feature| !own.has(login, *feature)).count() as f64
    }
}

impl Baseline for WeightedSum {
    fn name(&self) -> &'static str {
        "ad-hoc weighted sum"
    }

    fn score(&self, login: &Login, own: &UserCounts, _: &AllUsers) -> f64 {
        (0..FEATURES).filter(|feature| !own.has(login, *feature)).map(|feature| POINTS[feature]).sum::<f64>() / 10.0
    }
}
