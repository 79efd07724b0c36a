//! Everything that is counted in one pass over a log, in room that does not grow with rows.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use smol_str::SmolStr;

use super::meter::{Scores, Spread};
use crate::{
    decision::{Decision, Verdict},
    event::context::Country,
    score::ReasonCode,
    signals::Acquaintance,
};

/// Labels that are kept apart; further ones are counted as `other`.
const MOST_LABELS: usize = 16;

/// Sign-ins that are explained.
const EXPLAINED: usize = 10;

/// Bounds of history sizes in the table.
pub const SIZES: [(u32, &str); 6] = [(0, "0"), (1, "1"), (3, "2-3"), (7, "4-7"), (15, "8-15"), (u32::MAX, "16+")];

/// What was counted.
#[derive(Debug, Default)]
pub struct Census {
    /// What an audit log says besides.
    pub log: LogCounts,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that were left out.
    pub bad: u64,
    /// Failed attempts.
    pub failures: u64,
    /// Sign-ins that were read, by file.
    pub by_file: Vec<u64>,
    /// Rows whose time is before that of the row before.
    pub backward: u64,
    /// Rows whose user is a number that a spreadsheet has rounded.
    pub rounded: u64,
    /// Legitimate sign-ins by verdict: allow, review, deny.
    pub verdicts: [u64; 3],
    /// Sign-ins of people with a history.
    pub known: Group,
    /// Sign-ins of people without one.
    pub new: Group,
    /// Legitimate ones by size of history: all, flagged or denied, denied.
    pub sizes: [[u64; 3]; SIZES.len()],
    /// Legitimate ones by country: all, flagged or denied, denied.
    pub countries: HashMap<Country, [u64; 3]>,
    /// Reasons of flagged and denied sign-ins that weigh for risk: of legitimate ones, of labelled ones.
    pub reasons: BTreeMap<&'static str, [u64; 2]>,
    /// The riskiest legitimate sign-ins.
    pub surprising: BinaryHeap<std::cmp::Reverse<Surprise>>,
}

/// What an audit log says besides its sign-ins, and how they ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct LogCounts {
    /// Lines that say how a sign-in ended.
    pub outcomes: u64,
    /// Those of them whose sign-in is not in the log, or was counted before they came.
    pub strays: u64,
    /// Sign-ins of clients that never say: they count as successes.
    pub presumed: u64,
    /// Sign-ins of which one was a success, and nobody knows which: they count as nothing.
    pub unclear: u64,
    /// Sign-ins that were kept out when they came: they count as failed.
    pub kept_out: u64,
    /// Sign-ins of nobody, left out.
    pub nobody: u64,
    /// Lambda's own lines, the program's, Cognito's events that are no sign-in, and sign-ins that are in the log twice.
    pub foreign: u64,
}

/// Distributions of a group of sign-ins.
#[derive(Debug, Default)]
pub struct Group {
    /// Log-odds of legitimate ones.
    pub legit: Spread,
    /// Their scores.
    pub scores: Scores,
    /// The same of labelled ones, by label.
    pub attacks: BTreeMap<SmolStr, (Spread, Scores)>,
}

/// A legitimate sign-in that looked risky.
#[derive(Debug, Clone, PartialEq)]
pub struct Surprise {
    /// Its log-odds.
    pub log_odds: f64,
    /// Its score.
    pub score: f64,
    /// The file and line.
    pub place: (usize, u64),
    /// What was judged.
    pub decision: Verdict,
    /// Its reasons with their weights.
    pub reasons: Vec<(ReasonCode, f64, Option<SmolStr>)>,
}

impl Census {
    /// Sign-ins that were used: scored, or counted as failed.
    pub fn used(&self) -> u64 {
        self.failures + [&self.known, &self.new].map(|group| group.legit.total() + group.pooled().0.total()).iter().sum::<u64>()
    }

    /// Notes that a sign-in of a file was read.
    pub fn read_from(&mut self, file: usize) {
        if self.by_file.len() <= file {
            self.by_file.resize(file + 1, 0);
        }
        self.by_file[file] += 1;
    }

    /// Those of the files that have no sign-in that was read.
    pub fn unread_files<'a>(&'a self, files: &'a [String]) -> impl Iterator<Item = &'a String> {
        files.iter().enumerate().filter(|(file, _)| self.by_file.get(*file).is_none_or(|count| *count == 0)).map(|(_, name)| name)
    }

    /// Counts a judged sign-in. `label` is empty for a legitimate one.
    pub fn count(&mut self, decision: &Decision, label: &str, place: (usize, u64)) {
        let score = &decision.score;
        let signals = &score.signals;
        let group = match signals.person {
            Acquaintance::Stranger => &mut self.new,
            Acquaintance::Met | Acquaintance::Known => &mut self.known,
        };
        let stopped = [1, u64::from(decision.verdict != Verdict::Allow), u64::from(decision.verdict == Verdict::Deny)];
        if label.is_empty() {
            group.legit.add(score.log_odds);
            group.scores.add(score.value);
            self.verdicts[decision.verdict as usize] += 1;
            let successes = signals.evidence.history.profile.successes;
            let size = SIZES.iter().position(|(most, _)| successes <= *most).unwrap_or(SIZES.len() - 1);
            add(&mut self.sizes[size], stopped);
            if let Some(country) = signals.ip.country {
                add(self.countries.entry(country).or_default(), stopped);
            }
            self.explain(decision, place);
        } else {
            let label = if group.attacks.len() < MOST_LABELS || group.attacks.contains_key(label) { label } else { "other" };
            if !group.attacks.contains_key(label) {
                group.attacks.insert(label.into(), Default::default());
            }
            let (spread, scores) = group.attacks.get_mut(label).expect("it was inserted");
            spread.add(score.log_odds);
            scores.add(score.value);
        }
        if decision.verdict != Verdict::Allow {
            for reason in score.reasons.iter().filter(|reason| reason.weight > 0.0) {
                self.reasons.entry(reason.code.as_label()).or_default()[usize::from(!label.is_empty())] += 1;
            }
        }
    }

    fn explain(&mut self, decision: &Decision, place: (usize, u64)) {
        let score = &decision.score;
        let full = self.surprising.len() == EXPLAINED;
        if full && self.surprising.peek().is_some_and(|least| least.0.log_odds >= score.log_odds) {
            return;
        }
        if full {
            self.surprising.pop();
        }
        let reasons = score.reasons.iter().map(|reason| (reason.code, reason.weight, reason.detail.clone())).collect();
        self.surprising.push(std::cmp::Reverse(Surprise { log_odds: score.log_odds, score: score.value, place, decision: decision.verdict, reasons }));
    }

    /// Both groups as one.
    pub fn everybody(&self) -> Group {
        let mut all = Group::default();
        for group in [&self.known, &self.new] {
            all.legit.merge(&group.legit);
            all.scores.merge(&group.scores);
            for (label, (spread, scores)) in &group.attacks {
                let (into, into_scores) = all.attacks.entry(label.clone()).or_default();
                into.merge(spread);
                into_scores.merge(scores);
            }
        }
        all
    }
}

impl Group {
    /// All labelled sign-ins as one.
    pub fn pooled(&self) -> (Spread, Scores) {
        let mut pooled = (Spread::default(), Scores::default());
        for (spread, scores) in self.attacks.values() {
            pooled.0.merge(spread);
            pooled.1.merge(scores);
        }
        pooled
    }
}

fn add(counts: &mut [u64; 3], more: [u64; 3]) {
    counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
}

impl Eq for Surprise {}

impl PartialOrd for Surprise {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Surprise {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.log_odds.total_cmp(&other.log_odds).then_with(|| other.place.cmp(&self.place))
    }
}
