//! Calibrates the score while a log is replayed, and compares the promised false-positive rates with the realised ones.
//!
//! Each sign-in is scored by what was known before it, so the rates are those that production would have had.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use smol_str::{SmolStr, format_smolstr};

use crate::{counters::HISTORY_SIZES, roc::percent};
use riskgate_calibration::{Calibrator, Group};
use riskgate_engine::{decision::Decision, signals::Signals};

/// The scores whose promises are checked.
const SCORES: [f64; 3] = [50.0, 75.0, 80.0];

/// The fewest expected false positives of a group for which its rate is reported.
const MIN_EXPECTED: f64 = 50.0;

/// The realised rate should be within this factor of the promised one.
const MAX_FACTOR: f64 = 2.0;

/// The name of the group of all sign-ins. It is first.
const ALL: &str = "";

/// The calibration of a replay, and the counts of its check.
#[derive(Debug)]
pub struct PromiseCheck {
    calibrator: Calibrator,
    /// The number of legitimate sign-ins before the first one that is checked.
    skipped: u64,
    seen: u64,
    stopped_from: Option<f64>,
    groups: BTreeMap<SmolStr, GroupCounts>,
}

/// The counts of one group.
#[derive(Debug, Default)]
struct GroupCounts {
    sign_ins: u64,
    /// Sign-ins at or above each of [`SCORES`], on the shipped scale and on the calibrated one.
    above: [[u64; 2]; SCORES.len()],
}

/// The promise of one score to one group.
#[derive(Debug, Serialize)]
pub struct Promise {
    /// The group: `all`, a country, a history size or a type of device.
    pub group: SmolStr,
    /// The legitimate sign-ins of the group.
    pub sign_ins: u64,
    /// The score.
    pub score: f64,
    /// The promised share of legitimate sign-ins at or above the score.
    pub promised: f64,
    /// The realised share on the shipped scale.
    pub shipped: Rate,
    /// The realised share on the calibrated scale. `None` if sign-ins with this score are stopped, so that production does not observe it.
    pub calibrated: Option<Rate>,
}

/// A share with its 95 % interval (Jeffreys).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(riskgate_calibration::Rate);

impl PromiseCheck {
    /// Creates a check from this legitimate sign-in on. Sign-ins are stopped from the score `stopped_from` on; `None` in monitor mode.
    pub fn new(skipped: u64, stopped_from: Option<f64>) -> Self {
        PromiseCheck { calibrator: Calibrator::new(stopped_from), skipped, seen: 0, stopped_from, groups: BTreeMap::new() }
    }

    /// Counts a legitimate sign-in, then lets the calibration learn from it.
    pub fn add_legitimate(&mut self, decision: &Decision) {
        let (score, signals) = (&decision.score, &decision.score.signals);
        let at = signals.evidence.sign_in.at.timestamp().as_second();
        self.calibrator.advance(at);
        let group = Group::of(signals);
        if self.seen >= self.skipped {
            let calibrated = (self.calibrator.score(group, score.value) * 10.0).round() / 10.0;
            for name in group_names(signals) {
                self.groups.entry(name).or_default().add([score.value, calibrated]);
            }
        }
        self.seen += 1;
        if self.calibrator.is_observed(group, score.value) {
            let days = signals.time.gap.map(|gap| at.div_euclid(86_400) - (at - gap.as_secs()).div_euclid(86_400));
            self.calibrator.add_success(group, score.value, days);
        }
    }

    /// Returns the promises that can be checked: those to all sign-ins, and those to groups with at least 50 expected false positives.
    pub fn promises(&self) -> Vec<Promise> {
        let mut promises = Vec::new();
        for (at, score) in SCORES.into_iter().enumerate() {
            let promised = 10_f64.powf(-score / 25.0);
            for (name, counts) in &self.groups {
                #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
                let expected = counts.sign_ins as f64 * promised;
                if name != ALL && expected < MIN_EXPECTED {
                    continue;
                }
                let [shipped, calibrated] = counts.above[at].map(|count| Rate::new(count, counts.sign_ins));
                let calibrated = self.stopped_from.is_none_or(|stop| score < stop).then_some(calibrated);
                let group = if name == ALL { SmolStr::new_static("all") } else { name.clone() };
                promises.push(Promise { group, sign_ins: counts.sign_ins, score, promised, shipped, calibrated });
            }
        }
        promises
    }
}

/// The groups of a sign-in: all, its country, its history size, its type of device.
fn group_names(signals: &Signals) -> impl Iterator<Item = SmolStr> {
    let successes = signals.evidence.history.profile.successes;
    let size = HISTORY_SIZES.iter().find(|(most, _)| successes <= *most).map(|(_, name)| format_smolstr!("history {name}"));
    let country = signals.ip.country.map(|country| format_smolstr!("country {}", country.as_str()));
    let device = signals.device.device_type.map(|kind| format_smolstr!("device {}", kind.as_label()));
    [Some(SmolStr::new_static(ALL)), country, size, device].into_iter().flatten()
}

impl GroupCounts {
    fn add(&mut self, scores: [f64; 2]) {
        self.sign_ins += 1;
        for (above, threshold) in self.above.iter_mut().zip(SCORES) {
            above.iter_mut().zip(scores).for_each(|(above, score)| *above += u64::from(score >= threshold));
        }
    }
}

impl Rate {
    /// The share of `count` in `all`.
    #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
    fn new(count: u64, all: u64) -> Self {
        Rate(riskgate_calibration::Rate::new(count as f64, all as f64))
    }

    /// Whether the interval overlaps a factor of two around the promised share.
    pub fn keeps(&self, promised: f64) -> bool {
        self.0.overlaps(promised, MAX_FACTOR)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({} to {})", percent(self.0.share), percent(self.0.low), percent(self.0.high))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.0.share, self.0.low, self.0.high].serialize(serializer)
    }
}

/// Writes the promises as a table in Markdown. A promise that is not within a factor of two is marked.
///
/// # Errors
///
/// If the writer fails.
pub fn write_table(promises: &[Promise], out: &mut impl fmt::Write) -> fmt::Result {
    if promises.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| score | group | legitimate | promised | shipped scale (95 %) | calibrated (95 %) |\n|---|---|---|---|---|---|")?;
    for Promise { group, sign_ins, score, promised, shipped, calibrated } in promises {
        let mark = |rate: &Rate| format!("{rate}{}", if rate.keeps(*promised) { "" } else { " **off**" });
        let calibrated = calibrated.as_ref().map_or_else(|| "not observed".to_owned(), mark);
        writeln!(out, "| {score} | {group} | {sign_ins} | {} | {} | {calibrated} |", percent(*promised), mark(shipped))?;
    }
    Ok(())
}
