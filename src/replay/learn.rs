//! The model's tables, made from one's own log.
//!
//! Two passes: the first counts what is new at which rate, the hours and the base rates; the second
//! judges the same log under those, and finds how rare each value of S is and how it is calibrated.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use smol_str::SmolStr;

use super::meter::Spread;
use crate::{
    decision::Decision,
    event::{context::Country, user_agent::DeviceType},
    evidence::{Evidence, features::Level},
    score::{
        Model, Tables,
        novelty::{GAPS, LEVELS, NoveltyCounts, SEEN, gap_bucket, seen_bucket},
        quantiles::Peers,
    },
    signals::{Acquaintance, Familiarity},
};

/// Labelled sign-ins from which calibration is fitted; fewer say too little.
pub const ENOUGH_LABELS: u64 = 50;

/// Sign-ins that the rarest share of a quantile table must stand on.
const ENOUGH_TAIL: f64 = 20.0;

/// Values with fewer sign-ins are left out of the base rates: they are noise, and may be one person.
const ENOUGH_SIGN_INS: u64 = 5;

/// Score points a unit of S beyond the last measured share: of honest sign-ins at most e^-S look e^S times likelier
/// to be an attacker's (Markov), so each unit costs at least 25 / ln 10 points.
const TAIL_SLOPE: f64 = 10.857_362_047_581_296;

/// Counts of legitimate sign-ins and of attacks.
type Pair = [u64; 2];

/// What the tables are made of.
#[derive(Debug, Default)]
pub struct Lessons {
    novelty: NoveltyCounts,
    hours: [[u64; 2]; 24],
    countries: HashMap<Country, Pair>,
    asns: HashMap<(Country, u32), Pair>,
    devices: HashMap<(DeviceType, SmolStr, SmolStr), Pair>,
    /// S of legitimate sign-ins, by peers.
    spreads: [Spread; 3],
    /// S of labelled ones.
    attacks: Spread,
    last: Option<jiff::Timestamp>,
    sign_ins: u64,
    slope: f64,
    pass: Pass,
}

/// Which pass over the log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pass {
    /// The first: novelty, hours, base rates.
    #[default]
    First,
    /// The second: quantiles and calibration.
    Second,
}

impl Lessons {
    /// Nothing yet, under a model whose S is read from log-odds.
    pub fn new(model: &Model, pass: Pass) -> Self {
        Lessons { slope: model.weights().slope, pass, ..Lessons::default() }
    }

    /// Adds what another log taught.
    pub fn merge(&mut self, other: &Lessons) {
        let cells = self.novelty.cells.iter_mut().flatten().flatten();
        cells.zip(other.novelty.cells.iter().flatten().flatten()).for_each(|(own, other)| *own = (own.0 + other.0, own.1 + other.1));
        self.spreads.iter_mut().zip(&other.spreads).for_each(|(own, other)| own.merge(other));
        self.attacks.merge(&other.attacks);
        self.sign_ins += other.sign_ins;
        let add = |own: &mut Pair, other: &Pair| own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        self.hours.iter_mut().zip(&other.hours).for_each(|(own, other)| add(own, other));
        other.countries.iter().for_each(|(at, counts)| add(self.countries.entry(*at).or_default(), counts));
        other.asns.iter().for_each(|(at, counts)| add(self.asns.entry(*at).or_default(), counts));
        other.devices.iter().for_each(|(at, counts)| add(self.devices.entry(at.clone()).or_default(), counts));
        self.last = self.last.max(other.last);
    }

    /// Whether each sign-in is to be judged without its context too.
    pub fn wants_stripped(&self) -> bool {
        self.pass == Pass::Second
    }

    /// Takes a failed attempt: the attackers' side of hours and places.
    pub fn failed(&mut self, evidence: &Evidence, hour: Option<u8>) {
        self.place(evidence, 1);
        if let Some(hour) = hour {
            self.hours[usize::from(hour % 24)][1] += 1;
        }
    }

    /// Takes a judged success.
    pub fn passed(&mut self, decision: &Decision, hour: Option<u8>) {
        let signals = &decision.score.signals;
        self.sign_ins += 1;
        self.last = Some(signals.evidence.sign_in.at.timestamp());
        self.place(&signals.evidence, 0);
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
                (Level::Country, ip.country_familiarity),
                (Level::Asn, ip.asn_familiarity),
                (Level::Network, ip.network_familiarity),
                (Level::Ip, ip.ip_familiarity),
                (Level::DeviceType, device.device_type_familiarity),
                (Level::Os, device.os_familiarity),
                (Level::Browser, device.browser_familiarity),
                (Level::UserAgent, device.user_agent_familiarity),
                (Level::Device, device.device_familiarity),
            ] {
                let (novel, of) = match familiarity {
                    Familiarity::Unknown | Familiarity::Beneath => continue,
                    Familiarity::New { of } => (1.0, of),
                    Familiarity::Seen { of, .. } => (0.0, of),
                };
                let cell = &mut self.novelty.cells[level as usize][seen_bucket(of)][gap];
                cell.0 += novel;
                cell.1 += 1.0;
            }
        }
        let peers = match signals.person {
            Acquaintance::Stranger => Peers::New,
            Acquaintance::Met | Acquaintance::Known => Peers::Known,
        };
        self.spreads[peers as usize].add(self.s(decision));
    }

    /// Takes the same sign-in again, stripped of its context.
    pub fn stripped(&mut self, decision: &Decision) {
        self.spreads[Peers::NoContext as usize].add(self.s(decision));
    }

    /// Takes a labelled sign-in of somebody with a history.
    pub fn labelled(&mut self, decision: &Decision, label: &str) {
        if !label.is_empty() && decision.score.signals.person != Acquaintance::Stranger {
            self.attacks.add(self.s(decision));
        }
    }

    /// Successes seen.
    pub fn sign_ins(&self) -> u64 {
        self.sign_ins
    }

    /// Tables of novelty, hours and base rates; the others stay as they are.
    pub fn first_tables(&self, mut tables: Tables) -> Tables {
        tables.novelty = self.novelty_table();
        tables.hours = self.hours_table();
        tables.priors = self.priors_table();
        tables.date = self.last.map(|last| last.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
        tables
    }

    /// Quantiles and calibration on top, from a pass under the first tables; and the words that say what was fitted.
    pub fn second_tables(&self, mut tables: Tables) -> (Tables, String) {
        tables.quantiles = self.quantile_table();
        let mut said = format!("quantiles from {} sign-ins of known people and {} of new ones", self.spreads[0].total(), self.spreads[1].total());
        if self.attacks.total() < ENOUGH_LABELS {
            let _ = write!(said, "; calibration left as it was ({} labelled sign-ins, {ENOUGH_LABELS} are needed)", self.attacks.total());
            return (tables, said);
        }
        let (slope, offset) = self.calibration();
        let _ = write!(said, "; calibration from {} labelled sign-ins: slope {slope:.3}, offset {offset:.3}", self.attacks.total());
        tables.weights = tables
            .weights
            .lines()
            .map(|line| match line.split_once(',').map(|(name, _)| name) {
                Some("slope") => format!("slope,{slope:.4},fitted on this log's labels\n"),
                Some("offset") => format!("offset,{offset:.4},fitted on this log's labels\n"),
                Some(_) | None => format!("{line}\n"),
            })
            .collect();
        (tables, said)
    }

    /// How often something new was brought, by level.
    pub fn novelty_rates(&self) -> Vec<(&'static str, f64)> {
        let rate = |cells: &[[(f64, f64); GAPS.len()]; SEEN.len()]| {
            let (novel, total) = cells.iter().flatten().fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
            if total > 0.0 { novel / total } else { 0.0 }
        };
        LEVELS.iter().zip(&self.novelty.cells).map(|(level, cells)| (*level, rate(cells))).collect()
    }

    fn s(&self, decision: &Decision) -> f64 {
        (decision.score.log_odds - decision.score.base) / self.slope
    }

    fn place(&mut self, evidence: &Evidence, side: usize) {
        let Some(country) = evidence.networks.country else { return };
        self.countries.entry(country).or_default()[side] += 1;
        if let Some(asn) = evidence.networks.asn {
            self.asns.entry((country, asn)).or_default()[side] += 1;
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
        let enough = |counts: &Pair| counts[0] + counts[1] >= ENOUGH_SIGN_INS;
        let mut text = "level,first,second,third,legit,attack\n".to_owned();
        let countries: BTreeMap<&str, &Pair> = self.countries.iter().map(|(country, counts)| (country.as_str(), counts)).collect();
        for (country, [legit, attack]) in countries.into_iter().filter(|(_, counts)| enough(counts)) {
            let _ = writeln!(text, "country,{country},,,{legit},{attack}");
        }
        let asns: BTreeMap<(&str, u32), &Pair> = self.asns.iter().map(|((country, asn), counts)| ((country.as_str(), *asn), counts)).collect();
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
        for ((kind, os), legit) in systems.into_iter().filter(|(_, legit)| *legit >= ENOUGH_SIGN_INS) {
            let _ = writeln!(text, "os,{kind},{},,{legit},0", quoted(os));
        }
        for ((kind, os, browser), legit) in browsers.into_iter().filter(|(_, legit)| *legit >= ENOUGH_SIGN_INS) {
            let _ = writeln!(text, "browser,{kind},{},{},{legit},0", quoted(os), quoted(browser));
        }
        text
    }

    fn quantile_table(&self) -> String {
        let mut text = "table,s,score\n".to_owned();
        for peers in Peers::ALL {
            for (s, score) in knots(&self.spreads[peers as usize]) {
                let _ = writeln!(text, "{},{s:.4},{score}", peers.as_label());
            }
        }
        text
    }

    /// Platt's two parameters by Newton's method, with attacks weighted to half: the prior is added when a sign-in is judged.
    fn calibration(&self) -> (f64, f64) {
        let legit = &self.spreads[Peers::Known as usize];
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

/// Knots of one quantile table: shares as far as they are measured, then the tail's slope up to 100.
fn knots(spread: &Spread) -> Vec<(f64, f64)> {
    let lowest = spread.iter().next().map_or(0.0, |(s, _)| s).min(0.0) - 1.0;
    let mut knots = vec![(lowest, 0.0)];
    #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
    let total = spread.total() as f64;
    for half in 1..200 {
        let score = f64::from(half) / 2.0;
        let share = 10_f64.powf(-score / 25.0);
        if share * total < ENOUGH_TAIL {
            break;
        }
        // A knot where many sign-ins share one S belongs to the lowest score they have; beyond it the curve climbs on at once.
        let Some(s) = spread.reached_by(share).filter(|s| *s > knots[knots.len() - 1].0 + 0.005) else { continue };
        knots.push((s, score));
    }
    let (last, score) = knots[knots.len() - 1];
    // A table that nothing was measured for starts from the middle of nowhere: at S = 0, nothing speaks against anybody.
    knots.push((last.max(0.0) + (100.0 - score) / TAIL_SLOPE, 100.0));
    knots
}

/// A CSV field.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knots_rise_from_0_to_100_however_much_was_measured() {
        for count in [0, 1, 10, 1_000, 400_000] {
            let mut spread = Spread::default();
            (0..count).for_each(|at| spread.add(f64::from(at % 700) / 100.0));
            // The rarest: one in a hundred thousand, which is beyond 100 points.
            (0..count / 10_000).for_each(|_| spread.add(12.0));
            let knots = knots(&spread);
            assert!(knots.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{knots:?}");
            assert_eq!((knots[0].1, knots[knots.len() - 1].1), (0.0, 100.0));
        }
    }
}
