//! Claims in tokens, and what is withheld from them.

use std::time::Duration;

use super::env::{Reader, duration};

/// Claims in tokens, and what is withheld from them.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// What the claims' names start with. `CLAIM_PREFIX`, default `riskgate:`.
    pub claim_prefix: String,
    /// Groups withheld while a sign-in is under review or was let in degraded. `WITHHOLD_GROUPS`.
    pub withhold_groups: Vec<String>,
    /// Scopes withheld likewise. `WITHHOLD_SCOPES`.
    pub withhold_scopes: Vec<String>,
    /// How long. `REVIEW_HOLD`, default 24 h.
    pub review_hold: Duration,
    /// App clients that get no token. `DENY_CLIENTS`.
    pub denied_clients: Vec<String>,
}

impl TokenConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        TokenConfig {
            claim_prefix: r.text("CLAIM_PREFIX").unwrap_or_else(|| "riskgate:".to_owned()),
            withhold_groups: r.list("WITHHOLD_GROUPS", |v| Ok(v.to_owned())),
            withhold_scopes: r.list("WITHHOLD_SCOPES", |v| Ok(v.to_owned())),
            review_hold: r.parsed("REVIEW_HOLD", duration).unwrap_or(Duration::from_secs(24 * 3600)),
            denied_clients: Vec::new(),
        }
    }
}
