//! The tables of the page: every number of the text report.

use std::fmt::Write as _;

use crate::{
    html::escape,
    report::{FalsePositives, LabelSeparation, Report},
    roc::percent,
};

/// Writes the riskiest legitimate sign-ins: who, when, where, and why.
pub(super) fn write_surprising(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.surprising.is_empty() {
        return Ok(());
    }
    out.push_str("<h2>Most surprising legitimate sign-ins</h2><ol class=\"surprising\">");
    for sign_in in &report.surprising {
        let country = sign_in.country.as_deref().unwrap_or("unknown country");
        let asn = sign_in.asn.map(|asn| format!(", AS{asn}")).unwrap_or_default();
        write!(
            out,
            "<li><b>{:.1}</b> <b class=\"{}\">{}</b> <span>{}</span> <span>{}{asn}</span> <span>user <code>{}</code></span> <span>{}</span><ul>",
            sign_in.score,
            sign_in.decision,
            sign_in.decision,
            sign_in.time.strftime("%Y-%m-%d %H:%M:%S UTC"),
            escape(country),
            escape(&sign_in.user),
            escape(&sign_in.place)
        )?;
        sign_in.reasons.iter().try_for_each(|reason| write!(out, "<li>{}</li>", escape(reason)))?;
        out.push_str("</ul></li>");
    }
    out.push_str("</ol>");
    Ok(())
}

/// Writes all numbers.
pub(super) fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let rows = &report.rows;
    let share = |count: u64| percent(crate::roc::ratio(count, rows.legitimate));
    out.push_str("<h2>All numbers</h2><div class=\"tables\">");
    let count = |name: &str, count: u64| vec![name.to_owned(), count.to_string()];
    let people = u64::try_from(rows.people).unwrap_or(u64::MAX);
    let counts = [("rows", rows.read), ("legitimate sign-ins", rows.legitimate), ("users", people), ("failed attempts", rows.failed)];
    let counts = counts.into_iter().chain([("labelled", rows.labelled), ("bad rows", rows.bad)]).map(|(name, number)| count(name, number));
    write_table(out, "Rows", &["", "count"], counts)?;
    let title = format!("Legitimate sign-ins at {}", report.thresholds);
    let decided = report.verdicts.iter().map(|(verdict, count)| vec![verdict.as_label().to_owned(), count.to_string(), share(*count)]);
    write_table(out, &title, &["decision", "count", "share"], decided)?;
    let stopped = report.trade_off.iter().map(|row| vec![row.threshold.to_string(), percent(row.legitimate), row.labelled.map_or("-".to_owned(), percent)]);
    write_table(out, "Stopped by each threshold", &["threshold", "legitimate", "labelled"], stopped)?;
    let pairs = report.threshold_pairs.iter().map(|pair| {
        let shares = [percent(pair.challenged), percent(pair.denied), pair.met.map_or("-".to_owned(), percent)];
        [pair.challenge_at.to_string(), pair.deny_at.to_string()].into_iter().chain(shares).collect()
    });
    write_table(out, "Challenge before denying", &["CHALLENGE_AT", "DENY_AT", "challenged", "denied", "attacks met"], pairs)?;
    write_false_positives(out, "By size of history", &report.by_history)?;
    write_false_positives(out, "By country", &report.by_country)?;
    let reasons = report.reasons.iter().take(15).map(|reason| vec![reason.code.to_owned(), reason.legitimate.to_string(), reason.labelled.to_string()]);
    write_table(out, "Reasons of flags and denials", &["reason", "legitimate", "labelled"], reasons)?;
    let steps = report.calibration.iter().map(|step| vec![format!("{:.4}", step.predicted), format!("{:.4}", step.observed), step.sign_ins.to_string()]);
    write_table(out, "Probability of an attack", &["predicted", "observed", "sign-ins"], steps)?;
    write_separation(out, "Separation, users with a history", &report.separation)?;
    write_separation(out, "Separation, users without a history", &report.cold_start)?;
    let recommended = report.recommendation.iter().map(|threshold| {
        let caught = threshold.catches.map_or("-".to_owned(), |(caught, low, high)| format!("{} ({} to {})", percent(caught), percent(low), percent(high)));
        vec![percent(threshold.stops_at_most), threshold.deny_at.to_string(), percent(threshold.stops), caught]
    });
    write_table(out, "Recommended thresholds", &["to stop", "DENY_AT", "stops", "catches (95 %)"], recommended)?;
    out.push_str("</div>");
    if let Some(comparison) = &report.comparison {
        write!(out, "<h2>Comparison</h2><pre>{}</pre>", escape(&comparison.to_string()))?;
    }
    Ok(())
}

fn write_separation(out: &mut String, title: &str, rows: &[LabelSeparation]) -> std::fmt::Result {
    let cells = |row: &LabelSeparation| -> Vec<String> {
        let separation = &row.separation;
        let ([one, five, ten], [at95, _]) = (separation.tpr, separation.reauth);
        let shares = [separation.auc, one, five, ten, at95];
        [row.label.clone(), separation.attacks.to_string()].into_iter().chain(shares.map(|share| format!("{share:.2}"))).collect()
    };
    write_table(out, title, &["label", "count", "AUC", "@1%", "@5%", "@10%", "re-auth"], rows.iter().map(cells))
}

fn write_false_positives(out: &mut String, title: &str, rows: &[FalsePositives]) -> std::fmt::Result {
    let cells = |row: &FalsePositives| vec![row.group.clone(), row.sign_ins.to_string(), percent(row.flagged), percent(row.denied)];
    write_table(out, title, &["", "sign-ins", "flagged", "denied"], rows.iter().map(cells))
}

/// Writes a table. One without rows is left out.
fn write_table(out: &mut String, title: &str, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> std::fmt::Result {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    write!(out, "<table><caption>{}</caption><thead><tr>", escape(title))?;
    // A variable's name may be broken after an underscore.
    header.iter().try_for_each(|name| write!(out, "<th>{}</th>", name.replace('_', "_<wbr>")))?;
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        row.iter().try_for_each(|cell| write!(out, "<td>{}</td>", escape(cell)))?;
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>");
    Ok(())
}
