//! Learns the model's tables from a log.
//!
//! The first pass counts novelty rates, hours and base rates. The second pass evaluates the same log with those tables
//! and measures the quantiles of S and the calibration. S is the sum of the score's terms, without its base.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use smol_str::SmolStr;

use crate::roc::Distribution;
use riskgate_engine::{
    context::Country,
    decision::Decision,
    evidence::Evidence,
    features::FeatureLevel,
    score::{
        model::{Model, Tables},
        novelty::{GAPS, LEVELS, NoveltyCounts, SEEN, gap_bucket, seen_bucket},
        quantiles::Cohort,
    },
    signals::{HistoryDepth, familiarity::Familiarity},
    user_agent::DeviceType,
};

/// The fewest labelled sign-ins from which calibration is fitted.
pub const MIN_LABELLED: u64 = 50;

/// The fewest sign-ins from which a share of a quantile table is measured.
const MIN_TAIL: f64 = 20.0;

/// Values with fewer sign-ins are left out of the base rates: they are noise, and may identify a user.
const MIN_SIGN_INS: u64 = 5;

/// Score points per unit of S beyond the last measured share. At most e^-S of legitimate sign-ins have evidence that is e^S
/// times likelier under attack (Markov's inequality), so a unit is worth at least 25 / ln 10 points.
const TAIL_SLOPE: f64 = 10.857_362_047_581_296;

/// Counts of legitimate sign-ins and of attacks.
type LegitAttackCounts = [u64; 2];

/// Collects statistics of sign-ins and builds the tables from them.
#[derive(Debug, Default)]
pub struct TableBuilder {
    novelty: NoveltyCounts,
    hours: [[u64; 2]; 24],
    countries: HashMap<Country, LegitAttackCounts>,
    asns: HashMap<(Country, u32), LegitAttackCounts>,
    devices: HashMap<(DeviceType, SmolStr, SmolStr), LegitAttackCounts>,
    /// S of legitimate sign-ins, by cohort.
    legit: [Distribution; 3],
    /// S of labelled sign-ins.
    attacks: Distribution,
    last: Option<jiff::Timestamp>,
    sign_ins: u64,
    slope: f64,
    pass: LearnPass,
}

/// The passes over the log that learning needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LearnPass {
    /// The first: novelty, hours, base rates.
    #[default]
    First,
    /// The second: quantiles and calibration.
    Second,
}

impl TableBuilder {
    /// Creates an empty builder. `model` is the one that evaluates the log.
    pub fn new(model: &Model, pass: LearnPass) -> Self {
        TableBuilder { slope: model.weights().slope, pass, ..TableBuilder::default() }
    }

    /// Adds the statistics of another log.
    pub fn merge(&mut self, other: &TableBuilder) {
        let cells = self.novelty.cells.iter_mut().flatten().flatten();
        cells.zip(other.novelty.cells.iter().flatten().flatten()).for_each(|(own, other)| *own = (own.0 + other.0, own.1 + other.1));
        self.legit.iter_mut().zip(&other.legit).for_each(|(own, other)| own.merge(other));
        self.attacks.merge(&other.attacks);
        self.sign_ins += other.sign_ins;
        let add = |own: &mut LegitAttackCounts, other: &LegitAttackCounts| own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        self.hours.iter_mut().zip(&other.hours).for_each(|(own, other)| add(own, other));
        other.countries.iter().for_each(|(at, counts)| add(self.countries.entry(*at).or_default(), counts));
        other.asns.iter().for_each(|(at, counts)| add(self.asns.entry(*at).or_default(), counts));
        other.devices.iter().for_each(|(at, counts)| add(self.devices.entry(at.clone()).or_default(), counts));
        self.last = self.last.max(other.last);
    }

    /// Whether each sign-in must be evaluated without its context too.
    pub fn needs_evaluation_without_context(&self) -> bool {
        self.pass == LearnPass::Second
    }

    /// Adds a failed attempt. It counts as an attack in the hours and the base rates.
    pub fn add_failure(&mut self, evidence: &Evidence, hour: Option<u8>) {
        self.count_origin(evidence, 1);
        if let Some(hour) = hour {
            self.hours[usize::from(hour % 24)][1] += 1;
        }
    }

    /// Adds a successful sign-in.
    pub fn add_success(&mut self, decision: &Decision, hour: Option<u8>) {
        let signals = &decision.score.signals;
        self.sign_ins += 1;
        self.last = Some(signals.evidence.sign_in.at.timestamp());
        self.count_origin(&signals.evidence, 0);
        let device = &signals.device;
        if let (Some(kind), Some(os), Some(browser)) = (device.device_type, &device.os, &device.browser) {
            self.devices.entry((kind, os.clone(), browser.clone())).or_default()[0] += 1;
        }
        if let Some(hour) = hour {
            self.hours[usize::from(hour % 24)][0] += 1;
        }
        if let Some(gap) = signals.time.gap {
            let gap = gap_bucket(gap);
            let ip = &signals.ip;
            for (level, familiarity) in [
                (FeatureLevel::Country, ip.country_familiarity),
                (FeatureLevel::Asn, ip.asn_familiarity),
                (FeatureLevel::Network, ip.network_familiarity),
                (FeatureLevel::Ip, ip.ip_familiarity),
                (FeatureLevel::DeviceType, device.device_type_familiarity),
                (FeatureLevel::Os, device.os_familiarity),
                (FeatureLevel::Browser, device.browser_familiarity),
                (FeatureLevel::UserAgent, device.user_agent_familiarity),
                (FeatureLevel::Device, device.device_familiarity),
            ] {
                let (novel, of) = match familiarity {
                    Familiarity::Unknown | Familiarity::ParentIsNew | Familiarity::Updated => continue,
                    Familiarity::New { of } => (1.0, of),
                    Familiarity::Seen { of, .. } => (0.0, of),
                };
                let cell = &mut self.novelty.cells[level as usize][seen_bucket(of)][gap];
                cell.0 += novel;
                cell.1 += 1.0;
            }
        }
        let cohort = match signals.history_depth {
            HistoryDepth::None => Cohort::New,
            HistoryDepth::OneDay | HistoryDepth::Established => Cohort::Known,
        };
        self.legit[cohort as usize].add(self.s(decision));
    }

    /// Adds the decision on a successful sign-in without its context.
    pub fn add_without_context(&mut self, decision: &Decision) {
        self.legit[Cohort::NoContext as usize].add(self.s(decision));
    }

    /// Adds a labelled sign-in. Users without a history and empty labels are ignored.
    pub fn add_labelled(&mut self, decision: &Decision, label: &str) {
        if !label.is_empty() && decision.score.signals.history_depth != HistoryDepth::None {
            self.attacks.add(self.s(decision));
        }
    }

    /// Returns the number of successful sign-ins.
    pub fn sign_ins(&self) -> u64 {
        self.sign_ins
    }

    /// Builds the tables of the first pass (novelty, hours, base rates). The others are unchanged.
    pub fn build_first_tables(&self, mut tables: Tables) -> Tables {
        tables.novelty = self.novelty_table();
        tables.hours = self.hours_table();
        tables.priors = self.priors_table();
        tables.date = self.last.map(|last| last.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
        tables
    }

    /// Builds the tables of the second pass (quantiles, calibration). Also returns a summary of what was fitted.
    pub fn build_second_tables(&self, mut tables: Tables) -> (Tables, String) {
        tables.quantiles = self.quantile_table();
        let mut summary = format!("quantiles from {} sign-ins of known users and {} of new ones", self.legit[0].total(), self.legit[1].total());
        if self.attacks.total() < MIN_LABELLED {
            let _ = write!(summary, "; calibration is unchanged ({} labelled sign-ins, {MIN_LABELLED} are needed)", self.attacks.total());
            return (tables, summary);
        }
        let (slope, offset) = self.fit_calibration();
        let _ = write!(summary, "; calibration from {} labelled sign-ins: slope {slope:.3}, offset {offset:.3}", self.attacks.total());
        tables.weights = tables
            .weights
            .lines()
            .map(|line| match line.split_once(',').map(|(name, _)| name) {
                Some("slope") => format!("slope,{slope:.4},fitted on this log's labels\n"),
                Some("offset") => format!("offset,{offset:.4},fitted on this log's labels\n"),
                Some(_) | None => format!("{line}\n"),
            })
            .collect();
        (tables, summary)
    }

    /// Returns the share of sign-ins with a new value, by level.
    pub fn novelty_rates(&self) -> Vec<(&'static str, f64)> {
        let rate = |cells: &[[(f64, f64); GAPS.len()]; SEEN.len()]| {
            let (novel, total) = cells.iter().flatten().fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
            if total > 0.0 { novel / total } else { 0.0 }
        };
        LEVELS.iter().zip(&self.novelty.cells).map(|(level, cells)| (*level, rate(cells))).collect()
    }

    /// Returns S of a decision.
    fn s(&self, decision: &Decision) -> f64 {
        (decision.score.log_odds - decision.score.base) / self.slope
    }

    /// Counts the country and the AS. `class` is 0 for legitimate sign-ins and 1 for attacks.
    fn count_origin(&mut self, evidence: &Evidence, class: usize) {
        let Some(country) = evidence.networks.country else { return };
        self.countries.entry(country).or_default()[class] += 1;
        if let Some(asn) = evidence.networks.asn {
            self.asns.entry((country, asn)).or_default()[class] += 1;
        }
    }

    fn novelty_table(&self) -> String {
        let mut text = "level,seen,gap,novel,total\n".to_owned();
        for (level, cells) in LEVELS.iter().zip(&self.novelty.cells) {
            for (seen, row) in SEEN.iter().zip(cells) {
                for (gap, (novel, total)) in GAPS.iter().zip(row) {
                    let _ = writeln!(text, "{level},{seen},{gap},{novel},{total}");
                }
            }
        }
        text
    }

    fn hours_table(&self) -> String {
        let mut text = "hour,legit,attack\n".to_owned();
        for (hour, [legit, attack]) in self.hours.iter().enumerate() {
            let _ = writeln!(text, "{hour},{legit},{attack}");
        }
        text
    }

    fn priors_table(&self) -> String {
        let enough = |counts: &LegitAttackCounts| counts[0] + counts[1] >= MIN_SIGN_INS;
        let mut text = "level,first,second,third,legit,attack\n".to_owned();
        let countries: BTreeMap<&str, &LegitAttackCounts> = self.countries.iter().map(|(country, counts)| (country.as_str(), counts)).collect();
        for (country, [legit, attack]) in countries.into_iter().filter(|(_, counts)| enough(counts)) {
            let _ = writeln!(text, "country,{country},,,{legit},{attack}");
        }
        let asns: BTreeMap<(&str, u32), &LegitAttackCounts> = self.asns.iter().map(|((country, asn), counts)| ((country.as_str(), *asn), counts)).collect();
        for ((country, asn), [legit, attack]) in asns.into_iter().filter(|(_, counts)| enough(counts)) {
            let _ = writeln!(text, "asn,{country},{asn},,{legit},{attack}");
        }
        let (mut kinds, mut systems, mut browsers) = (BTreeMap::<&str, u64>::new(), BTreeMap::<(&str, &str), u64>::new(), BTreeMap::new());
        for ((kind, os, browser), [legit, _]) in &self.devices {
            *kinds.entry(kind.as_label()).or_default() += legit;
            *systems.entry((kind.as_label(), os)).or_default() += legit;
            browsers.insert((kind.as_label(), os.as_str(), browser.as_str()), *legit);
        }
        for (kind, legit) in kinds {
            let _ = writeln!(text, "device_type,{kind},,,{legit},0");
        }
        for ((kind, os), legit) in systems.into_iter().filter(|(_, legit)| *legit >= MIN_SIGN_INS) {
            let _ = writeln!(text, "os,{kind},{},,{legit},0", quote(os));
        }
        for ((kind, os, browser), legit) in browsers.into_iter().filter(|(_, legit)| *legit >= MIN_SIGN_INS) {
            let _ = writeln!(text, "browser,{kind},{},{},{legit},0", quote(os), quote(browser));
        }
        text
    }

    fn quantile_table(&self) -> String {
        let mut text = "table,s,score\n".to_owned();
        for cohort in Cohort::ALL {
            for (s, score) in knots(&self.legit[cohort as usize]) {
                let _ = writeln!(text, "{},{s:.4},{score}", cohort.as_label());
            }
        }
        text
    }

    /// Fits the slope and offset of Platt scaling by Newton's method. Both classes have equal weight, because the prior is added at evaluation.
    fn fit_calibration(&self) -> (f64, f64) {
        let legit = &self.legit[Cohort::Known as usize];
        #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
        let (all, attacks) = (legit.total().max(1) as f64, self.attacks.total().max(1) as f64);
        let points: Vec<(f64, f64, f64)> =
            legit.iter().map(|(s, n)| (s, n / all, 0.0)).chain(self.attacks.iter().map(|(s, n)| (s, n / attacks, 1.0))).collect();
        let (mut slope, mut offset) = (0.6, 0.0);
        for _ in 0..50 {
            let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 1e-9, 0.0, 1e-9);
            for (s, weight, is_attack) in &points {
                let p = 1.0 / (1.0 + (-(offset + slope * s)).exp());
                let (error, curve) = (weight * (is_attack - p), weight * p * (1.0 - p));
                (g0, g1) = (g0 + error, g1 + error * s);
                (h00, h01, h11) = (h00 + curve, h01 + curve * s, h11 + curve * s * s);
            }
            let det = h00 * h11 - h01 * h01;
            offset += (h11 * g0 - h01 * g1) / det;
            slope += (h00 * g1 - h01 * g0) / det;
        }
        (slope.clamp(0.05, 2.0), offset.clamp(-5.0, 5.0))
    }
}

/// Returns the knots (S, score) of one quantile table: measured shares, then a tail of fixed slope up to 100.
fn knots(distribution: &Distribution) -> Vec<(f64, f64)> {
    let lowest = distribution.iter().next().map_or(0.0, |(s, _)| s).min(0.0) - 1.0;
    let mut knots = vec![(lowest, 0.0)];
    #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
    let total = distribution.total() as f64;
    for half in 1..200 {
        let score = f64::from(half) / 2.0;
        let share = 10_f64.powf(-score / 25.0);
        if share * total < MIN_TAIL {
            break;
        }
        // If many sign-ins have the same S, they get the lowest of its scores, and the curve rises from there.
        let Some(s) = distribution.upper_quantile(share).filter(|s| *s > knots[knots.len() - 1].0 + 0.005) else { continue };
        knots.push((s, score));
    }
    let (last, score) = knots[knots.len() - 1];
    // Without measurements, the tail starts at S = 0, where there is no evidence of risk.
    knots.push((last.max(0.0) + (100.0 - score) / TAIL_SLOPE, 100.0));
    knots
}

/// Quotes a CSV field if necessary.
fn quote(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knots_rise_from_0_to_100_for_any_sample_size() {
        for count in [0, 1, 10, 1_000, 400_000] {
            let mut distribution = Distribution::default();
            (0..count).for_each(|at| distribution.add(f64::from(at % 700) / 100.0));
            // One value in 10,000 is far out in the tail.
            (0..count / 10_000).for_each(|_| distribution.add(12.0));
            let knots = knots(&distribution);
            assert!(knots.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{knots:?}");
            assert_eq!((knots[0].1, knots[knots.len() - 1].1), (0.0, 100.0));
        }
    }
}
