//! The report of a pass: the numbers that are printed, written as JSON and drawn as charts.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    attacks::AttackReport,
    comparison::Comparison,
    counters::{Counters, HISTORY_SIZES, LogCounts, SignInGroup, VerdictTable},
    promises::Promise,
    roc::{ScoreDistribution, Separation, caught_interval, ratio},
    threshold_pair::{ThresholdPair, threshold_pairs},
};
use riskgate_engine::decision::Verdict;

/// The thresholds in the trade-off table.
const THRESHOLDS: [f64; 13] = [30.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0];

/// The shares of stopped legitimate sign-ins for which a threshold is recommended.
const STOPPED_SHARES: [f64; 3] = [0.001, 0.01, 0.05];

/// The most countries listed.
const MAX_COUNTRIES: usize = 12;

/// The fewest legitimate sign-ins for which any threshold is recommended.
const MIN_LEGITIMATE: u64 = 200;

/// With fewer labelled sign-ins, the report has a warning.
const MIN_LABELLED: u64 = 50;

/// The approximate number of points of a drawn ROC curve.
const ROC_POINTS: usize = 400;

/// The report of a pass. Its JSON form is the output of `riskgate replay --json`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The rows by result.
    pub rows: RowCounts,
    /// Counts that only audit logs have.
    pub log: LogCounts,
    /// The configured thresholds.
    pub thresholds: Thresholds,
    /// Legitimate sign-ins by verdict.
    pub verdicts: VerdictTable<u64>,
    /// The shares that each threshold would stop.
    pub trade_off: Vec<TradeOff>,
    /// Separation by label, for users with a history. `all labels` is last.
    pub separation: Vec<LabelSeparation>,
    /// Separation by label, for users without a history.
    pub cold_start: Vec<LabelSeparation>,
    /// False positives by size of history.
    pub by_history: Vec<FalsePositives>,
    /// False positives by country, the largest first.
    pub by_country: Vec<FalsePositives>,
    /// Predicted probabilities and observed shares of attacks.
    pub calibration: Vec<CalibrationStep>,
    /// Reasons of flagged and denied sign-ins, the most frequent first.
    pub reasons: Vec<ReasonCount>,
    /// The riskiest legitimate sign-ins with their reasons.
    pub surprising: Vec<ExplainedSignIn>,
    /// Recommended thresholds: one for each share for which the log has enough legitimate sign-ins.
    pub recommendation: Vec<Recommendation>,
    /// Pairs of a challenge threshold and a deny threshold, one of them recommended.
    pub threshold_pairs: Vec<ThresholdPair>,
    /// Attacks on the pools of the log.
    pub attacks: AttackReport,
    /// Promised and realised false-positive rates, with `--calibrate`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub promises: Vec<Promise>,
    /// The comparison with other settings, if `--against` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Limits of the report.
    pub warnings: Vec<String>,
    /// The data of the charts.
    pub drawing: ChartData,
}

/// Rows by result.
#[derive(Debug, Serialize)]
pub struct RowCounts {
    /// All rows.
    pub read: u64,
    /// Rows that cannot be read.
    pub bad: u64,
    /// Failed attempts.
    pub failed: u64,
    /// Labelled sign-ins.
    pub labelled: u64,
    /// Legitimate sign-ins.
    pub legitimate: u64,
    /// Users with a history.
    pub people: usize,
}

/// The configured thresholds.
#[derive(Debug, Serialize)]
pub struct Thresholds {
    /// `REVIEW_AT`
    pub review_at: f64,
    /// `CHALLENGE_AT`; `None` when it is unset.
    pub challenge_at: Option<f64>,
    /// `DENY_AT`
    pub deny_at: f64,
}

impl fmt::Display for Thresholds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "REVIEW_AT={}", self.review_at)?;
        if let Some(challenge_at) = self.challenge_at {
            write!(out, " CHALLENGE_AT={challenge_at}")?;
        }
        write!(out, " DENY_AT={}", self.deny_at)
    }
}

/// The effect of one threshold.
#[derive(Debug, Serialize)]
pub struct TradeOff {
    /// The threshold: a score from 0 to 100.
    pub threshold: f64,
    /// The share of legitimate sign-ins at or above it.
    pub legitimate: f64,
    /// The share of labelled sign-ins at or above it, if there are any.
    pub labelled: Option<f64>,
}

/// The separation of one label.
#[derive(Debug, Serialize)]
pub struct LabelSeparation {
    /// The label.
    pub label: String,
    /// How well its sign-ins are separated from legitimate ones.
    #[serde(flatten)]
    pub separation: Separation,
}

/// The false positives of a group.
#[derive(Debug, Serialize)]
pub struct FalsePositives {
    /// The name of the group.
    pub group: String,
    /// The number of its legitimate sign-ins.
    pub sign_ins: u64,
    /// The share flagged or denied.
    pub flagged: f64,
    /// The share denied.
    pub denied: f64,
}

/// One range of predicted probabilities.
#[derive(Debug, Serialize)]
pub struct CalibrationStep {
    /// The mean predicted probability.
    pub predicted: f64,
    /// The observed share of attacks, with labelled sign-ins weighted to the prior.
    pub observed: f64,
    /// The number of sign-ins.
    pub sign_ins: u64,
}

/// How often a reason occurs in flagged or denied sign-ins.
#[derive(Debug, Serialize)]
pub struct ReasonCount {
    /// The code of the reason.
    pub code: &'static str,
    /// Its count in legitimate sign-ins.
    pub legitimate: u64,
    /// Its count in labelled sign-ins.
    pub labelled: u64,
}

/// A sign-in with its reasons.
#[derive(Debug, Serialize)]
pub struct ExplainedSignIn {
    /// Its file and line.
    pub place: String,
    /// The pseudonym of its user: that of the audit log, or one under the configured key.
    pub user: String,
    /// When it happened.
    pub time: Timestamp,
    /// The country of its address, if known.
    pub country: Option<String>,
    /// The AS number of its address, if known.
    pub asn: Option<u32>,
    /// Its score.
    pub score: f64,
    /// Its log-odds.
    pub log_odds: f64,
    /// Its verdict.
    pub decision: &'static str,
    /// Its reasons with their weights, the heaviest first.
    pub reasons: Vec<String>,
}

/// A recommended threshold.
#[derive(Debug, Serialize)]
pub struct Recommendation {
    /// The share of legitimate sign-ins that it may stop.
    pub stops_at_most: f64,
    /// The recommended `DENY_AT`.
    pub deny_at: f64,
    /// The share of legitimate sign-ins that it stops.
    pub stops: f64,
    /// The share of labelled sign-ins that it would have caught, and the bounds of its 95 % confidence interval.
    pub catches: Option<(f64, f64, f64)>,
}

/// The data of the charts.
#[derive(Debug, Serialize)]
pub struct ChartData {
    /// The ROC curve of each label.
    pub roc: Vec<(String, Vec<(f64, f64)>)>,
    /// The shares of legitimate and labelled sign-ins per five score points.
    pub scores: Vec<(f64, f64)>,
    /// Each threshold with the shares of legitimate and labelled sign-ins at or above it.
    pub trade_off: Vec<(f64, f64, f64)>,
}

impl Report {
    /// Builds the report from the counters of a pass. `base` is the log-odds of the prior.
    pub fn new(counters: Counters, users: usize, files: &[String], thresholds: Thresholds, base: f64) -> Self {
        let all = counters.combined();
        let (pooled, pooled_scores) = all.pooled();
        let labelled = pooled.total();
        let caught = |threshold| (labelled > 0).then(|| pooled_scores.share_from(threshold));
        let trade_off =
            THRESHOLDS.iter().map(|threshold| TradeOff { threshold: *threshold, legitimate: all.scores.share_from(*threshold), labelled: caught(*threshold) });
        let recommendation: Vec<_> = STOPPED_SHARES.iter().filter_map(|stopped| recommend(&all.scores, &pooled_scores, *stopped)).collect();
        let mut warnings = Vec::new();
        if labelled == 0 {
            warnings.push("no labelled attacks: the report shows which legitimate sign-ins a threshold stops, but not which attacks it catches".to_owned());
        } else if labelled < MIN_LABELLED {
            warnings.push(format!("only {labelled} labelled attacks: the shares caught are rough estimates"));
        }
        #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
        if recommendation.is_empty() {
            warnings.push(format!("no threshold is recommended: {} legitimate sign-ins, and at least {MIN_LEGITIMATE} are needed", all.scores.total()));
        } else if (all.scores.total() as f64) < 20.0 / STOPPED_SHARES[0] {
            warnings.push(format!("{} legitimate sign-ins are too few for a threshold that stops one in a thousand", all.scores.total()));
        }
        if counters.bad * 2 > counters.rows {
            warnings.push(format!("{} of {} rows cannot be read: the report covers the others only", counters.bad, counters.rows));
        }
        warnings.extend(counters.files_without_sign_ins(files).map(|file| format!("{file}: the file has no readable sign-in")));
        if counters.out_of_order > 0 {
            warnings.push(format!("{} rows are earlier than the row before them: the log must be in order of time", counters.out_of_order));
        }
        if counters.rounded_users > 0 {
            warnings.push(format!(
                "{} user ids were rounded by a spreadsheet: different users have the same id, so the results that depend on histories are unreliable",
                counters.rounded_users
            ));
        }
        warnings.extend(audit_log_warnings(&counters));
        let false_positives = |group: String, [sign_ins, flagged, denied]: [u64; 3]| FalsePositives {
            group,
            sign_ins,
            flagged: ratio(flagged, sign_ins),
            denied: ratio(denied, sign_ins),
        };
        let mut countries: Vec<_> = counters.by_country.iter().map(|(country, counts)| (country.as_str().to_owned(), *counts)).collect();
        countries.sort_by(|a, b| b.1[0].cmp(&a.1[0]).then_with(|| a.0.cmp(&b.0)));
        countries.truncate(MAX_COUNTRIES);
        let mut reasons: Vec<ReasonCount> =
            counters.reasons.iter().map(|(code, [legitimate, labelled])| ReasonCount { code, legitimate: *legitimate, labelled: *labelled }).collect();
        reasons.sort_by_key(|reason| (std::cmp::Reverse(reason.legitimate + reason.labelled), reason.code));
        let mut surprising = counters.surprising.into_sorted_vec();
        surprising.truncate(10);
        Report {
            rows: RowCounts { read: counters.rows, bad: counters.bad, failed: counters.failures, labelled, legitimate: all.legit.total(), people: users },
            log: counters.log,
            thresholds,
            verdicts: counters.verdicts,
            trade_off: trade_off.collect(),
            separation: separations(&counters.known),
            cold_start: separations(&counters.new),
            by_history: HISTORY_SIZES
                .iter()
                .zip(counters.by_history_size)
                .filter(|(_, counts)| counts[0] > 0)
                .map(|((_, name), counts)| false_positives((*name).to_owned(), counts))
                .collect(),
            by_country: countries.into_iter().map(|(country, counts)| false_positives(country, counts)).collect(),
            calibration: calibration(&all, base),
            reasons,
            surprising: surprising
                .into_iter()
                .map(|std::cmp::Reverse(sign_in)| ExplainedSignIn {
                    place: match files.get(sign_in.place.0).filter(|_| files.len() > 1) {
                        Some(file) => format!("{file}, line {}", sign_in.place.1),
                        None => format!("line {}", sign_in.place.1),
                    },
                    user: sign_in.user.to_string(),
                    time: sign_in.at,
                    country: sign_in.country.map(|country| country.as_str().to_owned()),
                    asn: sign_in.asn,
                    score: sign_in.score,
                    log_odds: sign_in.log_odds,
                    decision: Verdict::as_label(sign_in.verdict),
                    // Reasons without weight are left out. Audit lines have no address, for example, so that reason always occurs.
                    reasons: sign_in
                        .reasons
                        .iter()
                        .filter(|(_, weight, _)| weight.abs() >= 0.005)
                        .map(|(code, weight, detail)| match detail {
                            Some(detail) => format!("{} {weight:+.2} ({detail})", code.as_label()),
                            None => format!("{} {weight:+.2}", code.as_label()),
                        })
                        .collect(),
                })
                .collect(),
            recommendation,
            threshold_pairs: threshold_pairs(&all.scores, &pooled_scores),
            attacks: AttackReport::default(),
            promises: Vec::new(),
            comparison: None,
            warnings,
            drawing: chart_data(&all, &pooled_scores),
        }
    }
}

impl ExplainedSignIn {
    /// Who, when and where, in one line.
    pub fn origin(&self) -> String {
        let country = self.country.as_deref().unwrap_or("unknown country");
        let asn = self.asn.map(|asn| format!(" AS{asn}")).unwrap_or_default();
        format!("{}, user {}, {}, {country}{asn}", self.place, self.user, self.time.strftime("%Y-%m-%d %H:%M:%S UTC"))
    }
}

/// Returns the warnings that only audit logs need.
fn audit_log_warnings(counters: &Counters) -> impl Iterator<Item = String> {
    let LogCounts { outcomes: _, unmatched, presumed, ambiguous, denied_live, without_user, other_lines: _ } = counters.log;
    let succeeded: u64 = counters.verdicts.iter().map(|(_, count)| *count).sum();
    let warning = |count: u64, text: &str| (count > 0).then(|| format!("{count} {text}"));
    [
        warning(
            presumed,
            "sign-ins count as successes, an attacker's too: the log has no outcomes of their app client (attach the post-authentication trigger, or send /v1/outcome)",
        ),
        warning(denied_live, "sign-ins were denied live, so their passwords were not checked: they count as failed; choose thresholds on a log of monitor mode"),
        warning(ambiguous, "sign-ins are left out: one of several sign-ins of the same user succeeded, and the log does not identify it"),
        warning(unmatched, "outcomes have no pending sign-in in the log"),
        warning(without_user, "sign-ins without a user are left out"),
        warning(if succeeded == 0 { counters.failures } else { 0 }, "failed attempts and no success: check that the log has a column or outcomes with the successes"),
    ]
    .into_iter()
    .flatten()
}

/// Recommends a threshold for a share. `None` if the share is less than one legitimate sign-in, or if there are fewer than [`MIN_LEGITIMATE`].
fn recommend(legit: &ScoreDistribution, attacks: &ScoreDistribution, stopped: f64) -> Option<Recommendation> {
    #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
    if legit.total() < MIN_LEGITIMATE || (legit.total() as f64) * stopped < 1.0 {
        return None;
    }
    let deny_at = legit.threshold_for(stopped);
    let catches = (attacks.total() > 0).then(|| {
        let (low, high) = caught_interval(legit, attacks, stopped);
        (attacks.share_from(deny_at), low, high)
    });
    Some(Recommendation { stops_at_most: stopped, deny_at, stops: legit.share_from(deny_at), catches })
}

/// Returns the separation of each label, and of all labels if there are several.
fn separations(group: &SignInGroup) -> Vec<LabelSeparation> {
    let each = group.attacks.iter().map(|(label, (log_odds, _))| (label.to_string(), group.legit.separation(log_odds)));
    let pooled = (group.attacks.len() > 1).then(|| ("all labels".to_owned(), group.legit.separation(&group.pooled().0)));
    each.chain(pooled).filter_map(|(label, separation)| Some(LabelSeparation { label, separation: separation? })).collect()
}

/// Returns ten steps of predicted probability. Attacks are weighted to the frequency of the prior.
fn calibration(all: &SignInGroup, base: f64) -> Vec<CalibrationStep> {
    let (pooled, _) = all.pooled();
    if pooled.total() == 0 || all.legit.total() == 0 {
        return Vec::new();
    }
    let prior = 1.0 / (1.0 + (-base).exp());
    #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
    let weight = prior / (1.0 - prior) * all.legit.total() as f64 / pooled.total() as f64;
    // Steps of one unit of log-odds, wider at the ends.
    let edges = [-7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, f64::INFINITY];
    let step = |value: f64| edges.iter().position(|edge| value < *edge).unwrap_or(edges.len() - 1);
    // Per step: the sum of probabilities, the weighted attacks, the weighted sign-ins, the sign-ins.
    let mut steps = [[0.0_f64; 4]; 10];
    for (value, count) in all.legit.iter() {
        let totals = &mut steps[step(value)];
        (totals[0], totals[2], totals[3]) = (totals[0] + count / (1.0 + (-value).exp()), totals[2] + count, totals[3] + count);
    }
    for (value, count) in pooled.iter() {
        let totals = &mut steps[step(value)];
        (totals[0], totals[1], totals[2], totals[3]) =
            (totals[0] + weight * count / (1.0 + (-value).exp()), totals[1] + weight * count, totals[2] + weight * count, totals[3] + count);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    steps
        .iter()
        .filter(|totals| totals[2] > 0.0)
        .map(|totals| CalibrationStep { predicted: totals[0] / totals[2], observed: totals[1] / totals[2], sign_ins: totals[3] as u64 })
        .collect()
}

fn chart_data(all: &SignInGroup, pooled: &ScoreDistribution) -> ChartData {
    let shares = |scores: &ScoreDistribution| scores.counts_per_five_points().map(|count| ratio(count, scores.total()));
    let roc = all.attacks.iter().map(|(label, (log_odds, _))| {
        let curve = all.legit.roc(log_odds);
        let every = curve.len().div_ceil(ROC_POINTS).max(1);
        let mut drawn: Vec<(f64, f64)> = curve.iter().copied().step_by(every).collect();
        drawn.extend(curve.last());
        (label.to_string(), drawn)
    });
    let thresholds = (0..=200).map(|step| f64::from(step) / 2.0);
    ChartData {
        roc: roc.collect(),
        scores: shares(&all.scores).into_iter().zip(shares(pooled)).collect(),
        trade_off: thresholds.map(|threshold| (threshold, all.scores.share_from(threshold), pooled.share_from(threshold))).collect(),
    }
}
