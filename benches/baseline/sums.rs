//! Counting: SIMPLE (is the address known?), mismatches, and a weighted sum as one would write it in an afternoon.

use super::{Everybody, FEATURES, Known, Login, Peer};

/// Single-feature model of GOG.com, as observed by Wiefling et al. (2021): an unknown address is risky.
pub struct Simple;

/// How many of the seven features are new.
pub struct Mismatches;

/// Points for what is new, in the order of FEATURES.
pub struct WeightedSum;

/// Address, country, provider, user agent, browser, system, device type: weights as hobby projects choose them.
const POINTS: [f64; FEATURES] = [10.0, 40.0, 25.0, 5.0, 8.0, 12.0, 15.0];

impl Peer for Simple {
    fn name(&self) -> &'static str {
        "SIMPLE (IP seen?)"
    }

    fn score(&self, login: &Login, own: &Known, _: &Everybody) -> f64 {
        if own.has(login, 0) { 0.0 } else { 1.0 }
    }
}

impl Peer for Mismatches {
    fn name(&self) -> &'static str {
        "mismatch count (7)"
    }

    fn score(&self, login: &Login, own: &Known, _: &Everybody) -> f64 {
        (0..FEATURES).filter(|feature| !own.has(login, *feature)).count() as f64
    }
}

impl Peer for WeightedSum {
    fn name(&self) -> &'static str {
        "ad-hoc weighted sum"
    }

    fn score(&self, login: &Login, own: &Known, _: &Everybody) -> f64 {
        (0..FEATURES).filter(|feature| !own.has(login, *feature)).map(|feature| POINTS[feature]).sum::<f64>() / 10.0
    }
}
