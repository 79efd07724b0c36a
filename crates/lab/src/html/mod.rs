//! Renders the report as one HTML page. It loads nothing: charts are inline SVG, and one inline script reads values out.

use std::fmt::Write as _;

use crate::{report::Report, roc::percent};

mod charts;

mod tables;

/// The style of the page.
const STYLE: &str = include_str!("report.css");

/// The script of the page. Without it the page shows the same numbers in tables.
pub const SCRIPT: &str = include_str!("report.js");

/// The SHA-256 of [`SCRIPT`] in base64. The page's policy allows this script only.
pub const SCRIPT_HASH: &str = "QKW/9s0EwpSM2VsPXgEhJX83NUjbqQZ+7zr8QRsUBwo=";

/// Renders the page.
pub fn render(report: &Report, title: &str) -> String {
    let mut out = String::with_capacity(1 << 17);
    // Writing to a string cannot fail.
    let _ = write(report, title, &mut out);
    out
}

fn write(report: &Report, title: &str, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{SCRIPT_HASH}'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>riskgate replay: {0}</title><style>{STYLE}</style></head><body><h1>riskgate replay <small>{0}</small></h1>",
        escape(title)
    )?;
    // One in a hundred, or the next larger share if the log has too few sign-ins for it.
    if let Some(best) = report.recommendation.iter().find(|threshold| threshold.stops_at_most >= 0.01) {
        let caught = best
            .catches
            .map(|(caught, low, high)| format!("; that would have caught {} of the labelled attacks ({} to {})", percent(caught), percent(low), percent(high)));
        writeln!(
            out,
            "<p class=\"lead\">To stop {} of legitimate sign-ins set <code>DENY_AT={}</code>{}.</p>",
            percent(best.stops_at_most),
            best.deny_at,
            caught.unwrap_or_default()
        )?;
    }
    for pair in report.threshold_pairs.iter().filter(|pair| pair.recommended) {
        writeln!(
            out,
            "<p class=\"lead\">To challenge before denying set <code>CHALLENGE_AT={} DENY_AT={}</code> ({}).</p>",
            pair.challenge_at,
            pair.deny_at,
            pair.effect()
        )?;
    }
    for warning in &report.warnings {
        writeln!(out, "<p class=\"warning\">{}</p>", escape(warning))?;
    }
    write_slider(report, out)?;
    charts::write(report, out)?;
    tables::write_surprising(report, out)?;
    tables::write(report, out)?;
    writeln!(out, "<script>{SCRIPT}</script></body></html>")
}

/// The slider that reads out what one threshold stops. Each point is the threshold and both shares.
fn write_slider(report: &Report, out: &mut String) -> std::fmt::Result {
    let points: Vec<String> = report.drawing.trade_off.iter().map(|(_, legitimate, labelled)| format!("[{legitimate:.6},{labelled:.6}]")).collect();
    let (rows, deny_at) = (&report.rows, report.thresholds.deny_at);
    writeln!(
        out,
        "<section class=\"slider\" data-points=\"[{}]\" data-legitimate=\"{}\" data-labelled=\"{}\"><label for=\"threshold\">Threshold <output id=\"value\">{deny_at}</output></label>\
         <input id=\"threshold\" type=\"range\" min=\"0\" max=\"100\" step=\"0.5\" value=\"{deny_at}\"><p id=\"effect\" aria-live=\"polite\"></p></section>",
        points.join(","),
        rows.legitimate,
        rows.labelled
    )
}

/// Escapes a text for HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
