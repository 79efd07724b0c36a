//! The charts, as inline SVG. Each figure has the values that the script reads out, by position.

use std::fmt::Write as _;

use crate::{
    html::escape,
    report::{Report, Thresholds},
    roc::percent,
};

/// The number of colours of curves. The style sheet defines them.
const COLOURS: usize = 8;

/// Width and height of the plotting area.
const PLANE: (f64, f64) = (420.0, 300.0);

/// The left and the bottom margin of a chart.
const MARGIN: (f64, f64) = (56.0, 44.0);

/// The most values that a figure reads out.
const MAX_VALUES: usize = 101;

/// A chart: its title, the names of its axes, and the labels of their ticks.
struct Axes<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    x_tick: fn(f64) -> String,
    y_tick: fn(f64) -> String,
}

/// A value to read out: its position on the x axis, 0 to 1, and its text.
type Value = (f64, String);

/// Writes the charts.
pub(super) fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    out.push_str("<div class=\"charts\">");
    draw_trade_off(report, out)?;
    draw_histogram(report, out)?;
    draw_roc(report, out)?;
    draw_calibration(report, out)?;
    out.push_str("</div>");
    Ok(())
}

fn share_tick(x: f64) -> String {
    format!("{:.0}%", x * 100.0)
}

fn root_tick(x: f64) -> String {
    format!("{:.0}%", x * x * 100.0)
}

fn score_tick(x: f64) -> String {
    format!("{:.0}", x * 100.0)
}

fn log_tick(x: f64) -> String {
    format!("1e{:.0}", x * 5.0 - 5.0)
}

fn draw_roc(report: &Report, out: &mut String) -> std::fmt::Result {
    let x = "share of legitimate sign-ins stopped";
    open_chart(
        out,
        &Axes {
            title: "ROC: what a stopped share of legitimate sign-ins finds",
            x,
            y: "share of labelled sign-ins found",
            x_tick: share_tick,
            y_tick: share_tick,
        },
    )?;
    draw_line(out, &[(0.0, 0.0), (1.0, 1.0)], "diagonal")?;
    for (entry, (_, curve)) in report.drawing.roc.iter().enumerate() {
        draw_line(out, curve, &format!("c{}", entry % COLOURS))?;
    }
    let value = |step: usize| {
        let at = step_share(step);
        let found = report.drawing.roc.iter().map(|(label, curve)| format!("{label} {}", percent(height_at(curve, at))));
        (at, format!("{} stopped: {}", percent(at), found.collect::<Vec<_>>().join(", ")))
    };
    let values: Vec<Value> = if report.drawing.roc.is_empty() { Vec::new() } else { (0..MAX_VALUES).map(value).collect() };
    let legend: Vec<&str> = report.drawing.roc.iter().map(|(label, _)| label.as_str()).collect();
    close_chart(out, &values, &legend)
}

fn draw_histogram(report: &Report, out: &mut String) -> std::fmt::Result {
    open_chart(
        out,
        &Axes { title: "Scores of legitimate and labelled sign-ins", x: "score", y: "share (square root)", x_tick: score_tick, y_tick: root_tick },
    )?;
    let mut values = Vec::new();
    for (step, (legit, labelled)) in (0_u8..).zip(&report.drawing.scores) {
        for (side, share, class) in [(0.0, legit, "c0"), (0.5, labelled, "c1")] {
            let (x, y) = at((f64::from(step) + side) / 20.0, share.sqrt());
            write!(out, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>", PLANE.0 / 42.0, at(0.0, 0.0).1 - y)?;
        }
        let (low, high) = (u32::from(step) * 5, u32::from(step) * 5 + 5);
        values.push(((f64::from(step) + 0.5) / 20.0, format!("score {low} to {high}: legitimate {}, labelled {}", percent(*legit), percent(*labelled))));
    }
    close_chart(out, &values, &["legitimate", "labelled"])
}

fn draw_trade_off(report: &Report, out: &mut String) -> std::fmt::Result {
    let axes = Axes { title: "Trade-off: what each threshold stops", x: "threshold", y: "stopped (square root)", x_tick: score_tick, y_tick: root_tick };
    open_chart(out, &axes)?;
    let points = &report.drawing.trade_off;
    let curve = |pick: &dyn Fn(&(f64, f64, f64)) -> f64| points.iter().map(|point| (point.0 / 100.0, pick(point).sqrt())).collect::<Vec<_>>();
    draw_line(out, &curve(&|point| point.1), "c0")?;
    draw_line(out, &curve(&|point| point.2), "c1")?;
    let Thresholds { review_at, challenge_at, deny_at } = report.thresholds;
    for (name, threshold, row) in [("review", Some(review_at), 0.0), ("challenge", challenge_at, 1.0), ("deny", Some(deny_at), 2.0)] {
        let Some(threshold) = threshold else { continue };
        let (x, top) = at(threshold / 100.0, 1.0);
        // Near the right edge the name is left of its line.
        let (name_x, anchor) = if threshold > 85.0 { (x - 4.0, "end") } else { (x + 4.0, "start") };
        write!(
            out,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{:.1}\"/><text x=\"{name_x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{name}</text>",
            at(0.0, 0.0).1,
            top + 11.0 + 15.0 * row
        )?;
    }
    let (x, top) = at(report.thresholds.deny_at / 100.0, 1.0);
    write!(out, "<line id=\"chosen\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{:.1}\"/>", at(0.0, 0.0).1)?;
    let value = |(threshold, legit, labelled): &(f64, f64, f64)| {
        (threshold / 100.0, format!("from {threshold}: stops {} of legitimate, {} of labelled", percent(*legit), percent(*labelled)))
    };
    close_chart(out, &points.iter().step_by(2).map(value).collect::<Vec<_>>(), &["legitimate", "labelled"])
}

fn draw_calibration(report: &Report, out: &mut String) -> std::fmt::Result {
    // A log scale from 1e-5 to 1.
    let place = |probability: f64| (probability.max(1e-5).log10() + 5.0) / 5.0;
    open_chart(
        out,
        &Axes {
            title: "Calibration: predicted and observed share of attacks",
            x: "predicted (log scale)",
            y: "observed (log scale)",
            x_tick: log_tick,
            y_tick: log_tick,
        },
    )?;
    draw_line(out, &[(0.0, 0.0), (1.0, 1.0)], "diagonal")?;
    let points: Vec<(f64, f64)> = report.calibration.iter().map(|step| (place(step.predicted), place(step.observed))).collect();
    draw_line(out, &points, "c2")?;
    for (x, y) in points {
        let (x, y) = at(x, y);
        write!(out, "<circle class=\"c2\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>")?;
    }
    let value = |step: &crate::report::CalibrationStep| {
        (place(step.predicted), format!("predicted {:.4}, observed {:.4}, {} sign-ins", step.predicted, step.observed, step.sign_ins))
    };
    close_chart(out, &report.calibration.iter().map(value).collect::<Vec<_>>(), &[])
}

/// Opens a figure and draws the axes.
fn open_chart(out: &mut String, axes: &Axes<'_>) -> std::fmt::Result {
    let (width, height) = (PLANE.0 + MARGIN.0 + 26.0, PLANE.1 + MARGIN.1 + 12.0);
    write!(out, "<figure><figcaption>{0}</figcaption><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{0}\" tabindex=\"0\">", axes.title)?;
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let ((x, low), (left, y)) = (at(share, 0.0), at(0.0, share));
        write!(out, "<line class=\"grid\" x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>", at(1.0, 0.0).0)?;
        write!(out, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", low + 17.0, (axes.x_tick)(share))?;
        write!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", left - 6.0, y + 4.0, (axes.y_tick)(share))?;
    }
    write!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", at(0.5, 0.0).0, height - 7.0, axes.x)?;
    write!(out, "<text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>", at(0.0, 0.5).1, axes.y)
}

/// Draws the guide of the values that are read out, and closes the figure with its legend.
fn close_chart(out: &mut String, values: &[Value], legend: &[&str]) -> std::fmt::Result {
    let (bottom, top) = (at(0.0, 0.0).1, at(0.0, 1.0).1);
    write!(out, "<line class=\"guide\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/></svg><p class=\"legend\">")?;
    for (entry, label) in legend.iter().enumerate() {
        write!(out, "<span><i class=\"c{}\"></i>{}</span> ", entry % COLOURS, escape(label))?;
    }
    out.push_str("</p><p class=\"readout\" aria-live=\"polite\" data-values=\"[");
    for (number, (x, text)) in values.iter().enumerate() {
        let separator = if number == 0 { "" } else { "," };
        // A text in JSON, then in an attribute.
        let text = serde_json::to_string(text).unwrap_or_default();
        write!(out, "{separator}[{:.1},{}]", at(*x, 0.0).0, escape(&text))?;
    }
    out.push_str("]\"></p></figure>");
    Ok(())
}

fn draw_line(out: &mut String, points: &[(f64, f64)], class: &str) -> std::fmt::Result {
    write!(out, "<polyline class=\"{class}\" points=\"")?;
    for (x, y) in points {
        let (x, y) = at(*x, *y);
        write!(out, "{x:.1},{y:.1} ")?;
    }
    out.push_str("\"/>");
    Ok(())
}

/// Converts a point of the unit square to chart coordinates.
fn at(x: f64, y: f64) -> (f64, f64) {
    (MARGIN.0 + x.clamp(0.0, 1.0) * PLANE.0, 8.0 + (1.0 - y.clamp(0.0, 1.0)) * PLANE.1)
}

/// The position of a step on the x axis.
#[expect(clippy::cast_precision_loss, reason = "a hundred steps")]
fn step_share(step: usize) -> f64 {
    step as f64 / (MAX_VALUES - 1) as f64
}

/// The height of a rising curve at a position.
fn height_at(curve: &[(f64, f64)], x: f64) -> f64 {
    let after = curve.partition_point(|point| point.0 < x);
    let (Some(high), low) = (curve.get(after), after.checked_sub(1).and_then(|before| curve.get(before))) else { return 1.0 };
    let Some(low) = low.filter(|low| high.0 > low.0) else { return high.1 };
    low.1 + (high.1 - low.1) * (x - low.0) / (high.0 - low.0)
}
