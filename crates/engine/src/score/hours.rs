//! The hour of the day: the user's own hours, smoothed with a von Mises kernel, compared with the hours of attackers.

use crate::score::{
    table::{Table, TableError},
    weights::Weights,
};

/// Curves over the 24 hours of local time, and the kernel that smooths a user's own hours.
#[derive(Debug, Clone, PartialEq)]
pub struct Hours {
    /// The share of legitimate sign-ins by hour.
    legit: [f64; 24],
    /// ln of the share of failed sign-ins by hour.
    ln_attack: [f64; 24],
    /// The von Mises kernel by distance in hours, with the sum 1.
    kernel: [f64; 24],
    prior: f64,
    clip: f64,
}

impl Hours {
    /// Parses the curves.
    pub(super) fn parse(text: &str, weights: &Weights) -> Result<Self, TableError> {
        let table = Table::read("hours.csv", text, &["hour", "legit", "attack"])?;
        let (mut legit, mut attack) = ([0.0; 24], [0.0; 24]);
        for row in table.rows() {
            let hour = row.text(0).parse::<usize>().ok().filter(|hour| *hour < 24).ok_or_else(|| row.error("the hour must be 0 to 23"))?;
            legit[hour] = row.number(1, 0.0, 1e12)?;
            attack[hour] = row.number(2, 0.0, 1e12)?;
        }
        Ok(Hours {
            legit: shares(legit),
            ln_attack: shares(attack).map(f64::ln),
            kernel: kernel(weights.hour_kappa),
            prior: weights.hour_prior,
            clip: weights.hour_clip,
        })
    }

    /// The log ratio of attackers to this user at an hour. For a user without history, the ratio of attackers to all users.
    pub fn ratio(&self, own: &[u8; 24], hour: u8) -> f64 {
        let hour = usize::from(hour) % 24;
        let (mut smooth, mut total) = (0.0, 0.0);
        for (at, count) in own.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            smooth += count * self.kernel[(hour + 24 - at) % 24];
            total += count;
        }
        let user = (smooth + self.prior * self.legit[hour]) / (total + self.prior);
        (self.ln_attack[hour] - user.ln()).clamp(-self.clip, self.clip)
    }
}

/// Shares with the sum 1, smoothed to be above zero.
fn shares(counts: [f64; 24]) -> [f64; 24] {
    let total: f64 = counts.iter().sum();
    counts.map(|count| (count + 1.0 / 24.0) / (total + 1.0))
}

/// The von Mises density, exp(kappa cos x), on 24 bins, normalised.
fn kernel(kappa: f64) -> [f64; 24] {
    let mut kernel = [0.0; 24];
    for (bin, value) in (0_u8..).zip(&mut kernel) {
        *value = (kappa * (std::f64::consts::TAU * f64::from(bin) / 24.0).cos()).exp();
    }
    let total: f64 = kernel.iter().sum();
    kernel.map(|value| value / total)
}
