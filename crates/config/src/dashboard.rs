//! Who may see and act in the dashboard.

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

use crate::env::Reader;
use riskgate_engine::client_ip::parse_network;

/// The shortest token and proxy secret, in characters.
const MIN_SECRET: usize = 16;

/// The longest name of an operator, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Who may see and act in the dashboard. Without any of these, it shows aggregates only.
#[derive(Debug, Clone, Default)]
pub struct DashboardConfig {
    /// The token that shows users and decisions. `DASHBOARD_VIEW_TOKEN`.
    pub view_token: Option<SecretString>,
    /// The operators who may act, each with a token. `DASHBOARD_OPERATORS`.
    pub operators: Vec<Operator>,
    /// The networks of the proxy that names operators. `DASHBOARD_PROXY_CIDRS`.
    pub proxy_cidrs: Vec<IpNet>,
    /// The secret that the proxy sends. `DASHBOARD_PROXY_SECRET`.
    pub proxy_secret: Option<SecretString>,
}

/// An operator who may act.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The name in audit lines.
    pub name: String,
    /// The token.
    pub token: SecretString,
}

impl DashboardConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let mut long_enough = |name: &str| {
            let secret = r.secret(name);
            if secret.as_ref().is_some_and(|secret| secret.expose_secret().len() < MIN_SECRET) {
                r.add_fault(name, "must be at least 16 characters");
                return None;
            }
            secret
        };
        let (view_token, proxy_secret) = (long_enough("DASHBOARD_VIEW_TOKEN"), long_enough("DASHBOARD_PROXY_SECRET"));
        let mut operators = Vec::new();
        if let Some(text) = r.secret("DASHBOARD_OPERATORS") {
            for (number, entry) in text.expose_secret().split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
                match Operator::parse(entry) {
                    Some(operator) => operators.push(operator),
                    None => r.add_fault("DASHBOARD_OPERATORS", format!("entry {} must be name=token, with a token of at least 16 characters", number + 1)),
                }
            }
        }
        let proxy_cidrs = r.list("DASHBOARD_PROXY_CIDRS", parse_network);
        let is_pending = r.is_secret_pending("DASHBOARD_PROXY_SECRET");
        if !proxy_cidrs.is_empty() && proxy_secret.is_none() && !is_pending {
            r.add_fault(
                "DASHBOARD_PROXY_SECRET",
                "is needed because DASHBOARD_PROXY_CIDRS is set: an address alone does not prove that a request is the proxy's",
            );
        }
        if proxy_cidrs.is_empty() && (proxy_secret.is_some() || is_pending) {
            r.add_fault("DASHBOARD_PROXY_CIDRS", "is needed because DASHBOARD_PROXY_SECRET is set: the networks that the proxy sends from");
        }
        DashboardConfig { view_token, operators, proxy_cidrs, proxy_secret }
    }
}

impl Operator {
    fn parse(entry: &str) -> Option<Self> {
        let (name, token) = entry.split_once('=')?;
        let (name, token) = (name.trim(), token.trim());
        (is_operator_name(name) && token.len() >= MIN_SECRET).then(|| Operator { name: name.to_owned(), token: SecretString::from(token.to_owned()) })
    }
}

/// Whether a text can be an operator's name: 1 to 64 bytes of letters, digits and `. _ - + @`, as in an e-mail address.
pub fn is_operator_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@');
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_allowed)
}
