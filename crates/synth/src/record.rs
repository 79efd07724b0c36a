//! One row, and the kinds of rows.

use crate::{
    CampaignKind, SurgeKind,
    world::{Address, SynthUserAgent},
};

/// The kind of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// A sign-in of the person with the right password.
    Success,
    /// A failed attempt: a typing error of the person, or a guess of a bot.
    Failure,
    /// A sign-in of an attacker with the right password.
    Attack(Attacker),
    /// An attempt of a campaign, with the right password or a wrong one.
    Campaign {
        /// The kind of the campaign.
        kind: CampaignKind,
        /// Whether the password was right.
        passed: bool,
    },
    /// A legitimate sign-in of a surge, with the right password or a typing error.
    Surge {
        /// The kind of the surge.
        kind: SurgeKind,
        /// Whether the password was right.
        passed: bool,
    },
}

/// The attackers of the published models, and credential stuffing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attacker {
    /// Any address, with a common browser.
    Naive,
    /// An address in the person's country.
    Vpn,
    /// An address of the person's provider, with the person's user agent.
    Targeted,
    /// Like the recorded account takeovers: a rare country and provider.
    Takeover,
    /// Credential stuffing by bots.
    Stuffing,
}

/// One synthetic row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynthRecord {
    /// Seconds since 1970.
    pub at: i64,
    /// The number of the user. Names without an account have numbers from [`crate::SynthConfig::users`].
    pub user: u32,
    /// The kind of the row.
    pub kind: RowKind,
    pub(crate) address: Address,
    pub(crate) agent: SynthUserAgent,
}

impl Attacker {
    /// All kinds of attackers.
    pub const ALL: [Attacker; 5] = [Attacker::Naive, Attacker::Vpn, Attacker::Targeted, Attacker::Takeover, Attacker::Stuffing];

    /// Returns the label in the column `Attack`.
    pub fn as_label(self) -> &'static str {
        match self {
            Attacker::Naive => "naive",
            Attacker::Vpn => "vpn",
            Attacker::Targeted => "targeted",
            Attacker::Takeover => "takeover",
            Attacker::Stuffing => "stuffing",
        }
    }
}
