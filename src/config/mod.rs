//! The configuration: every variable, read once at start, all faults reported at once.
//!
//! One struct a concern, each in its own file, each handed only to the room that it concerns.

pub mod budget;

pub mod context_key;

pub mod decision;

pub mod encoding;

pub mod env;

pub mod history;

pub mod networks;

mod platform;

pub mod refused_ip;

pub mod references;

pub mod services;

pub mod sidecar;

pub mod surroundings;

pub mod telemetry;

pub mod token;

pub mod trust;

pub mod variables;

use serde::Serialize;

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
    variables::{Disclosure, PER_SERVICE, PREFIX, SERVICES, Scope, VARIABLES},
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
    /// Secret variables, by name without prefix, whose value is kept elsewhere and is not here yet.
    pub awaited: Vec<String>,
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
        let mut config = Config {
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
            awaited: Vec::new(),
        };
        let (awaited, faults) = reader.finish();
        config.awaited = awaited;
        config.token.denied_clients.clone_from(&config.decision.deny_clients);
        (config, faults)
    }

    /// Whether a secret variable, by its name without prefix, is still waited for.
    pub fn awaits(&self, name: &str) -> bool {
        self.awaited.iter().any(|awaited| awaited == name)
    }

    /// The configuration with nothing set.
    pub fn defaults() -> Self {
        let (config, faults) = Self::read(&std::collections::BTreeMap::<String, String>::new());
        debug_assert!(faults.is_empty(), "defaults have no fault: {faults:?}");
        config
    }
}

/// One variable as it stands: for `riskgate config` and Lambda's check.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// The group under which it is listed.
    pub group: &'static str,
    /// The whole name, per-client and per-service ones included.
    pub name: String,
    /// The value that is set, secrets masked; `None` when the default holds.
    pub value: Option<String>,
    /// The default.
    pub default: &'static str,
    /// What it does.
    pub meaning: String,
    /// Whether its value is a secret: the deployed template must not show it.
    pub secret: bool,
}

/// Every variable, and every per-client and per-service one that is set.
pub fn settings(source: &dyn Strings) -> Vec<Setting> {
    let setting = |group, name: &str, default, meaning: &str, disclosure| {
        let value = Reader::new(source).text(name).map(|value| if disclosure == Disclosure::Secret || value.contains("://") { masked(&value) } else { value });
        Setting { group, name: format!("{PREFIX}{name}"), value, default, meaning: meaning.to_owned(), secret: disclosure == Disclosure::Secret }
    };
    let mut settings = Vec::new();
    for variable in VARIABLES {
        settings.push(setting(variable.group, variable.name, variable.default, variable.meaning, variable.disclosure));
        let clients =
            env::names(source).into_iter().filter_map(|name| name.strip_prefix(PREFIX)?.strip_prefix(variable.name)?.strip_prefix("__").map(str::to_owned));
        for client in clients.filter(|_| variable.scope == Scope::PerClient) {
            let meaning = format!("{} (this app client)", variable.meaning);
            settings.push(setting(variable.group, &format!("{}__{client}", variable.name), variable.default, &meaning, variable.disclosure));
        }
    }
    for service in SERVICES {
        for (suffix, default, meaning) in PER_SERVICE {
            settings.push(setting("services", &format!("{service}_{suffix}"), default, meaning, Disclosure::Open));
        }
    }
    settings
}

/// A secret as it may be shown; a URL keeps its host, since that is what people look for.
fn masked(value: &str) -> String {
    match value.split_once("://") {
        Some((scheme, rest)) => {
            let rest = rest.rsplit_once('@').map_or(rest.to_owned(), |(_, host)| format!("***@{host}"));
            let origin_and_path = rest.split(['?', '#']).next().unwrap_or_default();
            format!("{scheme}://{origin_and_path}")
        }
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests;
