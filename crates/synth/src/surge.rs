//! Surges of legitimate sign-ins, which a detector of attacks must not report.
//!
//! Sources of the defaults:
//! - `email`: 34 % of the clicks are within the first hour, 51 % within three and 81 % within a day (`GetResponse` 2020, 5.5 billion
//!   e-mails, by way of marketingcharts.com). 2.2 % of the recipients click (the same); all of them sign in (assumption).
//! - `release`: of the updates within eight days, 40 % are made on the first day, then 18, 11, 9, 8, 6, 4 and 4 % (giacomoballi.com,
//!   "How fast do users update iOS apps?"). A tenth of the users has to sign in again (assumption).
//! - `monday` and `outage` are assumptions.

use crate::{
    SynthConfig,
    person::SynthPerson,
    rng::{RngPosition, SynthRng, cumulate},
    schedule::{ScheduledRow, SurgeSignIn},
    world::World,
};

/// The kind of a surge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SurgeKind {
    /// A marketing e-mail: many users within hours, half of them on a phone.
    Email,
    /// A Monday morning: many users between seven and eleven o'clock in their country.
    Monday,
    /// After an outage, applications and users try again until it works.
    Outage,
    /// A new app release signs users out. They have a user agent that was never seen before.
    Release,
}

/// A surge of legitimate sign-ins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surge {
    /// The kind of the surge.
    pub kind: SurgeKind,
    /// The start, in seconds after the start of the log. `monday` moves to the next Monday.
    pub start: i64,
    /// The share of the users with a first sign-in before the surge that take part, 0 to 1.
    pub share: f64,
}

/// Shares of the clicks on an e-mail, and the hours in which they are made.
const CLICKS: [(f64, f64, f64); 4] = [(0.336, 0.0, 1.0), (0.178, 1.0, 3.0), (0.30, 3.0, 24.0), (0.186, 24.0, 72.0)];

/// Updates per day after a release, in per cent of all.
const UPDATES: [f64; 8] = [35.0, 16.0, 10.0, 8.0, 7.0, 5.0, 4.0, 3.5];

/// The probability of a typing error before a sign-in, as for other sign-ins.
const TYPING_ERROR: f64 = 0.5;

/// The probability that an attempt after an outage fails too, and the most attempts of a user (assumptions).
const STILL_FAILS: f64 = 0.6;
const MAX_RETRIES: u32 = 8;

/// 1970-01-05 was a Monday. Days from it to the start of time.
const MONDAY: i64 = 4 * 86_400;

const WEEK: i64 = 7 * 86_400;

impl SurgeKind {
    /// Returns the label in the column `Surge`.
    pub fn as_label(self) -> &'static str {
        match self {
            SurgeKind::Email => "email",
            SurgeKind::Monday => "monday",
            SurgeKind::Outage => "outage",
            SurgeKind::Release => "release",
        }
    }
}

impl Surge {
    /// Creates a surge of the default size, on day 180 of the log.
    pub fn new(kind: SurgeKind) -> Self {
        let share = match kind {
            SurgeKind::Email => 0.022,
            SurgeKind::Monday => 0.01,
            SurgeKind::Outage => 0.005,
            SurgeKind::Release => 0.1,
        };
        Surge { kind, start: 180 * 86_400, share }
    }

    /// Generates the rows.
    pub(crate) fn rows(&self, config: &SynthConfig, world: &World, people: &[SynthPerson], stream: u64) -> Vec<ScheduledRow> {
        let start = self.start_time(config);
        let mut rows = Vec::new();
        for (user, person) in (0..).zip(people).filter(|(_, person)| person.next.at < start) {
            let mut rng = RngPosition { seed: config.seed, stream, event: 2 * u64::from(user) }.rng();
            if !rng.chance(self.share) {
                continue;
            }
            let draws = RngPosition { seed: config.seed, stream, event: 2 * u64::from(user) + 1 };
            let attempts = self.attempts(start, world.hours_east(person.next.address), &mut rng);
            let last = attempts.len().saturating_sub(1);
            let row = |(number, at)| ScheduledRow::Surge(SurgeSignIn { at, user, kind: self.kind, passed: number == last, draws });
            rows.extend(attempts.into_iter().enumerate().map(row));
        }
        rows
    }

    /// Returns the start, in seconds since 1970.
    fn start_time(&self, config: &SynthConfig) -> i64 {
        let start = config.from + self.start;
        match self.kind {
            SurgeKind::Monday => start + (MONDAY - start).rem_euclid(WEEK),
            SurgeKind::Email | SurgeKind::Outage | SurgeKind::Release => start,
        }
    }

    /// Draws the times of a user's attempts. Only the last one succeeds.
    fn attempts(&self, start: i64, hours_east: i64, rng: &mut SynthRng) -> Vec<i64> {
        let hours = match self.kind {
            SurgeKind::Email => {
                let (_, from, to) = CLICKS[rng.weighted(&cumulate(CLICKS.iter().map(|(share, ..)| *share)))];
                from + rng.unit() * (to - from)
            }
            // A normal deviation of 50 minutes around a quarter to nine (assumption).
            #[expect(clippy::cast_precision_loss, reason = "hours of a day")]
            SurgeKind::Monday => rng.normal(8.75, 0.83).clamp(7.0, 11.0) - hours_east as f64,
            // Users come back within half an hour, most of them at once (assumption).
            SurgeKind::Outage => rng.unit() * rng.unit() * 0.5,
            #[expect(clippy::cast_precision_loss, reason = "days of a week")]
            SurgeKind::Release => 24.0 * (rng.weighted(&cumulate(UPDATES)) as f64 + rng.unit()),
        };
        #[expect(clippy::cast_possible_truncation, reason = "seconds of days fit")]
        let first = start + (hours * 3_600.0) as i64;
        let mut attempts = vec![first];
        match self.kind {
            SurgeKind::Outage => {
                let mut wait = 2.0 + 8.0 * rng.unit();
                while rng.chance(STILL_FAILS) && attempts.len() < MAX_RETRIES as usize {
                    // Each wait is twice as long as the one before it, as applications do.
                    #[expect(clippy::cast_possible_truncation, reason = "minutes fit")]
                    attempts.push(attempts.last().copied().unwrap_or(first) + wait as i64);
                    wait *= 2.0;
                }
            }
            SurgeKind::Email | SurgeKind::Monday | SurgeKind::Release if rng.chance(TYPING_ERROR) => {
                attempts.push(first + 5 + i64::from(u8::try_from(rng.below(25)).unwrap_or_default()))
            }
            SurgeKind::Email | SurgeKind::Monday | SurgeKind::Release => {}
        }
        attempts
    }
}
