//! The configuration. Every variable is read once at start, and all faults are reported together.
//!
//! Each concern has its own struct in its own file and is passed only to the component that uses it.

use serde::Serialize;

use crate::{
    budget::BudgetConfig,
    challenge::ChallengeConfig,
    dashboard::DashboardConfig,
    env::{ConfigError, EnvSource, Reader},
    history::{HistoryConfig, StoreConfig},
    networks::NetworksConfig,
    services::ServicesConfig,
    sessions::SessionConfig,
    sidecar::SidecarConfig,
    step_up::StepUpConfig,
    telemetry::TelemetryConfig,
    token::TokenConfig,
    trust::TrustConfig,
    variables::{Disclosure, PER_SERVICE, PREFIX, SERVICES, Scope, VARIABLES},
};
use riskgate_engine::settings::DecisionConfig;

pub mod budget;

pub mod challenge;

pub mod context_key;

pub mod dashboard;

pub mod decision;

pub mod encoding;

pub mod env;

pub mod explain;

pub mod history;

pub mod networks;

pub mod service_links;

pub mod notices;

pub mod pseudonym;

pub mod services;

pub mod sessions;

pub mod sidecar;

pub mod step_up;

pub mod telemetry;

#[cfg(test)]
mod tests;

pub mod token;

pub mod trust;

pub mod variables;

/// The complete configuration in effect.
#[derive(Debug, Clone)]
pub struct Config {
    /// Thresholds, lists and modes.
    pub decision: DecisionConfig,
    /// Deadlines.
    pub budget: BudgetConfig,
    /// Risk services and the cache of their answers.
    pub services: ServicesConfig,
    /// Store, learning and the model.
    pub history: HistoryConfig,
    /// Claims in tokens.
    pub token: TokenConfig,
    /// Codes of the custom challenge.
    pub challenge: ChallengeConfig,
    /// Verified sessions.
    pub sessions: SessionConfig,
    /// Verification of tokens, for step-up.
    pub step_up: StepUpConfig,
    /// Which client contexts are trusted.
    pub trust: TrustConfig,
    /// The operator's custom mmdb files.
    pub networks: NetworksConfig,
    /// The HTTP sidecar.
    pub sidecar: SidecarConfig,
    /// Who may see and act in the dashboard.
    pub dashboard: DashboardConfig,
    /// Logs, metrics and audit lines.
    pub telemetry: TelemetryConfig,
    /// How Lambda reacts to a faulty configuration.
    pub on_bad_config: OnBadConfig,
    /// Secret variables, by name without prefix, that refer to a secrets service and are not resolved yet.
    pub pending_secrets: Vec<String>,
}

/// How Lambda reacts to a faulty configuration (`ON_BAD_CONFIG`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadConfig {
    /// Faulty variables take their defaults, and riskgate runs in monitor mode and reports each fault.
    #[default]
    Monitor,
    /// Initialization fails, and every sign-in fails with it.
    Refuse,
}

impl Config {
    /// Reads the configuration and returns it with all its faults. A faulty variable takes its default.
    pub fn read(source: &dyn EnvSource) -> (Self, Vec<ConfigError>) {
        let mut reader = Reader::new(source);
        let r = &mut reader;
        let budget = BudgetConfig::read(r);
        let decision = decision::read(r);
        let services = ServicesConfig::read(r, &budget);
        let mut config = Config {
            decision,
            challenge: ChallengeConfig::read(r, &services.plain_origins),
            sessions: SessionConfig::read(r, &services.plain_origins),
            services,
            step_up: StepUpConfig::read(r, &budget),
            budget,
            history: HistoryConfig::read(r),
            token: TokenConfig::read(r),
            trust: TrustConfig::read(r),
            networks: NetworksConfig::read(r),
            sidecar: SidecarConfig::read(r),
            dashboard: DashboardConfig::read(r),
            telemetry: TelemetryConfig::read(r),
            on_bad_config: r.choice("ON_BAD_CONFIG", &[("monitor", OnBadConfig::Monitor), ("refuse", OnBadConfig::Refuse)]),
            pending_secrets: Vec::new(),
        };
        let has_key = !config.history.pseudonym_keys.is_empty() || r.is_secret_pending("PSEUDONYM_KEY");
        if config.challenge.delivery.is_some() && !has_key && matches!(config.history.store, StoreConfig::Memory) {
            r.add_fault("PSEUDONYM_KEY", "is needed because codes are sent: their hashes must be equal in every process");
        }
        if config.sessions.queue.is_some() && matches!(config.history.store, StoreConfig::Memory) {
            r.add_fault("SESSION_QUEUE", "needs a store that several processes share: the session function is another process");
        }
        let (pending_secrets, faults) = reader.finish();
        config.pending_secrets = pending_secrets;
        config.token.denied_clients.clone_from(&config.decision.deny_clients);
        config.token.challenge_acr_values.clone_from(&config.decision.challenge_acr_values);
        config.step_up.acr_values.clone_from(&config.decision.challenge_acr_values);
        (config, faults)
    }

    /// Whether a secret variable, by its name without prefix, is not resolved yet.
    pub fn is_secret_pending(&self, name: &str) -> bool {
        self.pending_secrets.iter().any(|pending| pending == name)
    }

    /// The configuration of an empty environment.
    pub fn defaults() -> Self {
        let (config, faults) = Self::read(&std::collections::BTreeMap::<String, String>::new());
        debug_assert!(faults.is_empty(), "the defaults are faulty: {faults:?}");
        config
    }
}

/// One variable with its current value, for `riskgate config` and Lambda's configuration check.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// The group under which it is listed.
    pub group: &'static str,
    /// The full name, with the prefix and the client or service part.
    pub name: String,
    /// The value that is set, with secrets masked. `None` when the default applies.
    pub value: Option<String>,
    /// The default.
    pub default: &'static str,
    /// Where the value is set: `environment`, or the path of the file that `NAME_FILE` names. `None` when the default applies.
    pub source: Option<String>,
    /// What the variable does.
    pub meaning: String,
    /// Whether the value is a secret, which the deployed template must not show.
    pub secret: bool,
}

/// Lists every variable, every per-service variable, and the per-client variables that are set.
pub fn settings(source: &dyn EnvSource) -> Vec<Setting> {
    let setting = |group, name: &str, default, meaning: &str, disclosure| {
        let value = Reader::new(source).text(name).map(|value| if disclosure == Disclosure::Secret || value.contains("://") { mask(&value) } else { value });
        let file = source.value(&format!("{PREFIX}{name}_FILE")).filter(|path| !path.is_empty());
        let origin = value.as_ref().map(|_| file.unwrap_or_else(|| "environment".to_owned()));
        let is_secret = disclosure == Disclosure::Secret;
        Setting { group, name: format!("{PREFIX}{name}"), value, default, source: origin, meaning: meaning.to_owned(), secret: is_secret }
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

/// Masks a secret. A URL loses its credentials and query and shows its host, which helps to find mistakes.
fn mask(value: &str) -> String {
    match value.split_once("://") {
        Some((scheme, rest)) => {
            let rest = rest.rsplit_once('@').map_or(rest.to_owned(), |(_, host)| format!("***@{host}"));
            let base = rest.split(['?', '#']).next().unwrap_or_default();
            format!("{scheme}://{base}")
        }
        None => "***".to_owned(),
    }
}
