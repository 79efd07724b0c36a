//! Renders the report as one HTML page. The charts are inline SVG: the page has no scripts and loads no resources.

use std::fmt::Write as _;

use crate::{report::Report, text};

/// The colours of the curves.
const COLOURS: [&str; 8] = ["#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f"];

/// Width and height of the plotting area.
const PLANE: (f64, f64) = (420.0, 300.0);

/// The left and the bottom margin of a chart.
const MARGIN: (f64, f64) = (52.0, 40.0);

/// Renders the page.
pub fn render(report: &Report, title: &str) -> String {
    let mut out = String::with_capacity(1 << 16);
    // Writing to a string cannot fail.
    let _ = write(report, title, &mut out);
    out
}

fn write(report: &Report, title: &str, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>riskgate replay: {0}</title><style>{STYLE}</style></head><body><h1>riskgate replay <small>{0}</small></h1>",
        escape(title)
    )?;
    // One in a hundred, or the next larger share if the log has too few sign-ins for it.
    if let Some(best) = report.recommendation.iter().find(|threshold| threshold.stops_at_most >= 0.01) {
        let caught = best.catches.map(|(caught, low, high)| {
            format!("; that would have caught {} of the labelled attacks ({} to {})", text::percent(caught), text::percent(low), text::percent(high))
        });
        writeln!(
            out,
            "<p class=\"lead\">To stop {} of legitimate sign-ins set <code>DENY_AT={}</code>{}.</p>",
            text::percent(best.stops_at_most),
            best.deny_at,
            caught.unwrap_or_default()
        )?;
    }
    for warning in &report.warnings {
        writeln!(out, "<p class=\"warning\">{}</p>", escape(warning))?;
    }
    out.push_str("<div class=\"charts\">");
    draw_roc(report, out)?;
    draw_histogram(report, out)?;
    draw_trade_off(report, out)?;
    draw_calibration(report, out)?;
    out.push_str("</div><h2>All numbers</h2><pre>");
    out.push_str(&escape(&text::render(report)));
    out.push_str("</pre></body></html>\n");
    Ok(())
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}\
h1 small{font-weight:400;color:#555;font-size:.6em}.lead{font-size:1.15rem}.warning{background:#fef3c7;padding:.4rem .8rem;border-radius:6px}\
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:1.5rem}figure{margin:0}figcaption{font-weight:600}\
svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#444}pre{overflow-x:auto;background:#f6f6f6;padding:1rem;border-radius:6px;font-size:12.5px}\
@media(prefers-color-scheme:dark){body{color:#eee;background:#16181d}pre{background:#22252c}svg text{fill:#bbb}.warning{background:#5b4708}h1 small{color:#aaa}}";

fn draw_roc(report: &Report, out: &mut String) -> std::fmt::Result {
    open_chart(
        out,
        "ROC: share of labelled sign-ins found against share of legitimate ones stopped",
        "share of legitimate sign-ins stopped",
        "share of labelled sign-ins found",
        |x| format!("{x:.1}"),
    )?;
    draw_line(out, &[(0.0, 0.0), (1.0, 1.0)], "#aaa", " stroke-dasharray=\"4 4\"")?;
    for (at, (label, curve)) in report.drawing.roc.iter().enumerate() {
        draw_line(out, curve, COLOURS[at % COLOURS.len()], "")?;
        draw_legend(out, at, label, true)?;
    }
    close_chart(out)
}

fn draw_histogram(report: &Report, out: &mut String) -> std::fmt::Result {
    open_chart(out, "Scores: legitimate and labelled sign-ins", "score", "share (square root)", |x| format!("{:.0}", x * 100.0))?;
    for (step, (legit, labelled)) in (0_u8..).zip(&report.drawing.scores) {
        for (side, share, colour) in [(0.0, legit, COLOURS[0]), (0.5, labelled, COLOURS[1])] {
            let (x, y) = at((f64::from(step) + side) / 20.0, share.sqrt());
            write!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>", PLANE.0 / 42.0, at(0.0, 0.0).1 - y)?;
        }
    }
    draw_legend(out, 0, "legitimate", false)?;
    draw_legend(out, 1, "labelled", false)?;
    close_chart(out)
}

fn draw_trade_off(report: &Report, out: &mut String) -> std::fmt::Result {
    open_chart(out, "Trade-off: share of sign-ins that each threshold stops", "threshold", "stopped (square root)", |x| format!("{:.0}", x * 100.0))?;
    let curve = |pick: &dyn Fn(&(f64, f64, f64)) -> f64| report.drawing.trade_off.iter().map(|point| (point.0 / 100.0, pick(point).sqrt())).collect::<Vec<_>>();
    draw_line(out, &curve(&|point| point.1), COLOURS[0], "")?;
    draw_line(out, &curve(&|point| point.2), COLOURS[1], "")?;
    for (name, threshold) in [("review", report.thresholds.review_at), ("deny", report.thresholds.deny_at)] {
        let (x, top) = at(threshold / 100.0, 1.0);
        write!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{:.1}\" stroke=\"#888\" stroke-dasharray=\"2 3\"/><text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            at(0.0, 0.0).1,
            x + 3.0,
            top + 10.0
        )?;
    }
    draw_legend(out, 0, "legitimate", false)?;
    draw_legend(out, 1, "labelled", false)?;
    close_chart(out)
}

fn draw_calibration(report: &Report, out: &mut String) -> std::fmt::Result {
    // A log scale from 1e-5 to 1.
    let place = |probability: f64| (probability.max(1e-5).log10() + 5.0) / 5.0;
    open_chart(out, "Calibration: predicted probability and observed share of attacks", "predicted (log scale)", "observed (log scale)", |x| {
        format!("1e{:.0}", x * 5.0 - 5.0)
    })?;
    draw_line(out, &[(0.0, 0.0), (1.0, 1.0)], "#aaa", " stroke-dasharray=\"4 4\"")?;
    let points: Vec<(f64, f64)> = report.calibration.iter().map(|step| (place(step.predicted), place(step.observed))).collect();
    draw_line(out, &points, COLOURS[2], "")?;
    for (x, y) in points {
        let (x, y) = at(x, y);
        write!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{}\"/>", COLOURS[2])?;
    }
    close_chart(out)
}

fn open_chart(out: &mut String, title: &str, x_name: &str, y_name: &str, tick: impl Fn(f64) -> String) -> std::fmt::Result {
    let (width, height) = (PLANE.0 + MARGIN.0 + 12.0, PLANE.1 + MARGIN.1 + 12.0);
    write!(out, "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">")?;
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let ((x, low), (left, y)) = (at(share, 0.0), at(0.0, share));
        write!(out, "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#8884\"/>", at(1.0, 0.0).0)?;
        write!(out, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", low + 16.0, tick(share))?;
        let label = if y_name.contains("square root") { format!("{:.0}%", share * share * 100.0) } else { tick(share) };
        write!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", left - 5.0, y + 4.0)?;
    }
    write!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_name}</text>", at(0.5, 0.0).0, height - 8.0)?;
    write!(out, "<text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\">{y_name}</text>", at(0.0, 0.5).1)
}

fn close_chart(out: &mut String) -> std::fmt::Result {
    out.push_str("</svg></figure>");
    Ok(())
}

fn draw_line(out: &mut String, points: &[(f64, f64)], colour: &str, style: &str) -> std::fmt::Result {
    write!(out, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{style} points=\"")?;
    for (x, y) in points {
        let (x, y) = at(*x, *y);
        write!(out, "{x:.1},{y:.1} ")?;
    }
    out.push_str("\"/>");
    Ok(())
}

fn draw_legend(out: &mut String, entry: usize, label: &str, is_low: bool) -> std::fmt::Result {
    #[expect(clippy::cast_precision_loss, reason = "a few labels")]
    let row = entry as f64;
    let (x, top) = at(0.62, if is_low { 0.5 } else { 0.97 });
    let y = top + 17.0 * row + 14.0;
    write!(
        out,
        "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"4\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
        y - 6.0,
        COLOURS[entry % COLOURS.len()],
        x + 18.0,
        escape(label)
    )
}

/// Converts a point of the unit square to chart coordinates.
fn at(x: f64, y: f64) -> (f64, f64) {
    (MARGIN.0 + x.clamp(0.0, 1.0) * PLANE.0, 8.0 + (1.0 - y.clamp(0.0, 1.0)) * PLANE.1)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
