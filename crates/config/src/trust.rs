//! Which client contexts are trusted, and which pools are served.

use std::time::Duration;

use secrecy::ExposeSecret;

use crate::{
    context_key::{self, ContextKey},
    env::{Reader, duration, one_of},
};
use riskgate_engine::settings::PerClient;

/// Which client contexts are trusted, and which pools are served.
#[derive(Debug, Clone)]
pub struct TrustConfig {
    /// Verification keys of signed contexts. `CONTEXT_KEYS`.
    pub context_keys: Vec<ContextKey>,
    /// The maximum age of a signed context. `CONTEXT_MAX_AGE`, default 5 min.
    pub context_max_age: Duration,
    /// App clients whose context is trusted without a signature. `TRUSTED_CLIENTS`.
    pub trusted_clients: Vec<String>,
    /// How unsigned claims are used. `UNTRUSTED_CONTEXT`.
    pub untrusted_context: PerClient<UntrustedContext>,
    /// User pools that are served; all when empty. `POOLS`.
    pub pools: Vec<String>,
    /// The user attribute that names the tenant. `TENANT_ATTRIBUTE`.
    pub tenant_attribute: Option<String>,
}

/// How unsigned claims are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UntrustedContext {
    /// They can only raise the score.
    #[default]
    Score,
    /// They are ignored.
    Ignore,
}

impl TrustConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let keys = r.secret("CONTEXT_KEYS");
        TrustConfig {
            context_keys: keys.map(|text| context_key::parse_all(text.expose_secret(), |problem| r.add_fault("CONTEXT_KEYS", problem))).unwrap_or_default(),
            context_max_age: r.parsed("CONTEXT_MAX_AGE", duration).unwrap_or(Duration::from_secs(300)),
            trusted_clients: r.list("TRUSTED_CLIENTS", |v| Ok(v.to_owned())),
            untrusted_context: r.per_client("UNTRUSTED_CONTEXT", UntrustedContext::Score, |v| {
                one_of(v, &[("score", UntrustedContext::Score), ("ignore", UntrustedContext::Ignore)])
            }),
            pools: r.list("POOLS", |v| Ok(v.to_owned())),
            tenant_attribute: r.text("TENANT_ATTRIBUTE"),
        }
    }

    /// Whether a user pool is served.
    pub fn serves(&self, pool: &str) -> bool {
        self.pools.is_empty() || self.pools.iter().any(|served| served == pool)
    }

    /// Whether an app client's context is trusted without a signature.
    pub fn trusts(&self, client: &str) -> bool {
        !client.is_empty() && self.trusted_clients.iter().any(|trusted| trusted == client)
    }
}
