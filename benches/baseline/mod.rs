//! Published baselines that the model is compared with. Each is implemented from its formula, without its code.
//!
//! Every baseline reads the same rows in the same order, learns from successes only, and returns a score that is higher for a riskier
//! sign-in.

use std::collections::HashMap;

use jiff::Timestamp;
use riskgate_lab::rows::LogRecord;

pub mod baselines;

pub mod comparison;

pub mod extend;

pub mod freeman;

pub mod keycloak;

/// The number of features: address, country, provider, user agent, browser, system, device type.
pub const FEATURES: usize = 7;

/// One sign-in: hashes of the seven features, and the hour of the day in UTC.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// Hashes of address, country, provider, user agent, browser, system, device type.
    pub values: [u64; FEATURES],
    /// The hour, with its fraction.
    pub hour: f64,
}

/// The successes of one user.
#[derive(Debug, Default, Clone)]
pub struct UserCounts {
    /// The count of each value, by feature.
    pub counts: [HashMap<u64, u32>; FEATURES],
    /// The number of successes.
    pub successes: u32,
    /// The running mean of the hours, as a point in the unit circle.
    pub mean_hour: Option<(f64, f64)>,
}

/// The successes of all users.
#[derive(Debug, Default)]
pub struct AllUsers {
    /// The count of each value, by feature.
    pub counts: [HashMap<u64, u32>; FEATURES],
    /// The number of successes.
    pub successes: u32,
    /// The number of users with a success.
    pub users: u32,
}

/// A method that scores the sign-ins of users with a history.
pub trait Baseline {
    /// Returns its name in tables.
    fn name(&self) -> &'static str;
    /// Returns the score. It has no unit; higher is riskier.
    fn score(&self, login: &Login, own: &UserCounts, all: &AllUsers) -> f64;
}

/// Returns all baselines.
pub fn all() -> Vec<Box<dyn Baseline>> {
    vec![
        Box::new(baselines::Simple),
        Box::new(baselines::Mismatches),
        Box::new(baselines::WeightedSum),
        Box::new(keycloak::Keycloak),
        Box::new(extend::Extend),
        Box::new(freeman::Freeman),
    ]
}

impl Login {
    /// Hashes the seven features of a row.
    pub fn of(row: &LogRecord<'_>) -> Self {
        let values = [row.ip, row.country, row.asn, row.user_agent, row.browser, row.os, row.device_type].map(hash);
        let at: Timestamp = row.at;
        Login { values, hour: (at.as_second().rem_euclid(86_400)) as f64 / 3_600.0 }
    }
}

impl UserCounts {
    /// Whether the value of a feature was seen before.
    pub fn has(&self, login: &Login, feature: usize) -> bool {
        self.counts[feature].contains_key(&login.values[feature])
    }

    /// Returns the count of the value of a feature.
    pub fn count(&self, login: &Login, feature: usize) -> f64 {
        f64::from(self.counts[feature].get(&login.values[feature]).copied().unwrap_or(0))
    }

    /// Learns from a success.
    pub fn learn(&mut self, login: &Login) {
        for (counts, value) in self.counts.iter_mut().zip(login.values) {
            *counts.entry(value).or_default() += 1;
        }
        self.successes += 1;
        let angle = login.hour / 24.0 * std::f64::consts::TAU;
        let (x, y) = self.mean_hour.unwrap_or((angle.cos(), angle.sin()));
        self.mean_hour = Some((0.7 * x + 0.3 * angle.cos(), 0.7 * y + 0.3 * angle.sin()));
    }
}

impl AllUsers {
    /// Returns the count of the value of a feature.
    pub fn count(&self, login: &Login, feature: usize) -> f64 {
        f64::from(self.counts[feature].get(&login.values[feature]).copied().unwrap_or(0))
    }

    /// Learns from a success.
    pub fn learn(&mut self, login: &Login) {
        for (counts, value) in self.counts.iter_mut().zip(login.values) {
            *counts.entry(value).or_default() += 1;
        }
        self.successes += 1;
    }
}

/// Hashes a text.
pub fn hash(text: &str) -> u64 {
    siphasher::sip::SipHasher13::new().hash(text.as_bytes())
}
