//! What a pass found, as numbers: the report that is printed, written as JSON, and drawn.

use serde::Serialize;

use super::{
    census::{Census, Group, LogCounts, SIZES},
    comparison::Comparison,
    meter::{Scores, Separation, caught_interval, ratio},
};
use crate::decision::Verdict;

/// Thresholds of the trade-off table.
const THRESHOLDS: [f64; 13] = [30.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0];

/// Shares of legitimate sign-ins to stop for which a threshold is recommended.
const STOPPED: [f64; 3] = [0.001, 0.01, 0.05];

/// Countries that are listed.
const COUNTRIES: usize = 12;

/// Legitimate sign-ins under which no threshold is recommended, for whatever share.
const FEWEST: u64 = 200;

/// Labelled sign-ins under which a recommendation carries a warning.
const FEW_LABELS: u64 = 50;

/// Points of a drawn ROC.
const DRAWN: usize = 400;

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Data rows, and what became of them.
    pub rows: Rows,
    /// What an audit log says besides.
    pub log: LogCounts,
    /// The thresholds in force.
    pub thresholds: Thresholds,
    /// Legitimate sign-ins by verdict.
    pub verdicts: Verdicts,
    /// What each threshold would do.
    pub trade_off: Vec<TradeOff>,
    /// By label, for people with a history; `all labels` last.
    pub separation: Vec<Labelled>,
    /// By label, for people without one.
    pub cold_start: Vec<Labelled>,
    /// False positives by size of history.
    pub by_history: Vec<Falsely>,
    /// False positives by country, the largest first.
    pub by_country: Vec<Falsely>,
    /// Probabilities against what was.
    pub calibration: Vec<Calibrated>,
    /// Reasons of flagged and denied sign-ins: of legitimate ones, of labelled ones.
    pub reasons: Vec<ReasonCount>,
    /// The riskiest legitimate sign-ins, explained.
    pub surprising: Vec<Explained>,
    /// Thresholds that can be recommended: one for each share that the log has enough legitimate sign-ins for.
    pub recommendation: Vec<Recommendation>,
    /// The same rows under other settings, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// What to bear in mind.
    pub warnings: Vec<String>,
    /// What is drawn.
    pub drawing: Drawing,
}

/// Rows by fate.
#[derive(Debug, Serialize)]
pub struct Rows {
    /// All.
    pub read: u64,
    /// Left out.
    pub bad: u64,
    /// Wrong passwords.
    pub failed: u64,
    /// Labelled.
    pub labelled: u64,
    /// Legitimate sign-ins, scored.
    pub legitimate: u64,
    /// People with a success.
    pub people: usize,
}

/// Thresholds in force.
#[derive(Debug, Serialize)]
pub struct Thresholds {
    /// `REVIEW_AT`
    pub review_at: f64,
    /// `DENY_AT`
    pub deny_at: f64,
}

/// Legitimate sign-ins by verdict.
#[derive(Debug, Serialize)]
pub struct Verdicts {
    /// Let in.
    pub allow: u64,
    /// Flagged.
    pub review: u64,
    /// Denied.
    pub deny: u64,
}

/// What one threshold does.
#[derive(Debug, Serialize)]
pub struct TradeOff {
    /// The score from which it acts.
    pub threshold: f64,
    /// Share of legitimate sign-ins at or above it.
    pub legitimate: f64,
    /// Share of labelled ones, where there are any.
    pub labelled: Option<f64>,
}

/// How well a label stands out.
#[derive(Debug, Serialize)]
pub struct Labelled {
    /// The label.
    pub label: String,
    /// The numbers.
    #[serde(flatten)]
    pub separation: Separation,
}

/// False positives of a group.
#[derive(Debug, Serialize)]
pub struct Falsely {
    /// The group.
    pub group: String,
    /// Its legitimate sign-ins.
    pub sign_ins: u64,
    /// Share flagged or denied.
    pub flagged: f64,
    /// Share denied.
    pub denied: f64,
}

/// One step of probability.
#[derive(Debug, Serialize)]
pub struct Calibrated {
    /// Mean of what was said.
    pub predicted: f64,
    /// Share of attacks, with labelled sign-ins weighted to the prior.
    pub observed: f64,
    /// Sign-ins.
    pub sign_ins: u64,
}

/// How often a reason stood in a verdict.
#[derive(Debug, Serialize)]
pub struct ReasonCount {
    /// Its code.
    pub code: &'static str,
    /// In flagged or denied legitimate sign-ins.
    pub legitimate: u64,
    /// In labelled ones.
    pub labelled: u64,
}

/// A sign-in with its reasons.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// Where it stands.
    pub place: String,
    /// Its score.
    pub score: f64,
    /// Its log-odds.
    pub log_odds: f64,
    /// What was judged.
    pub decision: &'static str,
    /// Its reasons, the heaviest first.
    pub reasons: Vec<String>,
}

/// A threshold for a share of legitimate sign-ins.
#[derive(Debug, Serialize)]
pub struct Recommendation {
    /// The share that it may stop.
    pub stops_at_most: f64,
    /// The threshold.
    pub deny_at: f64,
    /// The share that it stops.
    pub stops: f64,
    /// The share of labelled ones that it would have caught, and its 95 % interval.
    pub catches: Option<(f64, f64, f64)>,
}

/// Curves and bars.
#[derive(Debug, Serialize)]
pub struct Drawing {
    /// ROC by label.
    pub roc: Vec<(String, Vec<(f64, f64)>)>,
    /// Shares of legitimate and labelled scores by steps of five.
    pub scores: Vec<(f64, f64)>,
    /// Threshold, legitimate, labelled.
    pub trade_off: Vec<(f64, f64, f64)>,
}

impl Report {
    /// Reads a census.
    pub fn of(census: Census, people: usize, files: &[String], thresholds: Thresholds, base: f64) -> Self {
        let all = census.everybody();
        let (pooled, pooled_scores) = all.pooled();
        let labelled = pooled.total();
        let caught = |threshold| (labelled > 0).then(|| pooled_scores.share_from(threshold));
        let trade_off =
            THRESHOLDS.iter().map(|threshold| TradeOff { threshold: *threshold, legitimate: all.scores.share_from(*threshold), labelled: caught(*threshold) });
        let recommendation: Vec<_> = STOPPED.iter().filter_map(|stopped| recommend(&all.scores, &pooled_scores, *stopped)).collect();
        let mut warnings = Vec::new();
        if labelled == 0 {
            warnings.push("no labelled attacks: what a threshold catches cannot be told, only whom it stops".to_owned());
        } else if labelled < FEW_LABELS {
            warnings.push(format!("only {labelled} labelled attacks: the shares caught are guesses"));
        }
        #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
        if recommendation.is_empty() {
            warnings.push(format!("no threshold is recommended: {} legitimate sign-ins, and at least {FEWEST} are needed", all.scores.total()));
        } else if (all.scores.total() as f64) < 20.0 / STOPPED[0] {
            warnings.push(format!("{} legitimate sign-ins are too few for a threshold that stops one in a thousand", all.scores.total()));
        }
        if census.bad * 2 > census.rows {
            warnings.push(format!("{} of {} rows cannot be read: the report is of the others only", census.bad, census.rows));
        }
        warnings.extend(census.unread_files(files).map(|file| format!("{file}: it has no sign-in that can be read")));
        if census.backward > 0 {
            warnings.push(format!("{} rows are earlier than the row before them: a history has to be in order of time", census.backward));
        }
        if census.rounded > 0 {
            warnings.push(format!(
                "{} user ids were rounded by a spreadsheet: different people fall together, so what is said of histories means little",
                census.rounded
            ));
        }
        warnings.extend(of_the_log(&census));
        let falsely = |group: String, [sign_ins, flagged, denied]: [u64; 3]| Falsely {
            group,
            sign_ins,
            flagged: ratio(flagged, sign_ins),
            denied: ratio(denied, sign_ins),
        };
        let mut countries: Vec<_> = census.countries.iter().map(|(country, counts)| (country.as_str().to_owned(), *counts)).collect();
        countries.sort_by(|a, b| b.1[0].cmp(&a.1[0]).then_with(|| a.0.cmp(&b.0)));
        countries.truncate(COUNTRIES);
        let mut reasons: Vec<ReasonCount> =
            census.reasons.iter().map(|(code, [legitimate, labelled])| ReasonCount { code, legitimate: *legitimate, labelled: *labelled }).collect();
        reasons.sort_by_key(|reason| (std::cmp::Reverse(reason.legitimate + reason.labelled), reason.code));
        let mut surprising = census.surprising.into_sorted_vec();
        surprising.truncate(10);
        let [allow, review, deny] = census.verdicts;
        Report {
            rows: Rows { read: census.rows, bad: census.bad, failed: census.failures, labelled, legitimate: all.legit.total(), people },
            log: census.log,
            thresholds,
            verdicts: Verdicts { allow, review, deny },
            trade_off: trade_off.collect(),
            separation: separations(&census.known),
            cold_start: separations(&census.new),
            by_history: SIZES
                .iter()
                .zip(census.sizes)
                .filter(|(_, counts)| counts[0] > 0)
                .map(|((_, name), counts)| falsely((*name).to_owned(), counts))
                .collect(),
            by_country: countries.into_iter().map(|(country, counts)| falsely(country, counts)).collect(),
            calibration: calibration(&all, base),
            reasons,
            surprising: surprising
                .into_iter()
                .map(|std::cmp::Reverse(surprise)| Explained {
                    place: match files.get(surprise.place.0).filter(|_| files.len() > 1) {
                        Some(file) => format!("{file}, line {}", surprise.place.1),
                        None => format!("line {}", surprise.place.1),
                    },
                    score: surprise.score,
                    log_odds: surprise.log_odds,
                    decision: Verdict::as_label(surprise.decision),
                    // A reason that weighs nothing explains nothing: of an audit line, say, that its address is not in it.
                    reasons: surprise
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
            comparison: None,
            warnings,
            drawing: drawing(&all, &pooled_scores),
        }
    }
}

/// What to bear in mind of an audit log.
fn of_the_log(census: &Census) -> impl Iterator<Item = String> {
    let LogCounts { outcomes: _, strays, presumed, unclear, kept_out, nobody, foreign: _ } = census.log;
    let succeeded: u64 = census.verdicts.iter().sum();
    let when = |count: u64, words: &str| (count > 0).then(|| format!("{count} {words}"));
    [
        when(
            presumed,
            "sign-ins are taken for right passwords, an attacker's too: nothing in the log says how those of their app client end (attach the post-authentication trigger, or send /v1/outcome)",
        ),
        when(kept_out, "sign-ins were denied when they came: nobody knows their passwords, and they count as failed; choose thresholds on a log of monitor mode"),
        when(unclear, "sign-ins are left out: one of several of the same person succeeded, and the log does not say which"),
        when(strays, "outcomes belong to no sign-in of the log that was still waiting"),
        when(nobody, "sign-ins of nobody are left out"),
        when(if succeeded == 0 { census.failures } else { 0 }, "failed attempts and not one success: does the log say which passwords were right, in the column or the outcomes that were read?"),
    ]
    .into_iter()
    .flatten()
}

/// A threshold for a share, where the log has at least one legitimate sign-in in that share, and [`FEWEST`] of them.
fn recommend(legit: &Scores, attacks: &Scores, stopped: f64) -> Option<Recommendation> {
    #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
    if legit.total() < FEWEST || (legit.total() as f64) * stopped < 1.0 {
        return None;
    }
    let deny_at = legit.threshold_for(stopped);
    let catches = (attacks.total() > 0).then(|| {
        let (low, high) = caught_interval(legit, attacks, stopped);
        (attacks.share_from(deny_at), low, high)
    });
    Some(Recommendation { stops_at_most: stopped, deny_at, stops: legit.share_from(deny_at), catches })
}

fn separations(group: &Group) -> Vec<Labelled> {
    let each = group.attacks.iter().map(|(label, (spread, _))| (label.to_string(), group.legit.separation(spread)));
    let pooled = (group.attacks.len() > 1).then(|| ("all labels".to_owned(), group.legit.separation(&group.pooled().0)));
    each.chain(pooled).filter_map(|(label, separation)| Some(Labelled { label, separation: separation? })).collect()
}

/// Ten steps of probability; attacks are weighted so that they are as frequent as the prior says.
fn calibration(all: &Group, base: f64) -> Vec<Calibrated> {
    let (pooled, _) = all.pooled();
    if pooled.total() == 0 || all.legit.total() == 0 {
        return Vec::new();
    }
    let prior = 1.0 / (1.0 + (-base).exp());
    #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
    let weight = prior / (1.0 - prior) * all.legit.total() as f64 / pooled.total() as f64;
    // Steps of one unit of log-odds around even, wider at the ends.
    let edges = [-7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, f64::INFINITY];
    let step = |value: f64| edges.iter().position(|edge| value < *edge).unwrap_or(edges.len() - 1);
    let mut steps = [[0.0_f64; 4]; 10];
    for (value, count) in all.legit.iter() {
        let of = &mut steps[step(value)];
        (of[0], of[2], of[3]) = (of[0] + count / (1.0 + (-value).exp()), of[2] + count, of[3] + count);
    }
    for (value, count) in pooled.iter() {
        let of = &mut steps[step(value)];
        (of[0], of[1], of[2], of[3]) = (of[0] + weight * count / (1.0 + (-value).exp()), of[1] + weight * count, of[2] + weight * count, of[3] + count);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    steps.iter().filter(|of| of[2] > 0.0).map(|of| Calibrated { predicted: of[0] / of[2], observed: of[1] / of[2], sign_ins: of[3] as u64 }).collect()
}

fn drawing(all: &Group, pooled: &Scores) -> Drawing {
    let shares = |scores: &Scores| scores.by_fives().map(|count| ratio(count, scores.total()));
    let roc = all.attacks.iter().map(|(label, (spread, _))| {
        let curve = all.legit.roc(spread);
        let every = curve.len().div_ceil(DRAWN).max(1);
        let mut drawn: Vec<(f64, f64)> = curve.iter().copied().step_by(every).collect();
        drawn.extend(curve.last());
        (label.to_string(), drawn)
    });
    let thresholds = (0..=50).map(|step| f64::from(step) * 2.0);
    Drawing {
        roc: roc.collect(),
        scores: shares(&all.scores).into_iter().zip(shares(pooled)).collect(),
        trade_off: thresholds.map(|threshold| (threshold, all.scores.share_from(threshold), pooled.share_from(threshold))).collect(),
    }
}
