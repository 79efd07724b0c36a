//! Detection of attacks on the pools of a log, as in live operation: attempts are counted by minute, and a minute is taken up when it is over.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use jiff::Timestamp;
use serde::Serialize;

use crate::history::Key;
use riskgate_engine::{
    evidence::{Evidence, history::AttackWave},
    features::FeatureLevel,
    signals::Signals,
};
use riskgate_pool::{Attack, AttackSummary, Attempt, AttemptKind, Cell, Counts, MINUTE, PoolState, Wave, attempt};

/// Two attempts of a campaign this far apart belong to two campaigns.
const CAMPAIGN_GAP: i64 = 12 * 3_600;

/// An attack that begins up to so long after a campaign's last attempt is still its detection.
const SLACK: i64 = 2 * 3_600;

/// The most attacks and campaigns in a report, and the most pools whose state is stored.
const MAX_REPORTED: usize = 100;
const MAX_POOLS: usize = 1_000;

/// The pools of a log.
#[derive(Debug, Default)]
pub struct AttackDetection {
    pools: HashMap<Key, Pool>,
    periods: Vec<AttackPeriod>,
    campaigns: Vec<Campaign>,
    surges: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Pool {
    name: String,
    state: PoolState,
    minute: i64,
    counts: Counts,
    wave: Wave,
}

/// An attack that was detected.
#[derive(Debug, Clone, Serialize)]
pub struct AttackPeriod {
    /// The pool; empty if the log does not have it.
    pub pool: String,
    /// The estimated onset.
    pub since: Timestamp,
    /// When it was detected.
    pub detected: Timestamp,
    /// The last time at which it was in progress; `None` if it is at the end of the log.
    pub until: Option<Timestamp>,
    /// Unfamiliar attempts since the onset, and those that are usual in such a time.
    pub attempts: u32,
    /// The usual ones among them.
    pub expected: f64,
    /// The accounts, estimated if there are many.
    pub accounts: u64,
    /// The networks, /24 or /48.
    pub networks: u64,
    /// The over-represented values, the most frequent first: at most eight.
    pub cells: Vec<String>,
    /// Whether the log has labels of campaigns, but none at this time.
    pub is_false_alarm: bool,
}

/// A labelled campaign.
#[derive(Debug, Clone, Serialize)]
pub struct Campaign {
    /// The label.
    pub label: String,
    /// The first attempt.
    pub start: Timestamp,
    /// The last attempt.
    pub end: Timestamp,
    /// The number of attempts.
    pub attempts: u64,
    /// When an attack was detected, in seconds after the first attempt; `None` if none was.
    pub detected_after: Option<i64>,
}

/// What a report says about attacks.
#[derive(Debug, Default, Serialize)]
pub struct AttackReport {
    /// Attacks that were detected.
    pub periods: Vec<AttackPeriod>,
    /// Labelled campaigns.
    pub campaigns: Vec<Campaign>,
    /// Attempts of labelled surges of legitimate sign-ins, by kind.
    pub surges: BTreeMap<String, u64>,
}

impl AttackDetection {
    /// Moves a pool to the time of an attempt. Returns what the attempt has in common with an attack in progress.
    pub fn matching(&mut self, pool: Key, evidence: &Evidence) -> Option<AttackWave> {
        let minute = evidence.sign_in.at.timestamp().as_second().div_euclid(MINUTE);
        if self.pools.len() >= MAX_POOLS && !self.pools.contains_key(&pool) {
            return None;
        }
        let known = self.pools.entry(pool).or_insert_with(|| Pool { name: evidence.sign_in.pool.to_string(), minute, ..Pool::default() });
        if minute > known.minute {
            let ended = known.end_minute(minute);
            self.periods.extend(ended.iter().map(|attack| period(known, attack, true)));
        }
        self.pools.get(&pool)?.wave.matching(evidence)
    }

    /// Counts an attempt. `passed` is whether it succeeded.
    pub fn count(&mut self, pool: Key, user: Key, signals: &Signals, passed: bool) {
        let Some(known) = self.pools.get_mut(&pool) else { return };
        let evidence = &signals.evidence;
        let kind = AttemptKind::of(signals);
        let attempt = Attempt { user: user.short(), network: evidence.features.at(FeatureLevel::Network), kind, cells: Cell::of(evidence) };
        let level = attempt::level_for(known.counts.attempts);
        let counted = attempt.increments(level).into_iter().flatten();
        counted.for_each(|(name, value)| known.counts.add(&name, value));
        if passed {
            self.count_success(pool, signals);
        }
    }

    /// Counts the success of an attempt that was counted before.
    pub fn count_success(&mut self, pool: Key, signals: &Signals) {
        let Some(known) = self.pools.get_mut(&pool) else { return };
        if AttemptKind::of(signals) == AttemptKind::NoHistory {
            attempt::first_success().iter().for_each(|(name, value)| known.counts.add(name, *value));
        }
        if signals.evidence.history.attack_wave.is_some() {
            attempt::success_in_wave().iter().for_each(|(name, value)| known.counts.add(name, *value));
        }
    }

    /// Counts an attempt of a labelled campaign.
    pub fn add_campaign(&mut self, label: &str, at: Timestamp) {
        let has_room = self.campaigns.len() < MAX_REPORTED;
        match self.campaigns.iter_mut().rev().find(|campaign| campaign.label == label) {
            Some(campaign) if at.as_second() - campaign.end.as_second() < CAMPAIGN_GAP => {
                campaign.end = campaign.end.max(at);
                campaign.attempts += 1;
            }
            Some(_) | None if has_room => {
                self.campaigns.push(Campaign { label: label.to_owned(), start: at, end: at, attempts: 1, detected_after: None });
            }
            Some(_) | None => {}
        }
    }

    /// Counts an attempt of a surge.
    pub fn add_surge(&mut self, surge: &str) {
        if let Some(count) = self.surges.get_mut(surge) {
            *count += 1;
        } else if self.surges.len() < MAX_REPORTED {
            self.surges.insert(surge.to_owned(), 1);
        }
    }

    /// The report at the end of the log.
    pub fn into_report(self) -> AttackReport {
        let AttackDetection { pools, mut periods, mut campaigns, surges } = self;
        for mut pool in pools.into_values() {
            let ended = pool.end_minute(pool.minute + 1);
            periods.extend(ended.iter().map(|attack| period(&pool, attack, true)));
            periods.extend(pool.state.attack.iter().map(|attack| period(&pool, attack, false)));
        }
        periods.sort_by(|a, b| a.since.cmp(&b.since).then_with(|| a.pool.cmp(&b.pool)));
        for campaign in &mut campaigns {
            let (start, end) = (campaign.start.as_second(), campaign.end.as_second());
            let detected = periods.iter().filter(|period| period.overlaps(start, end)).map(|period| (period.detected.as_second() - start).max(0)).min();
            campaign.detected_after = detected.filter(|after| start + after <= end + SLACK);
        }
        for period in &mut periods {
            period.is_false_alarm =
                !campaigns.is_empty() && !campaigns.iter().any(|campaign| period.overlaps(campaign.start.as_second(), campaign.end.as_second()));
        }
        periods.truncate(MAX_REPORTED);
        AttackReport { periods, campaigns, surges }
    }
}

impl Pool {
    fn end_minute(&mut self, next: i64) -> Vec<Attack> {
        let minutes = BTreeMap::from([(self.minute, std::mem::take(&mut self.counts))]);
        let ended = self.state.advance(&minutes, next);
        self.minute = next;
        self.wave = if self.state.attack.is_some() { Wave::of(&self.state) } else { Wave::default() };
        ended
    }
}

impl AttackPeriod {
    fn overlaps(&self, start: i64, end: i64) -> bool {
        let until = self.until.map_or(i64::MAX, Timestamp::as_second);
        until >= start && self.detected.as_second() <= end + SLACK && self.detected.as_second() >= start
    }
}

fn period(pool: &Pool, attack: &Attack, is_over: bool) -> AttackPeriod {
    let at = |second: i64| Timestamp::from_second(second).unwrap_or_default();
    let summary = AttackSummary::of(attack, &pool.state);
    AttackPeriod {
        pool: pool.name.clone(),
        since: at(summary.since),
        detected: at(summary.detected),
        until: is_over.then(|| at(summary.last_high)),
        attempts: summary.attempts,
        expected: summary.expected,
        accounts: summary.accounts,
        networks: summary.networks,
        cells: summary.cells.iter().map(ToString::to_string).collect(),
        is_false_alarm: false,
    }
}

/// Writes the attacks and campaigns as text.
///
/// # Errors
///
/// If the writer fails.
pub fn write_text(report: &AttackReport, out: &mut impl fmt::Write) -> fmt::Result {
    if !report.periods.is_empty() {
        writeln!(out, "\nattacks on a pool")?;
    }
    for period in &report.periods {
        let AttackPeriod { pool, since, detected, until, attempts, expected, accounts, networks, cells, is_false_alarm } = period;
        let until = until.map_or_else(|| "the end of the log".to_owned(), |until| until.to_string());
        let mark = if *is_false_alarm { ", not labelled" } else { "" };
        let name = if pool.is_empty() { String::new() } else { format!("{pool}: ") };
        writeln!(
            out,
            "  {name}since {since} (detected {detected}) until {until}: {attempts} unfamiliar attempts, {expected:.0} are usual, on {accounts} accounts from {networks} networks{mark}"
        )?;
        if !cells.is_empty() {
            writeln!(out, "    most from {}", cells.join(", "))?;
        }
    }
    for Campaign { label, start, end, attempts, detected_after } in &report.campaigns {
        let detected = detected_after.map_or_else(|| "not detected".to_owned(), |after| format!("detected after {:.1} min", minutes(after)));
        writeln!(out, "  campaign {label}: {attempts} attempts, {start} to {end}, {detected}")?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "seconds of days")]
fn minutes(seconds: i64) -> f64 {
    seconds as f64 / 60.0
}
