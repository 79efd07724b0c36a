//! Groups of sign-ins that are calibrated separately.

use riskgate_engine::{
    context::Country,
    signals::{EffectiveTrust, HistoryDepth, Signals},
};

/// What the score had to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// A user without history.
    NoHistory = 0,
    /// A user with history of one day.
    OneDay = 1,
    /// A user with history of at least two days.
    Established = 2,
    /// A sign-in without a context.
    NoContext = 3,
}

impl Basis {
    /// Every basis.
    pub const ALL: [Basis; 4] = [Basis::NoHistory, Basis::OneDay, Basis::Established, Basis::NoContext];

    /// The label in metrics and on the page.
    pub fn as_label(self) -> &'static str {
        match self {
            Basis::NoHistory => "no_history",
            Basis::OneDay => "one_day",
            Basis::Established => "established",
            Basis::NoContext => "no_context",
        }
    }

    /// The basis with this number; `None` if there is none.
    pub fn from_number(number: u8) -> Option<Self> {
        Basis::ALL.into_iter().find(|basis| *basis as u8 == number)
    }
}

/// A group. Its parents are the group without the country, and all sign-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// What the score had to go on.
    pub basis: Basis,
    /// The country of the address. `None` if it is unknown.
    pub country: Option<Country>,
}

impl Group {
    /// Returns the group of a sign-in.
    pub fn of(signals: &Signals) -> Self {
        let basis = match (signals.trust, signals.history_depth) {
            (EffectiveTrust::NoContext, _) => Basis::NoContext,
            (_, HistoryDepth::None) => Basis::NoHistory,
            (_, HistoryDepth::OneDay) => Basis::OneDay,
            (_, HistoryDepth::Established) => Basis::Established,
        };
        Group { basis, country: signals.ip.country }
    }
}
