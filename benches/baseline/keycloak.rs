//! The constants of keycloak-adaptive-authn (2026), its city read as the provider: evidence summed, then a logistic.

use super::{Everybody, Known, Login, Peer};

/// Evidence of address, place and hour.
pub struct Keycloak;

impl Peer for Keycloak {
    fn name(&self) -> &'static str {
        "keycloak-adaptive-authn"
    }

    fn score(&self, login: &Login, own: &Known, _: &Everybody) -> f64 {
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
        address + place + hour(login, own) - 0.5
    }
}

/// Distance from the person's mean hour, once five sign-ins agree on one.
fn hour(login: &Login, own: &Known) -> f64 {
    let Some((x, y)) = own.clock.filter(|(x, y)| own.successes >= 5 && x.hypot(*y) >= 0.3) else { return 0.0 };
    let mean = y.atan2(x).rem_euclid(std::f64::consts::TAU) / std::f64::consts::TAU * 24.0;
    let apart = (login.hour - mean).abs();
    match apart.min(24.0 - apart) {
        apart if apart < 2.0 => 0.1,
        apart if apart < 4.0 => 0.4,
        apart if apart < 6.0 => 0.8,
        apart if apart < 8.0 => 1.5,
        _ => 2.0,
    }
}
