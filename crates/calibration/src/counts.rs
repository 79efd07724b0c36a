//! Successful sign-ins by group and by cell of the shipped score.

use std::collections::BTreeMap;

use riskgate_engine::context::Country;

use crate::group::{Basis, Group};

/// The number of cells. Each is 2.5 points wide.
pub const CELLS: usize = 40;

/// The width of a cell, in points of the shipped score.
pub const CELL_WIDTH: f64 = 2.5;

/// Counts lose half of their weight in this many days.
pub const HALF_LIFE_DAYS: f64 = 60.0;

/// The most groups during a day. Their countries may be claims, so anyone could add some.
pub const MAX_GROUPS: usize = 160;

/// Counts of one group. They are not whole numbers, because they fade.
pub type CellCounts = [f64; CELLS];

/// The counts of a pool. They are additive: those of two processes can be summed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts(BTreeMap<Group, CellCounts>);

impl Counts {
    /// Counts a success with this shipped score, 0 to 100.
    pub fn add(&mut self, group: Group, shipped: f64) {
        self.add_to_cell(group, cell(shipped), 1.0);
    }

    /// Adds a number of successes to a cell. If there are [`MAX_GROUPS`] groups already, those of another group are counted without its country.
    pub fn add_to_cell(&mut self, group: Group, cell: usize, count: f64) {
        let is_full = self.0.len() >= MAX_GROUPS && !self.0.contains_key(&group);
        let group = if is_full { Group { country: None, ..group } } else { group };
        if let Some(counted) = self.0.entry(group).or_insert([0.0; CELLS]).get_mut(cell) {
            *counted += count;
        }
    }

    /// Removes successes from a cell. Returns how many were there to be removed. Those of a group that has no country any more are in the group
    /// without it.
    pub(crate) fn remove_from_cell(&mut self, group: Group, cell: usize, count: f64) -> f64 {
        let group = if self.0.contains_key(&group) { group } else { Group { country: None, ..group } };
        let Some(counted) = self.0.get_mut(&group).and_then(|counts| counts.get_mut(cell)) else { return 0.0 };
        let removed = count.min(*counted);
        *counted -= removed;
        removed
    }

    /// The counts of a group, to be changed.
    pub(crate) fn of_mut(&mut self, group: Group) -> &mut CellCounts {
        self.0.entry(group).or_insert([0.0; CELLS])
    }

    /// The sums by country.
    pub(crate) fn by_country(&self) -> BTreeMap<Country, CellCounts> {
        let mut sums = BTreeMap::new();
        for (country, counts) in self.groups().filter_map(|(group, counts)| Some((group.country?, counts))) {
            add_cells(sums.entry(country).or_insert([0.0; CELLS]), counts);
        }
        sums
    }

    /// Sets the counts of a group.
    pub(crate) fn set(&mut self, group: Group, counts: CellCounts) {
        self.0.insert(group, counts);
    }

    /// Counts the smallest groups without their countries, until at most `most` groups have one.
    pub fn merge_small_groups(&mut self, most: usize) {
        let mut groups: Vec<(Group, f64)> =
            self.groups().filter(|(group, _)| group.country.is_some()).map(|(group, counts)| (group, counts.iter().sum())).collect();
        groups.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (group, _) in groups.into_iter().skip(most) {
            if let Some(counts) = self.0.remove(&group) {
                add_cells(self.0.entry(Group { country: None, ..group }).or_insert([0.0; CELLS]), &counts);
            }
        }
    }

    /// Adds the counts of another process.
    pub fn merge(&mut self, other: &Counts) {
        other.0.iter().for_each(|(group, counts)| add_cells(self.0.entry(*group).or_insert([0.0; CELLS]), counts));
    }

    /// Reduces the weight of everything counted so far, because days have passed.
    pub fn fade(&mut self, days: f64) {
        let factor = (-days / HALF_LIFE_DAYS).exp2();
        self.0.values_mut().flatten().for_each(|count| *count *= factor);
    }

    /// The groups with their counts.
    pub fn groups(&self) -> impl Iterator<Item = (Group, &CellCounts)> {
        self.0.iter().map(|(group, counts)| (*group, counts))
    }

    /// The sums over all groups of a basis, or over all groups.
    pub fn sum(&self, basis: Option<Basis>) -> CellCounts {
        let mut sum = [0.0; CELLS];
        self.groups().filter(|(group, _)| basis.is_none_or(|basis| group.basis == basis)).for_each(|(_, counts)| add_cells(&mut sum, counts));
        sum
    }
}

fn add_cells(own: &mut CellCounts, other: &CellCounts) {
    own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
}

/// The cell of a shipped score. The last one includes 100.
pub fn cell(shipped: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the cells")]
    let cell = (shipped.clamp(0.0, 100.0) / CELL_WIDTH) as usize;
    cell.min(CELLS - 1)
}
