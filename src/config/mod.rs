//! The configuration: every variable, read once at start, all faults reported at once.
//!
//! One struct a concern, each in its own file, each handed only to the room that it concerns.

pub mod budget;

pub mod decision;

pub mod env;

pub mod history;

pub mod networks;

pub mod services;

pub mod sidecar;

pub mod telemetry;

pub mod token;

pub mod trust;

pub mod variables;

use self::{
    budget::BudgetConfig,
    decision::DecisionConfig,
    env::{Fault, Reader, Strings},
    history::HistoryConfig,
    networks::NetworksConfig,
    services::ServicesConfig,
    sidecar::SidecarConfig,
    telemetry::TelemetryConfig,
    token::TokenConfig,
    trust::TrustConfig,
};

/// The whole configuration in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// Thresholds, lists, modes.
    pub decision: DecisionConfig,
    /// Deadlines.
    pub budget: BudgetConfig,
    /// Outside services and their cache.
    pub services: ServicesConfig,
    /// Store, learning and the model.
    pub history: HistoryConfig,
    /// Claims in tokens.
    pub token: TokenConfig,
    /// Whose context is believed.
    pub trust: TrustConfig,
    /// mmdb files of the operator's own.
    pub networks: NetworksConfig,
    /// The HTTP face.
    pub sidecar: SidecarConfig,
    /// Logs, metrics, audit.
    pub telemetry: TelemetryConfig,
    /// What a fault means in Lambda.
    pub on_bad_config: OnBadConfig,
}

/// What Lambda does with a faulty configuration (`ON_BAD_CONFIG`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadConfig {
    /// Defaults stand in for the faulty variables and the gate runs in monitor mode, loudly.
    #[default]
    Monitor,
    /// Init fails, and with it every sign-in.
    Refuse,
}

impl Config {
    /// Reads the configuration and every fault in it; a faulty variable leaves its default in force.
    pub fn read(source: &dyn Strings) -> (Self, Vec<Fault>) {
        let mut reader = Reader::new(source);
        let r = &mut reader;
        let budget = BudgetConfig::read(r);
        let config = Config {
            decision: DecisionConfig::read(r),
            services: ServicesConfig::read(r, &budget),
            budget,
            history: HistoryConfig::read(r),
            token: TokenConfig::read(r),
            trust: TrustConfig::read(r),
            networks: NetworksConfig::read(r),
            sidecar: SidecarConfig::read(r),
            telemetry: TelemetryConfig::read(r),
            on_bad_config: r.choice("ON_BAD_CONFIG", &[("monitor", OnBadConfig::Monitor), ("refuse", OnBadConfig::Refuse)]),
        };
        (config, reader.finish())
    }

    /// The configuration with nothing set.
    pub fn defaults() -> Self {
        let (config, faults) = Self::read(&std::collections::BTreeMap::<String, String>::new());
        debug_assert!(faults.is_empty(), "defaults have no fault: {faults:?}");
        config
    }
}

#[cfg(test)]
mod tests;
