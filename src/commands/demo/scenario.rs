//! The scenario: three minutes with normal traffic, a credential-stuffing wave, an outage of the risk service and its recovery.

use std::time::Duration;

/// The length of the scenario, which then repeats.
pub const LENGTH: Duration = Duration::from_secs(180);

/// One phase of the scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// The start in seconds of the scenario.
    start: u64,
    /// The title that is printed at the start.
    pub title: &'static str,
    /// Legitimate sign-ins per second.
    pub users: f64,
    /// Sign-ins of attackers per second.
    pub attackers: f64,
    /// The condition of the risk service.
    pub service: Condition,
}

/// The condition of the risk service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It answers fast, and sometimes slowly.
    Healthy,
    /// It accepts requests and does not answer.
    Hangs,
    /// It answers with errors.
    Fails,
}

/// The phases in order.
pub const PHASES: [Phase; 6] = [
    Phase { start: 0, title: "normal traffic", users: 9.0, attackers: 0.15, service: Condition::Healthy },
    Phase { start: 55, title: "credential stuffing", users: 9.0, attackers: 32.0, service: Condition::Healthy },
    Phase { start: 100, title: "the wave fades", users: 9.0, attackers: 1.5, service: Condition::Healthy },
    Phase { start: 115, title: "the risk service hangs", users: 9.0, attackers: 0.4, service: Condition::Hangs },
    Phase { start: 130, title: "the risk service fails", users: 9.0, attackers: 0.4, service: Condition::Fails },
    Phase { start: 145, title: "the risk service is back", users: 9.0, attackers: 0.3, service: Condition::Healthy },
];

/// The number of complete rounds of the repeating scenario at a time.
pub fn round(elapsed: Duration) -> u64 {
    elapsed.as_secs() / LENGTH.as_secs()
}

/// The phase at a time of the repeating scenario.
pub fn phase(elapsed: Duration) -> &'static Phase {
    let second = elapsed.as_secs() % LENGTH.as_secs();
    PHASES.iter().rev().find(|phase| phase.start <= second).unwrap_or(&PHASES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenario_has_a_wave_an_outage_and_a_recovery_and_repeats() {
        let at = |second| phase(Duration::from_secs(second));
        assert!(at(70).attackers > 20.0 * at(10).attackers);
        assert_eq!((at(120).service, at(135).service, at(170).service), (Condition::Hangs, Condition::Fails, Condition::Healthy));
        assert_eq!(at(190), at(10));
    }
}
