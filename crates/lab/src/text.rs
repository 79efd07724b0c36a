//! Renders the report as text for a terminal.

use std::fmt::Write as _;

use crate::{
    attacks,
    counters::LogCounts,
    promises,
    report::{FalsePositives, LabelSeparation, Report},
    roc::{percent, ratio},
};

/// Renders the report as text.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let rows = &report.rows;
    writeln!(
        out,
        "{} rows: {} legitimate sign-ins of {} users, {} failed attempts, {} labelled, {} bad",
        rows.read, rows.legitimate, rows.people, rows.failed, rows.labelled, rows.bad
    )?;
    if report.log != LogCounts::default() {
        writeln!(out, "{} outcome lines, {} other lines skipped", report.log.outcomes, report.log.other_lines)?;
    }
    let share = |count: u64| percent(ratio(count, rows.legitimate));
    let verdicts = report.verdicts.iter().map(|(verdict, count)| format!("{} {count} ({})", verdict.as_label(), share(*count)));
    let verdicts: Vec<String> = verdicts.collect();
    writeln!(out, "\nat {}, legitimate sign-ins: {}", report.thresholds, verdicts.join(", "))?;
    writeln!(out, "\nthreshold   legitimate   labelled")?;
    for row in &report.trade_off {
        writeln!(out, "{:>9}   {:>10}   {:>8}", row.threshold, percent(row.legitimate), row.labelled.map_or_else(|| "-".to_owned(), percent))?;
    }
    if !report.threshold_pairs.is_empty() {
        writeln!(out, "\nCHALLENGE_AT   DENY_AT   challenged      denied   attacks met")?;
    }
    for pair in &report.threshold_pairs {
        let met = pair.met.map_or_else(|| "-".to_owned(), percent);
        writeln!(out, "{:>12}   {:>7}   {:>10}   {:>9}   {met:>11}", pair.challenge_at, pair.deny_at, percent(pair.challenged), percent(pair.denied))?;
    }
    write_separations(out, "with a history", &report.separation)?;
    write_separations(out, "without a history (cold start)", &report.cold_start)?;
    write_false_positives(out, "history", &report.by_history)?;
    write_false_positives(out, "country", &report.by_country)?;
    if !report.calibration.is_empty() {
        writeln!(out, "\nprobability predicted   observed    sign-ins   (labelled ones weighted to the prior)")?;
        for step in &report.calibration {
            writeln!(out, "{:>21.4} {:>10.4} {:>11}", step.predicted, step.observed, step.sign_ins)?;
        }
    }
    if !report.reasons.is_empty() {
        writeln!(out, "\nreason of a flag or denial   legitimate   labelled")?;
        for reason in report.reasons.iter().take(15) {
            writeln!(out, "{:<26} {:>12} {:>10}", reason.code, reason.legitimate, reason.labelled)?;
        }
    }
    if !report.surprising.is_empty() {
        writeln!(out, "\nthe most surprising legitimate sign-ins")?;
        for sign_in in &report.surprising {
            writeln!(out, "  {}: {} ({}), {}", sign_in.origin(), sign_in.score, sign_in.decision, sign_in.reasons.join(", "))?;
        }
    }
    writeln!(out)?;
    for threshold in &report.recommendation {
        write!(
            out,
            "to stop {} of legitimate sign-ins set DENY_AT={} (it stops {})",
            percent(threshold.stops_at_most),
            threshold.deny_at,
            percent(threshold.stops)
        )?;
        match threshold.catches {
            Some((caught, low, high)) => {
                writeln!(out, "; that would have caught {} of the labelled attacks (95 %: {} to {})", percent(caught), percent(low), percent(high))?
            }
            None => writeln!(out)?,
        }
    }
    for pair in report.threshold_pairs.iter().filter(|pair| pair.recommended) {
        writeln!(out, "to challenge before denying set {pair}")?;
    }
    attacks::write_text(&report.attacks, out)?;
    promises::write_table(&report.promises, out)?;
    if let Some(comparison) = &report.comparison {
        write!(out, "\n{comparison}")?;
    }
    report.warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))
}

fn write_separations(out: &mut String, title: &str, rows: &[LabelSeparation]) -> std::fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title:<31} count    AUC   TPR@1%  @5%   @10%   re-auth@TPR.95  @.99")?;
    for row in rows {
        let separation = &row.separation;
        let [one, five, ten] = separation.tpr;
        let [at95, at99] = separation.reauth;
        writeln!(out, "  {:<27} {:>7}   {:.3}   {one:.2}   {five:.2}   {ten:.2}   {at95:>14.2}  {at99:.2}", row.label, separation.attacks, separation.auc)?;
    }
    Ok(())
}

fn write_false_positives(out: &mut String, title: &str, rows: &[FalsePositives]) -> std::fmt::Result {
    writeln!(out, "\n{title:<10} sign-ins   flagged    denied")?;
    rows.iter().try_for_each(|row| writeln!(out, "{:<10} {:>8}   {:>7}   {:>7}", row.group, row.sign_ins, percent(row.flagged), percent(row.denied)))
}
