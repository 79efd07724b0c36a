//! Settings of token claims, and of the groups and scopes that are withheld.

use std::time::Duration;

use crate::env::{Reader, duration};

/// Settings of token claims, and of the groups and scopes that are withheld.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// The prefix of the claim names. `CLAIM_PREFIX`, default `riskgate:`.
    pub claim_prefix: String,
    /// Whether a challenged sign-in without a pass also withholds access to the user's own account. Always, except in monitor mode.
    pub withhold_own_account: bool,
    /// Groups that are withheld while a sign-in is under review or was allowed in degraded mode. `WITHHOLD_GROUPS`.
    pub withhold_groups: Vec<String>,
    /// Scopes that are withheld in the same cases. `WITHHOLD_SCOPES`.
    pub withhold_scopes: Vec<String>,
    /// How long they are withheld. `REVIEW_HOLD`, default 24 h.
    pub review_hold: Duration,
    /// How long a challenged sign-in without a pass restricts tokens. `CHALLENGE_HOLD`, default 30 days, the lifetime of Cognito's refresh tokens.
    pub challenge_hold: Duration,
    /// The authentication levels that lift the restriction of a challenge, highest first. `CHALLENGE_ACR_VALUES`.
    pub challenge_acr_values: Vec<String>,
    /// App clients that receive no tokens. `DENY_CLIENTS`.
    pub denied_clients: Vec<String>,
}

impl TokenConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        TokenConfig {
            claim_prefix: r.text("CLAIM_PREFIX").unwrap_or_else(|| "riskgate:".to_owned()),
            withhold_groups: r.list("WITHHOLD_GROUPS", |v| Ok(v.to_owned())),
            withhold_scopes: r.list("WITHHOLD_SCOPES", |v| Ok(v.to_owned())),
            withhold_own_account: true,
            review_hold: r.parsed("REVIEW_HOLD", duration).unwrap_or(Duration::from_secs(24 * 3600)),
            challenge_hold: r.parsed("CHALLENGE_HOLD", duration).unwrap_or(Duration::from_secs(30 * 86_400)),
            challenge_acr_values: Vec::new(),
            denied_clients: Vec::new(),
        }
    }
}
