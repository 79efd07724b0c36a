//! History: what the store has for one sign-in.

use crate::{context::Context, profile::Profile};
use jiff::Timestamp;
use smol_str::SmolStr;

/// What the store has for one sign-in.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The user's past sign-ins; empty for an unknown user.
    pub profile: Profile,
    /// Counters in time windows.
    pub velocity: Velocity,
    /// The suspension or exemption that matches this sign-in.
    pub block: Option<Block>,
    /// Whether the signed context's nonce was used before.
    pub nonce: NonceStatus,
    /// The other parts that could not be read. They make the sign-in degraded.
    pub unread: crate::evidence::store_parts::UnreadParts,
    /// Whether the block list has expired because it could not be refreshed. The fallback then decides.
    pub block_list_expired: bool,
    /// What it has in common with an attack on the pool that is in progress.
    pub attack_wave: Option<AttackWave>,
    /// Locations of concurrent sign-ins to this account: of pending attempts and the last success.
    pub concurrent: Vec<crate::profile::SignInLocation>,
}

/// Counters in time windows, including the current attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Velocity {
    /// Failed attempts on the account in 15 minutes: attempts without a later success.
    pub account_failures: u32,
    /// Distinct accounts from the address in 1 hour.
    pub accounts_per_ip: u32,
    /// Distinct accounts from its /24 or /48 in 1 hour.
    pub accounts_per_network: u32,
}

/// What a sign-in has in common with an attack on its pool: values that are over-represented in it and new to the user.
#[derive(Debug, Clone, PartialEq)]
pub struct AttackWave {
    /// The natural logarithm of how much likelier these values are in the attack.
    pub ln_ratio: f64,
    /// The values, such as `AS64500`.
    pub cells: SmolStr,
}

/// An operator's decision about a user, network, device, app client or tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Suspended or exempt.
    pub kind: BlockKind,
    /// When it expires; `None` for never.
    pub until: Option<Timestamp>,
    /// The message that the user sees after entering the correct password.
    pub message: Option<SmolStr>,
}

/// The kind of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Denied, also in monitor mode.
    Suspended,
    /// Allowed, whatever the score is.
    Exempt,
}

/// Whether a signed context's nonce was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum NonceStatus {
    /// Not used before, or there is no nonce.
    #[default]
    New,
    /// Used before by the same sign-in: a retry by Cognito.
    Retried,
    /// The store could not be read, so a replay cannot be ruled out.
    Unchecked,
    /// Used before by another sign-in: a replay.
    Replayed,
}

impl Velocity {
    /// The larger of each counter.
    pub fn max(self, other: Self) -> Self {
        Velocity {
            account_failures: self.account_failures.max(other.account_failures),
            accounts_per_ip: self.accounts_per_ip.max(other.accounts_per_ip),
            accounts_per_network: self.accounts_per_network.max(other.accounts_per_network),
        }
    }
}

impl NonceStatus {
    /// Whether the claims of a context with this nonce may lower the score: the context is trusted, and a replay is ruled out.
    pub fn is_trusted_with(self, context: &Context) -> bool {
        context.is_trusted() && !matches!(self, NonceStatus::Replayed | NonceStatus::Unchecked)
    }
}
