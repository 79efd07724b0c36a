//! The report for a terminal.

use std::fmt::Write as _;

use super::{
    census::LogCounts,
    report::{Falsely, Labelled, Report},
};

/// The report as text.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let rows = &report.rows;
    writeln!(
        out,
        "{} rows: {} legitimate sign-ins of {} people, {} failed attempts, {} labelled, {} bad",
        rows.read, rows.legitimate, rows.people, rows.failed, rows.labelled, rows.bad
    )?;
    if report.log != LogCounts::default() {
        writeln!(out, "{} outcomes in lines of their own, {} other lines passed over", report.log.outcomes, report.log.foreign)?;
    }
    let verdicts = &report.verdicts;
    let share = |count: u64| percent(super::meter::ratio(count, rows.legitimate));
    writeln!(
        out,
        "\nat REVIEW_AT={} DENY_AT={}, of the legitimate ones: allow {} ({}), review {} ({}), deny {} ({})",
        report.thresholds.review_at,
        report.thresholds.deny_at,
        verdicts.allow,
        share(verdicts.allow),
        verdicts.review,
        share(verdicts.review),
        verdicts.deny,
        share(verdicts.deny)
    )?;
    writeln!(out, "\nthreshold   legitimate   labelled")?;
    for row in &report.trade_off {
        writeln!(out, "{:>9}   {:>10}   {:>8}", row.threshold, percent(row.legitimate), row.labelled.map_or_else(|| "-".to_owned(), percent))?;
    }
    separations(out, "with a history", &report.separation)?;
    separations(out, "without a history (cold start)", &report.cold_start)?;
    falsely(out, "history", &report.by_history)?;
    falsely(out, "country", &report.by_country)?;
    if !report.calibration.is_empty() {
        writeln!(out, "\nprobability   said     was      sign-ins   (labelled ones weighted to the prior)")?;
        for step in &report.calibration {
            writeln!(out, "{:>20.4} {:>7.4} {:>11}", step.predicted, step.observed, step.sign_ins)?;
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
        for found in &report.surprising {
            writeln!(out, "  {}: {} ({}), {}", found.place, found.score, found.decision, found.reasons.join(", "))?;
        }
    }
    writeln!(out)?;
    for found in &report.recommendation {
        write!(out, "to stop {} of legitimate sign-ins set DENY_AT={} (it stops {})", percent(found.stops_at_most), found.deny_at, percent(found.stops))?;
        match found.catches {
            Some((caught, low, high)) => {
                writeln!(out, "; that would have caught {} of the labelled attacks (95 %: {} to {})", percent(caught), percent(low), percent(high))?
            }
            None => writeln!(out)?,
        }
    }
    if let Some(comparison) = &report.comparison {
        write!(out, "\n{comparison}")?;
    }
    report.warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))
}

fn separations(out: &mut String, title: &str, rows: &[Labelled]) -> std::fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title:<31} count    AUC   TPR@1%  @5%   @10%   re-auth@TPR.95  @.99")?;
    for row in rows {
        let found = &row.separation;
        let [one, five, ten] = found.tpr;
        let [at95, at99] = found.reauth;
        writeln!(out, "  {:<27} {:>7}   {:.3}   {one:.2}   {five:.2}   {ten:.2}   {at95:>14.2}  {at99:.2}", row.label, found.attacks, found.auc)?;
    }
    Ok(())
}

fn falsely(out: &mut String, title: &str, rows: &[Falsely]) -> std::fmt::Result {
    writeln!(out, "\n{title:<10} sign-ins   flagged    denied")?;
    rows.iter().try_for_each(|row| writeln!(out, "{:<10} {:>8}   {:>7}   {:>7}", row.group, row.sign_ins, percent(row.flagged), percent(row.denied)))
}

/// A share in per cent.
pub(super) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.001 { format!("{:.3} %", share * 100.0) } else { format!("{:.2} %", share * 100.0) }
}
