//! Settings of the policy and the model. `riskgate-config` reads them from environment variables.

use std::collections::HashMap;

use ipnet::IpNet;

/// Settings of the policy.
#[derive(Debug, Clone)]
pub struct DecisionConfig {
    /// Enforce or monitor. `MODE`.
    pub mode: PerClient<Mode>,
    /// The lowest score that is denied. `DENY_AT`, 0 to 100, default 80.
    pub deny_at: PerClient<f64>,
    /// The lowest score that is flagged for review. `REVIEW_AT`, 0 to 100, default 50.
    pub review_at: PerClient<f64>,
    /// The lowest score that is challenged, between `REVIEW_AT` and `DENY_AT`; `None` for no challenges. `CHALLENGE_AT`.
    pub challenge_at: PerClient<Option<f64>>,
    /// The authentication levels that answer a challenge, highest first. `CHALLENGE_ACR_VALUES`.
    pub challenge_acr_values: Vec<String>,
    /// What decides when no service has a usable answer. `FALLBACK`.
    pub fallback: PerClient<Fallback>,
    /// The lowest score that is denied under fallback `local`. `DEGRADED_DENY_AT`, 0 to 100; when unset,
    /// midway between `DENY_AT` and the threshold below it.
    pub degraded_deny_at: Option<f64>,
    /// How a sign-in without a public address is handled. `NO_IP`.
    pub no_ip: PerClient<NoIp>,
    /// The sentence before the id that a denied user sees. `DENY_MESSAGE`.
    pub deny_message: String,
    /// Networks that are allowed. `ALLOW_CIDRS`.
    pub allow_cidrs: Vec<IpNet>,
    /// Networks that are denied. `DENY_CIDRS`.
    pub deny_cidrs: Vec<IpNet>,
    /// App clients that are denied. `DENY_CLIENTS`.
    pub deny_clients: Vec<String>,
    /// Countries that are denied, two upper-case letters each. `DENY_COUNTRIES`.
    pub deny_countries: PerClient<Vec<String>>,
    /// Autonomous systems that are denied. `DENY_ASNS`.
    pub deny_asns: PerClient<Vec<u32>>,
    /// Autonomous systems that are allowed if the context is trusted. `ALLOW_ASNS`.
    pub allow_asns: PerClient<Vec<u32>>,
}

/// Whether verdicts are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Verdicts are enforced.
    #[default]
    Enforce,
    /// Verdicts are only recorded.
    Monitor,
}

/// What decides when every service that was called failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fallback {
    /// The local score, with `DEGRADED_DENY_AT` as the threshold.
    #[default]
    Local,
    /// Allow, unless a list or the local score denies.
    Allow,
    /// Deny.
    Deny,
}

/// How a sign-in without a public address is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoIp {
    /// It is scored with the remaining evidence.
    #[default]
    Score,
    /// It is allowed.
    Allow,
    /// It is denied.
    Deny,
}

impl Default for DecisionConfig {
    /// The values when no variable is set.
    fn default() -> Self {
        DecisionConfig {
            mode: PerClient::default(),
            deny_at: PerClient::all(80.0),
            review_at: PerClient::all(50.0),
            challenge_at: PerClient::default(),
            challenge_acr_values: ["urn:cognito:loa:4", "urn:cognito:loa:3"].map(str::to_owned).to_vec(),
            fallback: PerClient::default(),
            degraded_deny_at: None,
            no_ip: PerClient::default(),
            deny_message: "Sign-in was declined for security reasons. Contact support and quote".to_owned(),
            allow_cidrs: Vec::new(),
            deny_cidrs: Vec::new(),
            deny_clients: Vec::new(),
            deny_countries: PerClient::default(),
            deny_asns: PerClient::default(),
            allow_asns: PerClient::default(),
        }
    }
}

impl DecisionConfig {
    /// The lowest score at which a sign-in of any app client can be challenged or denied, including degraded ones.
    pub fn lowest_stop_threshold(&self) -> f64 {
        let clients = self.deny_at.clients.keys().chain(self.review_at.clients.keys()).chain(self.challenge_at.clients.keys()).map(String::as_str);
        let stop = |client| self.challenge_at.of(client).unwrap_or(100.0).min(self.degraded_deny_threshold(client));
        clients.chain([""]).map(stop).fold(100.0, f64::min)
    }

    /// The lowest score from which an app client in enforce mode stops sign-ins; `None` if all are in monitor mode.
    pub fn lowest_enforced_threshold(&self) -> Option<f64> {
        let clients = self.mode.clients.keys().chain(self.deny_at.clients.keys()).chain(self.challenge_at.clients.keys()).map(String::as_str).chain([""]);
        let enforcing = clients.filter(|client| *self.mode.of(client) == Mode::Enforce);
        enforcing.map(|client| self.challenge_at.of(client).unwrap_or(100.0).min(*self.deny_at.of(client))).reduce(f64::min)
    }

    /// The lowest score at which a degraded sign-in is denied under fallback `local`: at most `deny_at`.
    pub fn degraded_deny_threshold(&self, client: &str) -> f64 {
        let (deny_at, below) = (*self.deny_at.of(client), self.challenge_at.of(client).unwrap_or(*self.review_at.of(client)));
        self.degraded_deny_at.unwrap_or(f64::midpoint(deny_at, below)).min(deny_at)
    }
}

labels!(Mode, "The label in metrics and responses.", {
    Enforce "enforce"
    Monitor "monitor"
});

impl Fallback {
    /// The label in metrics and responses.
    pub fn as_label(self) -> &'static str {
        match self {
            Fallback::Local => "local",
            Fallback::Allow => "allow",
            Fallback::Deny => "deny",
        }
    }
}

/// A setting with overrides for single app clients, which are set as `NAME__<client id>`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PerClient<T> {
    /// The value for every other client.
    pub default: T,
    /// The overrides by client id.
    pub clients: HashMap<String, T>,
}

impl<T> PerClient<T> {
    /// One value for all clients.
    pub fn all(default: T) -> Self {
        PerClient { default, clients: HashMap::new() }
    }

    /// The value for one app client.
    pub fn of(&self, client: &str) -> &T {
        // Most deployments have no overrides; this avoids hashing the id.
        if self.clients.is_empty() { &self.default } else { self.clients.get(client).unwrap_or(&self.default) }
    }
}

/// Settings of the model.
#[derive(Debug, Clone, Copy)]
pub struct ModelConfig {
    /// The expected mixture of attackers. `MIXTURE`.
    pub mixture: MixtureProfile,
    /// The expected share of sign-ins that are attacks, 0.000001 to 0.5, default 0.005. `PRIOR`.
    pub prior: f64,
}

impl Default for ModelConfig {
    /// The values when no variable is set.
    fn default() -> Self {
        ModelConfig { mixture: MixtureProfile::Balanced, prior: 0.005 }
    }
}

/// The expected mixture of attackers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MixtureProfile {
    /// All types of attackers that the literature describes.
    #[default]
    Balanced,
    /// More weight on attackers who imitate the user's network and browser.
    Targeted,
}
