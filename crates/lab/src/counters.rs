//! The counters of one pass over a log. Their memory does not grow with the number of rows.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::roc::{Distribution, ScoreDistribution};
use riskgate_config::pseudonym::Pseudonyms;
use riskgate_engine::{
    context::Country,
    decision::{Decision, Verdict},
    score::reason::ReasonCode,
    signals::HistoryDepth,
};

/// The most labels that are counted separately. Further ones are counted as `other`.
const MAX_LABELS: usize = 16;

/// How many of the riskiest legitimate sign-ins are stored.
const MAX_SURPRISING: usize = 10;

/// The groups of history sizes: the upper bound of each, in successes, and its name.
pub const HISTORY_SIZES: [(u32, &str); 6] = [(0, "0"), (1, "1"), (3, "2-3"), (7, "4-7"), (15, "8-15"), (u32::MAX, "16+")];

/// The counts of a pass.
#[derive(Debug, Default)]
pub struct Counters {
    /// Counts that only audit logs have.
    pub log: LogCounts,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that cannot be read.
    pub bad: u64,
    /// Failed attempts.
    pub failures: u64,
    /// Sign-ins read, by file.
    pub by_file: Vec<u64>,
    /// Rows that are earlier than the row before them.
    pub out_of_order: u64,
    /// Rows whose user id was rounded by a spreadsheet.
    pub rounded_users: u64,
    /// Legitimate sign-ins by verdict.
    pub verdicts: VerdictTable<u64>,
    /// Sign-ins of users with a history.
    pub known: SignInGroup,
    /// Sign-ins of users without a history.
    pub new: SignInGroup,
    /// Legitimate sign-ins by size of history: all, flagged or denied, denied.
    pub by_history_size: [[u64; 3]; HISTORY_SIZES.len()],
    /// Legitimate sign-ins by country: all, flagged or denied, denied.
    pub by_country: HashMap<Country, [u64; 3]>,
    /// Reasons that raise the score of flagged or denied sign-ins: legitimate ones, labelled ones.
    pub reasons: BTreeMap<&'static str, [u64; 2]>,
    /// The riskiest legitimate sign-ins.
    pub surprising: BinaryHeap<std::cmp::Reverse<SurprisingSignIn>>,
}

/// One value for each verdict. In JSON it is an object with the verdicts' labels.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct VerdictTable<T> {
    allow: T,
    review: T,
    challenge: T,
    deny: T,
}

/// Counts of the outcomes and the other lines of an audit log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct LogCounts {
    /// Lines that report an outcome.
    pub outcomes: u64,
    /// Outcomes whose sign-in is not in the log, or is not pending any more.
    #[serde(rename = "strays")]
    pub unmatched: u64,
    /// Sign-ins that count as successes because their client never reports outcomes.
    pub presumed: u64,
    /// Sign-ins that are not counted because one of several succeeded and the log does not identify it.
    #[serde(rename = "unclear")]
    pub ambiguous: u64,
    /// Sign-ins that were denied live. They count as failed.
    #[serde(rename = "kept_out")]
    pub denied_live: u64,
    /// Sign-ins without a user. They are left out.
    #[serde(rename = "nobody")]
    pub without_user: u64,
    /// Lines of Lambda and of the program's own log, Cognito events that are not sign-ins, and repeated sign-ins.
    #[serde(rename = "foreign")]
    pub other_lines: u64,
}

/// The distributions of a group of sign-ins.
#[derive(Debug, Default)]
pub struct SignInGroup {
    /// The log-odds of legitimate sign-ins.
    pub legit: Distribution,
    /// The scores of legitimate sign-ins.
    pub scores: ScoreDistribution,
    /// The log-odds and scores of labelled sign-ins, by label.
    pub attacks: BTreeMap<SmolStr, (Distribution, ScoreDistribution)>,
}

/// A legitimate sign-in with a high score.
#[derive(Debug, Clone, PartialEq)]
pub struct SurprisingSignIn {
    /// Its log-odds.
    pub log_odds: f64,
    /// Its score.
    pub score: f64,
    /// The number of its file, and its line.
    pub place: (usize, u64),
    /// Its verdict.
    pub verdict: Verdict,
    /// The pseudonym of its user.
    pub user: SmolStr,
    /// When it happened.
    pub at: Timestamp,
    /// The country of its address.
    pub country: Option<Country>,
    /// The autonomous system of its address.
    pub asn: Option<u32>,
    /// Its reasons with their weights.
    pub reasons: Vec<(ReasonCode, f64, Option<SmolStr>)>,
}

impl Counters {
    /// Returns the number of sign-ins that were scored or counted as failed.
    pub fn used_sign_ins(&self) -> u64 {
        self.failures + [&self.known, &self.new].map(|group| group.legit.total() + group.pooled().0.total()).iter().sum::<u64>()
    }

    /// Counts a sign-in that was read from a file.
    pub fn count_read(&mut self, file: usize) {
        if self.by_file.len() <= file {
            self.by_file.resize(file + 1, 0);
        }
        self.by_file[file] += 1;
    }

    /// Returns the files from which no sign-in was read.
    pub fn files_without_sign_ins<'a>(&'a self, files: &'a [String]) -> impl Iterator<Item = &'a String> {
        files.iter().enumerate().filter(|(file, _)| self.by_file.get(*file).is_none_or(|count| *count == 0)).map(|(_, name)| name)
    }

    /// Counts an evaluated sign-in. `label` is empty for a legitimate one.
    pub fn count_decision(&mut self, decision: &Decision, label: &str, place: (usize, u64), pseudonyms: &Pseudonyms) {
        let score = &decision.score;
        let signals = &score.signals;
        let group = match signals.history_depth {
            HistoryDepth::None => &mut self.new,
            HistoryDepth::OneDay | HistoryDepth::Established => &mut self.known,
        };
        let stopped = [1, u64::from(decision.verdict != Verdict::Allow), u64::from(decision.verdict == Verdict::Deny)];
        if label.is_empty() {
            group.legit.add(score.log_odds);
            group.scores.add(score.value);
            *self.verdicts.of_mut(decision.verdict) += 1;
            let successes = signals.evidence.history.profile.successes;
            let size = HISTORY_SIZES.iter().position(|(most, _)| successes <= *most).unwrap_or(HISTORY_SIZES.len() - 1);
            add_counts(&mut self.by_history_size[size], stopped);
            if let Some(country) = signals.ip.country {
                add_counts(self.by_country.entry(country).or_default(), stopped);
            }
            self.add_surprising(decision, place, pseudonyms);
        } else {
            let label = if group.attacks.len() < MAX_LABELS || group.attacks.contains_key(label) { label } else { "other" };
            if !group.attacks.contains_key(label) {
                group.attacks.insert(label.into(), Default::default());
            }
            let (log_odds, scores) = group.attacks.get_mut(label).expect("it was inserted");
            log_odds.add(score.log_odds);
            scores.add(score.value);
        }
        if decision.verdict != Verdict::Allow {
            for reason in score.reasons.iter().filter(|reason| reason.weight > 0.0) {
                self.reasons.entry(reason.code.as_label()).or_default()[usize::from(!label.is_empty())] += 1;
            }
        }
    }

    /// Stores the sign-in if it is one of the riskiest.
    fn add_surprising(&mut self, decision: &Decision, place: (usize, u64), pseudonyms: &Pseudonyms) {
        let score = &decision.score;
        let full = self.surprising.len() == MAX_SURPRISING;
        if full && self.surprising.peek().is_some_and(|least| least.0.log_odds >= score.log_odds) {
            return;
        }
        if full {
            self.surprising.pop();
        }
        let reasons = score.reasons.iter().map(|reason| (reason.code, reason.weight, reason.detail.clone())).collect();
        let evidence = &score.signals.evidence;
        let sign_in = &evidence.sign_in;
        let user = match &sign_in.user.sub {
            Some(pseudonym) => pseudonym.expose().clone(),
            None => pseudonyms.user(&sign_in.pool, sign_in.user.name.expose()),
        };
        self.surprising.push(std::cmp::Reverse(SurprisingSignIn {
            log_odds: score.log_odds,
            score: score.value,
            place,
            verdict: decision.verdict,
            user,
            at: sign_in.at.timestamp(),
            country: evidence.networks.country,
            asn: evidence.networks.asn,
            reasons,
        }));
    }

    /// Merges both groups.
    pub fn combined(&self) -> SignInGroup {
        let mut all = SignInGroup::default();
        for group in [&self.known, &self.new] {
            all.legit.merge(&group.legit);
            all.scores.merge(&group.scores);
            for (label, (log_odds, scores)) in &group.attacks {
                let (into, into_scores) = all.attacks.entry(label.clone()).or_default();
                into.merge(log_odds);
                into_scores.merge(scores);
            }
        }
        all
    }
}

impl SignInGroup {
    /// Merges all labels.
    pub fn pooled(&self) -> (Distribution, ScoreDistribution) {
        let mut pooled = (Distribution::default(), ScoreDistribution::default());
        for (log_odds, scores) in self.attacks.values() {
            pooled.0.merge(log_odds);
            pooled.1.merge(scores);
        }
        pooled
    }
}

impl<T> VerdictTable<T> {
    /// The value of a verdict.
    pub fn of_mut(&mut self, verdict: Verdict) -> &mut T {
        match verdict {
            Verdict::Allow => &mut self.allow,
            Verdict::Review => &mut self.review,
            Verdict::Challenge => &mut self.challenge,
            Verdict::Deny => &mut self.deny,
        }
    }

    /// Every verdict with its value, in the order of [`Verdict::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Verdict, &T)> {
        Verdict::ALL.into_iter().zip([&self.allow, &self.review, &self.challenge, &self.deny])
    }
}

fn add_counts(counts: &mut [u64; 3], more: [u64; 3]) {
    counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
}

impl Eq for SurprisingSignIn {}

impl PartialOrd for SurprisingSignIn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SurprisingSignIn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.log_odds.total_cmp(&other.log_odds).then_with(|| other.place.cmp(&self.place))
    }
}
