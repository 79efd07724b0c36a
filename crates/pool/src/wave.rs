//! The over-represented cells of an attack, and what a sign-in has in common with them.

use std::collections::BTreeMap;

use riskgate_engine::{
    evidence::{Evidence, history::AttackWave},
    signals::Familiarities,
};
use smol_str::{SmolStr, ToSmolStr, format_smolstr};

use crate::{cell::Cell, state::PoolState};

/// The cells of an attack, each with the logarithm of how much likelier it is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wave(BTreeMap<Cell, f64>);

impl Wave {
    /// The cells of the attack in progress; empty if there is none.
    pub fn of(state: &PoolState) -> Self {
        Wave(state.attack_cells().into_iter().map(|excess| (excess.cell.clone(), excess.ratio().ln())).collect())
    }

    /// Whether no cell is over-represented.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a sign-in has in common with the attack: its cells of the attack that are new to the user. `None` if there are none.
    ///
    /// The network and the user agent are independent evidence. Within each, only the most over-represented cell counts.
    pub fn matching(&self, evidence: &Evidence) -> Option<AttackWave> {
        if self.0.is_empty() {
            return None;
        }
        let familiarities = Familiarities::read(evidence);
        let mut network: Option<(f64, Cell)> = None;
        let mut agent: Option<(f64, Cell)> = None;
        for cell in Cell::of(evidence) {
            let Some(ln_ratio) = self.0.get(&cell).copied() else { continue };
            if familiarities.at(cell.level()).is_seen() {
                continue;
            }
            let strongest = if cell.is_network() { &mut network } else { &mut agent };
            if strongest.as_ref().is_none_or(|(other, _)| *other < ln_ratio) {
                *strongest = Some((ln_ratio, cell));
            }
        }
        let ln_ratio = [&network, &agent].into_iter().flatten().map(|(ln_ratio, _)| ln_ratio).sum();
        let cells: SmolStr = match (network, agent) {
            (None, None) => return None,
            (Some((_, cell)), None) | (None, Some((_, cell))) => cell.to_smolstr(),
            (Some((_, one)), Some((_, other))) => format_smolstr!("{one}, {other}"),
        };
        Some(AttackWave { ln_ratio, cells })
    }
}
