//! What the thresholds in force promise, and what the pool's sign-ins had.
//!
//! A threshold of `s` promises that at most a share of 10^(-s/25) of the legitimate sign-ins reaches it. The realised share is that of the
//! counted successes, each with the score that it had on the scale in force. Sign-ins from the lowest enforced threshold on are stopped, so
//! nothing above it is observed. Below it, both shares are those among the sign-ins that are let in.

use riskgate_engine::settings::DecisionConfig;
use smol_str::{SmolStr, format_smolstr};

use crate::{
    counts::{CELL_WIDTH, CELLS, CellCounts, Counts},
    curve::{Curve, share},
    group::Basis,
    rate::Rate,
};

/// The most countries that are listed.
const MAX_COUNTRIES: usize = 20;

/// The thresholds of clients without their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// `REVIEW_AT`.
    pub review: f64,
    /// `CHALLENGE_AT`; `None` without challenges.
    pub challenge: Option<f64>,
    /// `DENY_AT`.
    pub deny: f64,
    /// The lowest score that is stopped; `None` in monitor mode.
    pub stopped_from: Option<f64>,
}

/// A threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// `REVIEW_AT`.
    Review,
    /// `CHALLENGE_AT`.
    Challenge,
    /// `DENY_AT`.
    Deny,
}

/// The promise of one threshold to one group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// The threshold.
    pub threshold: Threshold,
    /// Its score.
    pub score: f64,
    /// The share of legitimate sign-ins that it promises at most.
    pub promised: f64,
    /// The realised share. `None` if it is not observed.
    pub realised: Option<Rate>,
}

/// The promises to one group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupPromises {
    /// The group: `all`, what the score had to go on, or a country such as `country SE`.
    pub group: SmolStr,
    /// The observed sign-ins that still count; they lose half of their weight in 30 days.
    pub sign_ins: f64,
    /// The promises.
    pub promises: Vec<Promise>,
}

/// How far the pool's own scale is from others, in points.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Drift {
    /// The largest difference to the shipped scale at a threshold.
    pub from_shipped: f64,
    /// The largest difference to the pool's own scale of a week before. `None` in the first week.
    pub from_week_before: Option<f64>,
}

impl Thresholds {
    /// The thresholds of a configuration.
    pub fn new(config: &DecisionConfig) -> Self {
        let (review, challenge, deny) = (config.review_at.default, config.challenge_at.default, config.deny_at.default);
        Thresholds { review, challenge, deny, stopped_from: config.lowest_enforced_threshold() }
    }

    /// The thresholds with their scores, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = (Threshold, f64)> {
        let challenge = self.challenge.filter(|challenge| *challenge < self.deny);
        [(Threshold::Review, Some(self.review)), (Threshold::Challenge, challenge), (Threshold::Deny, Some(self.deny))]
            .into_iter()
            .filter_map(|(threshold, score)| Some((threshold, score?)))
    }
}

impl Threshold {
    /// Every threshold.
    pub const ALL: [Threshold; 3] = [Threshold::Review, Threshold::Challenge, Threshold::Deny];

    /// The label in metrics and on the page.
    pub fn as_label(self) -> &'static str {
        match self {
            Threshold::Review => "review",
            Threshold::Challenge => "challenge",
            Threshold::Deny => "deny",
        }
    }
}

/// The share of legitimate sign-ins that a threshold promises at most, among those below `stopped_from`.
pub fn promised_share(score: f64, stopped_from: Option<f64>) -> f64 {
    let stopped = stopped_from.map_or(0.0, share);
    (share(score) - stopped).max(0.0) / (1.0 - stopped).max(f64::EPSILON)
}

/// The promises to all sign-ins, to each basis and to the countries with the most sign-ins.
pub fn promises(realised: &Counts, thresholds: &Thresholds) -> Vec<GroupPromises> {
    let mut groups = vec![group_promises(SmolStr::new_static("all"), &realised.sum(None), thresholds)];
    groups.extend(Basis::ALL.into_iter().map(|basis| group_promises(SmolStr::new_static(basis.as_label()), &realised.sum(Some(basis)), thresholds)));
    let mut countries: Vec<GroupPromises> = realised
        .by_country()
        .into_iter()
        .map(|(country, counts)| group_promises(format_smolstr!("country {}", country.as_str()), &counts, thresholds))
        .collect();
    countries.sort_by(|a, b| b.sign_ins.total_cmp(&a.sign_ins));
    groups.extend(countries.into_iter().take(MAX_COUNTRIES));
    groups.retain(|group| group.sign_ins >= 1.0 || group.group == "all");
    groups
}

fn group_promises(group: SmolStr, counts: &CellCounts, thresholds: &Thresholds) -> GroupPromises {
    let stop = thresholds.stopped_from;
    let sign_ins = between(counts, 0.0, stop.unwrap_or(100.0));
    let promise = |(threshold, score): (Threshold, f64)| {
        let is_observed = sign_ins >= 1.0 && stop.is_none_or(|stop| score < stop);
        Promise {
            threshold,
            score,
            promised: promised_share(score, stop.filter(|stop| score < *stop)),
            realised: is_observed.then(|| Rate::new(between(counts, score, stop.unwrap_or(100.0)), sign_ins)),
        }
    };
    GroupPromises { group, sign_ins, promises: thresholds.iter().map(promise).collect() }
}

/// The counts between two scores. Those within a cell are evenly spread over it.
fn between(counts: &CellCounts, from: f64, to: f64) -> f64 {
    let mut sum = 0.0;
    for (cell, count) in counts.iter().enumerate() {
        let edge = |cell: usize| f64::from(u8::try_from(cell).unwrap_or(u8::MAX)) * CELL_WIDTH;
        let covered = (edge(cell + 1).min(to) - edge(cell).max(from)).max(0.0);
        sum += count * covered / CELL_WIDTH;
    }
    sum
}

/// The drift of the newest of these curves, which are of successive days.
pub(crate) fn drift(days: &[(i64, Curve)], thresholds: &Thresholds) -> Drift {
    let Some((today, newest)) = days.last() else { return Drift::default() };
    let largest = |other: &dyn Fn(f64) -> f64| {
        let differences = thresholds.iter().map(|(_, score)| newest.score(score) - other(score));
        differences.fold(0.0, |largest: f64, difference| if difference.abs() > largest.abs() { difference } else { largest })
    };
    let before = days.iter().rev().find(|(day, _)| today - day >= 7);
    Drift { from_shipped: largest(&|score| score), from_week_before: before.map(|(_, curve)| largest(&|score| curve.score(score))) }
}

/// Adds successes of a shipped cell (removes them, if the number is negative) to the counts of the scores that they had, which are evenly spread between two.
pub(crate) fn spread(own: &mut CellCounts, from: f64, to: f64, count: f64) {
    let (from, to) = (from.clamp(0.0, 100.0), to.clamp(0.0, 100.0));
    let (first, last) = (crate::counts::cell(from), crate::counts::cell(to));
    if to - from < 1e-9 || first == last {
        own[first] = (own[first] + count).max(0.0);
        return;
    }
    for (cell, counted) in own.iter_mut().enumerate().take(last.min(CELLS - 1) + 1).skip(first) {
        let edge = f64::from(u8::try_from(cell).unwrap_or(u8::MAX)) * CELL_WIDTH;
        let part = ((edge + CELL_WIDTH).min(to) - edge.max(from)).max(0.0) / (to - from);
        *counted = (*counted + count * part).max(0.0);
    }
}
