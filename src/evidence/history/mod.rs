//! What the store knows: the person's profile, counters of the address and the account, blocks.

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::event::Context;

pub mod attempt;

pub mod blocks;

mod decoy;

#[cfg(feature = "dynamodb")]
pub mod dynamodb;

mod encoding;

pub mod ledger;

pub mod memory;

mod open;

mod patience;

pub mod profile;

pub mod pseudonym;

#[cfg(feature = "redis")]
pub mod redis;

pub mod store;

pub mod unread;

pub mod velocity;

pub use self::{
    ledger::{Ledger, Ticket},
    open::open,
    patience::Patience,
    profile::Profile,
    pseudonym::Pseudonyms,
    store::Store,
};

/// What the store knows at the moment of one sign-in.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// How this person has signed in until now; empty for a stranger.
    pub profile: Profile,
    /// Counters in windows.
    pub velocity: Velocity,
    /// A suspension or exemption that matches this sign-in.
    pub block: Option<Block>,
    /// Whether this sign-in's nonce was seen before from elsewhere.
    pub nonce: Nonce,
    /// What else could not be read. The sign-in counts as degraded.
    pub unread: unread::Unread,
    /// Whether the list of blocks could not be read again for so long that it is not in force any more: the fallback decides.
    pub block_list_expired: bool,
    /// Distant places from which this account is signing in at the same time: pending attempts and the last success.
    pub concurrent: Vec<profile::Sighting>,
}

/// Counters in windows, the present attempt included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Velocity {
    /// Failed attempts of the account in 15 minutes (attempts that no success followed).
    pub account_failures: u32,
    /// Distinct accounts from the address in 1 hour.
    pub accounts_per_ip: u32,
    /// Distinct accounts from its /24 or /48 in 1 hour.
    pub accounts_per_network: u32,
}

/// What an operator has decided about a person, range, device, client or tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Suspended or exempt.
    pub kind: BlockKind,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// What the person is told after the password was right.
    pub message: Option<SmolStr>,
}

/// Suspended or exempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Denied, in monitor mode too.
    Suspended,
    /// Let in, whatever the score.
    Exempt,
}

/// What the store knows of a signed context's nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Nonce {
    /// Not seen before, or there is none.
    #[default]
    New,
    /// Seen before with this very sign-in: Cognito's own retry.
    Retried,
    /// The store could not tell: the context is not proven fresh.
    Unchecked,
    /// Seen before with another: a replay.
    Replayed,
}

// === impl Velocity ===

impl Velocity {
    /// The larger of each counter.
    fn max(self, other: Self) -> Self {
        Velocity {
            account_failures: self.account_failures.max(other.account_failures),
            accounts_per_ip: self.accounts_per_ip.max(other.accounts_per_ip),
            accounts_per_network: self.accounts_per_network.max(other.accounts_per_network),
        }
    }
}

// === impl Nonce ===

impl Nonce {
    /// Whether what a context says may help the person: it is believed, and is known not to have been used before by another sign-in.
    pub fn believes(self, context: &Context) -> bool {
        context.is_believed() && !matches!(self, Nonce::Replayed | Nonce::Unchecked)
    }
}
