//! keycloak-adaptive-authn (2026) with its constants. The provider takes the place of its city.
//!
//! The final logistic function is left out, because it does not change the order of scores.

use super::{AllUsers, Baseline, Login, UserCounts};

/// The sum of the evidence of address, place and hour.
pub struct Keycloak;

impl Baseline for Keycloak {
    fn name(&self) -> &'static str {
        "keycloak-adaptive-authn"
    }

    fn score(&self, login: &Login, own: &UserCounts, _: &AllUsers) -> f64 {
        let share = own.count(login, 0) / f64::from(own.successes.max(1));
        let address = if share == 0.0 {
            1.5
        } else if share >= 1.0 / 3.0 {
            -0.3
        } else {
            0.1
        };
        let place = match (own.has(login, 2), own.has(login, 1)) {
            (true, _) => -0.3,
            (false, true) => 0.1,
            (false, false) => 0.8,
        };
        address + place + score_hour(login, own) - 0.5
    }
}

/// Scores the distance from the user's mean hour. It is 0 before five sign-ins and when their hours are widely spread.
fn score_hour(login: &Login, own: &UserCounts) -> f64 {
    let Some((x, y)) = own.mean_hour.filter(|(x, y)| own.successes >= 5 && x.hypot(*y) >= 0.3) else { return 0.0 };
    let mean = y.atan2(x).rem_euclid(std::f64::consts::TAU) / std::f64::consts::TAU * 24.0;
    let distance = (login.hour - mean).abs();
    match distance.min(24.0 - distance) {
        distance if distance < 2.0 => 0.1,
        distance if distance < 4.0 => 0.4,
        distance if distance < 6.0 => 0.8,
        distance if distance < 8.0 => 1.5,
        _ => 2.0,
    }
}
