//! What is counted about an attempt, when its decision is recorded. One write, which the store applies without reading.

use riskgate_engine::{
    encoding::hash_field_name,
    sign_in::Existence,
    signals::{HistoryDepth, Signals, familiarity::Familiarity},
};
use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

use crate::cell::{Cell, Cells};

/// The attempts of a minute that are counted singly. With more, only a share of the users is counted.
pub const MAX_SAMPLED_PER_MINUTE: u32 = 128;

/// The highest sampling level: one user in 65,536.
pub const MAX_LEVEL: u8 = 16;

/// The counters of a minute, each with what is added to it.
pub type Increments = SmallVec<[(SmolStr, u32); 10]>;

/// How an attempt looks to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptKind {
    /// The user has the user agent, the device or the network already.
    Familiar,
    /// The user has neither the user agent nor the network.
    NewValues,
    /// The user has no history. It counts as unfamiliar unless it succeeds.
    NoHistory,
    /// The pool has no such account.
    UnknownName,
}

/// An attempt, as it is counted.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The keyed hash of the account.
    pub user: u32,
    /// The keyed hash of the /24 or /48, if there is one.
    pub network: Option<u32>,
    /// How it looks.
    pub kind: AttemptKind,
    /// Its cells.
    pub cells: Cells,
}

impl AttemptKind {
    /// Classifies a sign-in.
    pub fn of(signals: &Signals) -> Self {
        let is_new = |familiarity: Familiarity| matches!(familiarity, Familiarity::New { .. } | Familiarity::ParentIsNew);
        if signals.evidence.sign_in.user.existence == Existence::NotFound {
            return AttemptKind::UnknownName;
        }
        let device = &signals.device;
        match signals.history_depth {
            HistoryDepth::None => AttemptKind::NoHistory,
            HistoryDepth::OneDay | HistoryDepth::Established => {
                let is_device_new = !device.device_familiarity.is_seen() && is_new(device.user_agent_familiarity);
                if is_device_new && is_new(signals.ip.network_familiarity) { AttemptKind::NewValues } else { AttemptKind::Familiar }
            }
        }
    }

    /// The name of its counter; `None` for a familiar attempt, which is in the total only.
    fn field(self) -> Option<&'static str> {
        match self {
            AttemptKind::Familiar => None,
            AttemptKind::NewValues => Some("d"),
            AttemptKind::NoHistory => Some("w"),
            AttemptKind::UnknownName => Some("x"),
        }
    }
}

impl Attempt {
    /// The counters of this attempt; `None` if it is not in the sample of a level.
    ///
    /// At level n, one user in 2^n is counted, and counts 2^n times. The hash of the user decides, so all processes count the same users.
    pub fn increments(&self, level: u8) -> Option<Increments> {
        let level = level.min(MAX_LEVEL);
        if self.user > threshold(level) {
            return None;
        }
        let weight = 1 << level;
        let mut increments = Increments::new();
        increments.push((SmolStr::new_static("a"), weight));
        if level > 0 {
            increments.push((format_smolstr!("l{level}"), 1));
        }
        if let Some(field) = self.kind.field() {
            increments.push((SmolStr::new_static(field), weight));
            increments.push((hash_field_name('u', self.user), 1));
            increments.extend(self.network.map(|network| (hash_field_name('n', network), 1)));
            increments.extend(self.cells.iter().map(|cell: &Cell| (cell.to_field(), weight)));
        }
        Some(increments)
    }
}

/// The counters of a first success: the account's attempt without a history was its owner's.
pub fn first_success() -> Increments {
    SmallVec::from_iter([(SmolStr::new_static("o"), 1)])
}

/// The counters of a success of an attempt that had the reason `attack_wave`.
pub fn success_in_wave() -> Increments {
    SmallVec::from_iter([(SmolStr::new_static("i"), 1)])
}

/// The largest hash that is counted at a level.
pub(crate) fn threshold(level: u8) -> u32 {
    u32::MAX >> level.min(MAX_LEVEL)
}

/// The level at which so many attempts in a minute give at most [`MAX_SAMPLED_PER_MINUTE`] counted ones.
pub fn level_for(attempts_per_minute: u32) -> u8 {
    let excess = attempts_per_minute.div_ceil(MAX_SAMPLED_PER_MINUTE).max(1);
    u8::try_from(excess.next_power_of_two().trailing_zeros()).unwrap_or(MAX_LEVEL).min(MAX_LEVEL)
}
