//! The group and the cell in which a success is counted, in its stored forms.

use riskgate_engine::{
    context::Country,
    decision::{Decision, Verdict},
    evidence::history::NonceStatus,
    signals::Signals,
};
use smol_str::SmolStr;

use crate::{
    counts::{CELLS, cell},
    group::{Basis, Group},
};

/// The letter with which the names of the counters begin.
const PREFIX: char = 'k';

/// The letter with which the names of the counters of removed successes begin.
const REMOVED: char = 'r';

/// The text for an unknown country.
const NO_COUNTRY: &str = "--";

/// Where the success of a sign-in is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuccessCell {
    /// The group.
    pub group: Group,
    /// The cell of the shipped score.
    pub cell: u8,
}

impl SuccessCell {
    /// The cell of a sign-in with this score on the shipped scale.
    pub fn of(signals: &Signals, shipped: f64) -> Self {
        SuccessCell { group: Group::of(signals), cell: u8::try_from(cell(shipped)).unwrap_or_default() }
    }

    /// Where the success of a sign-in is counted. Not if something was missing, because the score is then of another kind, nor if the sign-in
    /// may be an attacker's: its context was replayed, it is challenged, or it has what an attack on the pool has.
    pub fn counted(decision: &Decision) -> Option<Self> {
        let (score, history) = (&decision.score, &decision.score.signals.evidence.history);
        let is_counted = !decision.is_degraded()
            && history.nonce != NonceStatus::Replayed
            && history.attack_wave.is_none()
            && matches!(decision.action, Verdict::Allow | Verdict::Review);
        is_counted.then(|| SuccessCell::of(&score.signals, score.shipped))
    }

    /// Four bytes: basis, country, cell.
    pub fn to_bytes(self) -> [u8; 4] {
        let [first, second] = country_bytes(self.group.country);
        [self.group.basis as u8, first, second, self.cell]
    }

    /// The cell of four bytes; `None` if they are not one.
    pub fn from_bytes([basis, first, second, cell]: [u8; 4]) -> Option<Self> {
        let group = Group { basis: Basis::from_number(basis)?, country: country_of([first, second])? };
        (usize::from(cell) < CELLS).then_some(SuccessCell { group, cell })
    }

    /// The name of its counter in the store, such as `k3SE07`.
    pub fn to_counter(self) -> SmolStr {
        self.to_name(PREFIX)
    }

    /// The cell of a counter; `None` if the name is not one of a cell.
    pub fn from_counter(name: &str) -> Option<Self> {
        Self::from_name(PREFIX, name)
    }

    /// The name of the counter of its successes that are taken back, such as `r3SE07`.
    pub fn to_removal(self) -> SmolStr {
        self.to_name(REMOVED)
    }

    /// The cell of a counter of successes that are taken back; `None` if the name is not one.
    pub fn from_removal(name: &str) -> Option<Self> {
        Self::from_name(REMOVED, name)
    }

    fn to_name(self, prefix: char) -> SmolStr {
        let [first, second] = match self.group.country.as_ref().map_or(NO_COUNTRY, Country::as_str).as_bytes() {
            &[first, second] => [char::from(first), char::from(second)],
            _ => ['-'; 2],
        };
        let digit = |number: u8| char::from(b'0' + number % 10);
        [prefix, digit(self.group.basis as u8), first, second, digit(self.cell / 10), digit(self.cell)].into_iter().collect()
    }

    fn from_name(prefix: char, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(prefix)?;
        let (basis, rest) = rest.split_at_checked(1)?;
        let (country, cell) = rest.split_at_checked(2)?;
        let country = if country == NO_COUNTRY { None } else { Some(Country::parse(country)?) };
        let cell: u8 = cell.parse().ok()?;
        let group = Group { basis: Basis::from_number(basis.parse().ok()?)?, country };
        (usize::from(cell) < CELLS).then_some(SuccessCell { group, cell })
    }
}

/// The two letters of a country, or two zeros.
pub(crate) fn country_bytes(country: Option<Country>) -> [u8; 2] {
    match country.as_ref().map(|country| country.as_str().as_bytes()) {
        Some(&[first, second]) => [first, second],
        Some(_) | None => [0; 2],
    }
}

/// The country of two bytes; `None` if they are neither letters nor zeros.
pub(crate) fn country_of(bytes: [u8; 2]) -> Option<Option<Country>> {
    if bytes == [0; 2] {
        return Some(None);
    }
    Some(Some(Country::parse(std::str::from_utf8(&bytes).ok()?)?))
}
