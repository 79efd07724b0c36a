//! Generates synthetic sign-ins in order of time: people, their failed attempts, bots, five kinds of attackers, and on request campaigns
//! against the pool and surges of legitimate sign-ins.
//!
//! The model was developed on logs of this generator. Shares and novelty rates follow the published figures of the RBA data
//! set, and the attackers follow its attacker models (Wiefling et al., TOPS 2022). The hours of people and the preset
//! `consumer` are assumptions. Memory grows with the number of people, not with the number of rows.
//!
//! # Layout
//!
//! - `generator`: the events of people, and the attackers that imitate a sign-in.
//! - `campaign`, `surge`: rows that are added to those of the people. `schedule` merges them.
//! - `preset`, `world`, `person`: how people behave.
//! - `row`: the log.

mod generator;

pub mod row;

mod record;

mod campaign;

mod surge;

mod schedule;

mod options;

mod preset;

mod person;

mod world;

mod rng;

pub use crate::{
    campaign::{Campaign, CampaignKind, CampaignShape},
    generator::Synth,
    preset::Preset,
    record::{Attacker, RowKind, SynthRecord},
    row::{HEADER, write_log},
    surge::{Surge, SurgeKind},
};

/// The settings of the generator.
#[derive(Debug, Clone, Copy)]
pub struct SynthConfig {
    /// The number of people.
    pub users: u32,
    /// The seed. The same seed gives the same bytes on every machine.
    pub seed: u64,
    /// The behaviour of people.
    pub preset: Preset,
    /// The share of sign-ins that each kind of attacker imitates.
    pub attacks: f64,
    /// The start of the log, in seconds since 1970.
    pub from: i64,
}
