//! What happens when: three minutes with a calm hour, a credential-stuffing wave, an outage of the risk service and its recovery.

use std::time::Duration;

/// Length of the script; then it begins again.
pub const LENGTH: Duration = Duration::from_secs(180);

/// One part of the script.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scene {
    /// When it begins, in seconds of the script.
    begins: u64,
    /// What the terminal says when it begins.
    pub title: &'static str,
    /// Legitimate sign-ins a second.
    pub people: f64,
    /// Attackers' sign-ins a second.
    pub attackers: f64,
    /// How the risk service fares.
    pub service: Condition,
}

/// How the risk service fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Quick, seldom slow.
    Well,
    /// Takes questions and never answers them.
    Hangs,
    /// Answers with errors.
    Fails,
}

/// The scenes, in order.
pub const SCENES: [Scene; 6] = [
    Scene { begins: 0, title: "a calm hour", people: 9.0, attackers: 0.15, service: Condition::Well },
    Scene { begins: 55, title: "a credential-stuffing wave", people: 9.0, attackers: 32.0, service: Condition::Well },
    Scene { begins: 100, title: "the wave ebbs", people: 9.0, attackers: 1.5, service: Condition::Well },
    Scene { begins: 115, title: "the risk service hangs", people: 9.0, attackers: 0.4, service: Condition::Hangs },
    Scene { begins: 130, title: "the risk service answers with errors", people: 9.0, attackers: 0.4, service: Condition::Fails },
    Scene { begins: 145, title: "it has recovered", people: 9.0, attackers: 0.3, service: Condition::Well },
];

/// The scene at a moment of the script, which repeats.
pub fn scene(elapsed: Duration) -> &'static Scene {
    let second = elapsed.as_secs() % LENGTH.as_secs();
    SCENES.iter().rev().find(|scene| scene.begins <= second).unwrap_or(&SCENES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_holds_a_wave_an_outage_and_a_recovery_and_repeats() {
        let at = |second| scene(Duration::from_secs(second));
        assert!(at(70).attackers > 20.0 * at(10).attackers);
        assert_eq!((at(120).service, at(135).service, at(170).service), (Condition::Hangs, Condition::Fails, Condition::Well));
        assert_eq!(at(190), at(10));
    }
}
