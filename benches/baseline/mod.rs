//! The same job as others do it, each re-implemented from its published formula: what the model has to beat.
//!
//! No code is theirs. Every peer sees the same rows in the same order, learns from successes only, and
//! gives a number that is higher for a riskier sign-in.

use std::collections::HashMap;

use jiff::Timestamp;
use riskgate::replay::rows::Row;

pub mod contest;

pub mod extend;

pub mod freeman;

pub mod keycloak;

pub mod sums;

/// The features that peers look at: address, country, provider, user agent, browser, system, device type.
pub const FEATURES: usize = 7;

/// One sign-in: hashes of the seven features, and the hour of the day in UTC.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// Hashes of address, country, provider, user agent, browser, system, device type.
    pub values: [u64; FEATURES],
    /// The hour, with its fraction.
    pub hour: f64,
}

/// What a person's successes were.
#[derive(Debug, Default, Clone)]
pub struct Known {
    /// How often each value was seen, by feature.
    pub counts: [HashMap<u64, u32>; FEATURES],
    /// Successes.
    pub successes: u32,
    /// Hours of the successes, as a running mean on the circle.
    pub clock: Option<(f64, f64)>,
}

/// What all successes were.
#[derive(Debug, Default)]
pub struct Everybody {
    /// How often each value was seen, by feature.
    pub counts: [HashMap<u64, u32>; FEATURES],
    /// Successes.
    pub successes: u32,
    /// People with a success.
    pub people: u32,
}

/// A way to score a sign-in of somebody with a history.
pub trait Peer {
    /// Its name in tables.
    fn name(&self) -> &'static str;
    /// The score: higher is riskier. No unit.
    fn score(&self, login: &Login, own: &Known, all: &Everybody) -> f64;
}

/// Every peer.
pub fn peers() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(sums::Simple),
        Box::new(sums::Mismatches),
        Box::new(sums::WeightedSum),
        Box::new(keycloak::Keycloak),
        Box::new(extend::Extend),
        Box::new(freeman::Freeman),
    ]
}

impl Login {
    /// The seven features of a row.
    pub fn of(row: &Row<'_>) -> Self {
        let values = [row.ip, row.country, row.asn, row.user_agent, row.browser, row.os, row.device_type].map(hash);
        let at: Timestamp = row.at;
        Login { values, hour: (at.as_second().rem_euclid(86_400)) as f64 / 3_600.0 }
    }
}

impl Known {
    /// Whether a value was seen.
    pub fn has(&self, login: &Login, feature: usize) -> bool {
        self.counts[feature].contains_key(&login.values[feature])
    }

    /// How often a value was seen.
    pub fn count(&self, login: &Login, feature: usize) -> f64 {
        f64::from(self.counts[feature].get(&login.values[feature]).copied().unwrap_or(0))
    }

    /// Learns a success.
    pub fn learn(&mut self, login: &Login) {
        for (counts, value) in self.counts.iter_mut().zip(login.values) {
            *counts.entry(value).or_default() += 1;
        }
        self.successes += 1;
        let angle = login.hour / 24.0 * std::f64::consts::TAU;
        let (x, y) = self.clock.unwrap_or((angle.cos(), angle.sin()));
        self.clock = Some((0.7 * x + 0.3 * angle.cos(), 0.7 * y + 0.3 * angle.sin()));
    }
}

impl Everybody {
    /// How often a value was seen.
    pub fn count(&self, login: &Login, feature: usize) -> f64 {
        f64::from(self.counts[feature].get(&login.values[feature]).copied().unwrap_or(0))
    }

    /// Learns a success.
    pub fn learn(&mut self, login: &Login) {
        for (counts, value) in self.counts.iter_mut().zip(login.values) {
            *counts.entry(value).or_default() += 1;
        }
        self.successes += 1;
    }
}

/// A hash of a text.
pub fn hash(text: &str) -> u64 {
    siphasher::sip::SipHasher13::new().hash(text.as_bytes())
}
