//! The activity table: rows of decisions and outcomes for `riskgate dashboard --store`, and exact counts by hour.
//!
//! Rows may be sampled. The counts include every decision, and each row says how many decisions before it have no row.

use std::collections::BTreeMap;

use jiff::Timestamp;
use smol_str::SmolStr;

/// Seconds of a day.
pub const DAY_SECONDS: i64 = 86_400;

/// Seconds of an hour.
pub const HOUR_SECONDS: i64 = 3600;

/// A row of the activity table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityRow {
    /// The user's pseudonym, as in audit lines; empty if the row does not name one.
    pub user: SmolStr,
    /// When it was received. Retention counts from here.
    pub at: Timestamp,
    /// Makes the row unique among the user's rows of the same time: the assessment's id, or a number.
    pub id: SmolStr,
    /// What happened, as one JSON object.
    pub what: String,
    /// How its key is ordered.
    pub order: RowOrder,
}

/// How the key of a row is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowOrder {
    /// By time.
    #[default]
    ByTime,
    /// By user, as earlier versions wrote it. Such rows are exported and erased, and not written any more.
    ByUser,
}

/// Counts of decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActivityCounts {
    /// Decisions by severity: allow, review, challenge, deny.
    pub decisions: [u64; 4],
    /// Decisions with something missing.
    pub degraded: u64,
    /// Decisions that have a row.
    pub rows: u64,
}

/// Rows and counts that are written together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityBatch {
    /// The rows.
    pub rows: Vec<ActivityRow>,
    /// Counts to add, by the start of their hour in seconds since 1970.
    pub hours: BTreeMap<i64, ActivityCounts>,
}

/// A range of times, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityRange {
    /// The first time.
    pub from: Timestamp,
    /// The last time.
    pub to: Timestamp,
}

/// The newest rows of a range, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityPage {
    /// The rows.
    pub rows: Vec<ActivityRow>,
    /// Whether these are all rows of the range.
    pub is_complete: bool,
}

impl ActivityCounts {
    /// The names of the counts in a store, in the order of [`ActivityCounts::values`].
    pub const NAMES: [&'static str; 6] = ["allow", "review", "challenge", "deny", "degraded", "rows"];

    /// The counts, in the order of their names.
    pub fn values(self) -> [u64; 6] {
        let [allow, review, challenge, deny] = self.decisions;
        [allow, review, challenge, deny, self.degraded, self.rows]
    }

    /// Counts from values by name. A missing one is zero.
    pub fn from_values(value: impl Fn(&str) -> u64) -> Self {
        let [allow, review, challenge, deny, degraded, rows] = Self::NAMES.map(value);
        ActivityCounts { decisions: [allow, review, challenge, deny], degraded, rows }
    }

    /// The sum of both.
    pub fn plus(self, other: Self) -> Self {
        let mut sum = self;
        sum.decisions.iter_mut().zip(other.decisions).for_each(|(sum, count)| *sum = sum.saturating_add(count));
        sum.degraded = sum.degraded.saturating_add(other.degraded);
        sum.rows = sum.rows.saturating_add(other.rows);
        sum
    }
}

impl ActivityBatch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.hours.is_empty()
    }

    /// Adds counts to the hour of a time.
    pub fn count(&mut self, at: Timestamp, counts: ActivityCounts) {
        let hour = self.hours.entry(hour_start(at)).or_default();
        *hour = hour.plus(counts);
    }
}

impl ActivityRange {
    /// The days that overlap the range, newest first, each by its first second.
    pub fn days(self) -> impl Iterator<Item = i64> {
        let (first, last) = (day_start(self.from), day_start(self.to));
        (0..).map(move |age| last - age * DAY_SECONDS).take_while(move |day| *day >= first)
    }

    /// Whether a time is in the range.
    pub fn contains(self, at: Timestamp) -> bool {
        self.from <= at && at <= self.to
    }
}

/// The first second of the hour of a time.
fn hour_start(at: Timestamp) -> i64 {
    at.as_second().div_euclid(HOUR_SECONDS) * HOUR_SECONDS
}

/// The first second of the day of a time, in UTC.
pub fn day_start(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY_SECONDS) * DAY_SECONDS
}

/// The name of a day, such as `2026-11-29`, by any of its seconds.
pub fn day_name(second: i64) -> String {
    Timestamp::from_second(second).map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}
