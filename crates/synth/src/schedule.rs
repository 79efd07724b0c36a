//! Rows of campaigns and surges, in order of time.

use std::collections::VecDeque;

use crate::{
    Preset, RowKind, SurgeKind, SynthRecord,
    person::SynthPerson,
    rng::RngPosition,
    world::{RELEASED_VERSION, World},
};
use riskgate_engine::user_agent::DeviceType;

/// The share of people who open an e-mail on a phone, whatever device they use otherwise (assumption).
const PHONE: f64 = 0.5;

/// The rows that are not yet generated, in order of time.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    rows: VecDeque<ScheduledRow>,
    streams: u64,
}

/// A future row.
#[derive(Debug)]
pub(crate) enum ScheduledRow {
    /// A row with all of its values.
    Complete(SynthRecord),
    /// A sign-in with values of the user at that time.
    Surge(SurgeSignIn),
}

/// A future sign-in of a surge.
#[derive(Debug)]
pub(crate) struct SurgeSignIn {
    pub(crate) at: i64,
    pub(crate) user: u32,
    pub(crate) kind: SurgeKind,
    pub(crate) passed: bool,
    /// The random numbers. Attempts of one sign-in have the same ones, and therefore the same values.
    pub(crate) draws: RngPosition,
}

impl Schedule {
    /// Returns a stream of random numbers that no user has.
    pub(crate) fn next_stream(&mut self) -> u64 {
        self.streams += 1;
        u64::MAX - self.streams
    }

    /// Adds rows.
    pub(crate) fn add(&mut self, rows: Vec<ScheduledRow>) {
        self.rows.extend(rows);
        self.rows.make_contiguous().sort_by_key(ScheduledRow::at);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams == 0
    }

    /// Takes the next row, if it is before a time. `None` is the end of time.
    pub(crate) fn next_before(&mut self, at: Option<i64>) -> Option<ScheduledRow> {
        let is_due = self.rows.front().is_some_and(|row| at.is_none_or(|at| row.at() < at));
        if is_due { self.rows.pop_front() } else { None }
    }
}

impl ScheduledRow {
    fn at(&self) -> i64 {
        match self {
            ScheduledRow::Complete(record) => record.at,
            ScheduledRow::Surge(sign_in) => sign_in.at,
        }
    }

    /// Completes the row. `None` if the user does not take part.
    pub(crate) fn into_record(self, people: &[SynthPerson], world: &World, preset: &Preset) -> Option<SynthRecord> {
        match self {
            ScheduledRow::Complete(record) => Some(record),
            ScheduledRow::Surge(sign_in) => sign_in.into_record(people, world, preset),
        }
    }
}

impl SurgeSignIn {
    /// Draws the values. A user who has not signed in yet does not take part, and a release of an app reaches only phones and tablets.
    fn into_record(self, people: &[SynthPerson], world: &World, preset: &Preset) -> Option<SynthRecord> {
        let SurgeSignIn { at, user, kind, passed, draws } = self;
        let person = people.get(user as usize).filter(|person| person.done > 0)?;
        let mut rng = draws.rng();
        let address = person.address_after(world, &mut rng, preset, at);
        let mut agent = person.last.agent;
        match kind {
            SurgeKind::Email if agent.device_type() == DeviceType::Desktop && rng.chance(PHONE) => agent = world.agent(world.phone(&mut rng), &mut rng),
            SurgeKind::Release if agent.device_type() == DeviceType::Desktop => return None,
            SurgeKind::Release => agent.version = RELEASED_VERSION,
            SurgeKind::Email | SurgeKind::Monday | SurgeKind::Outage => {}
        }
        Some(SynthRecord { at, user, kind: RowKind::Surge { kind, passed }, address, agent })
    }
}
