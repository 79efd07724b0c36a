// Promised and realised false-positive rates: a plot with intervals, and the same numbers in a table.

import { request } from "./api.js";
import { byId, createElement, createScrollRegion, formatCount } from "./elements.js";

const INTERVAL_MILLIS = 30_000;
const SVG = "http://www.w3.org/2000/svg";
const ROW = 22;
const LABEL = 170;
// Shares from one in 100,000 to all, on a logarithmic scale.
const DECADES = 5;

let requestedAt = 0;

/** Formats a share with two significant digits. */
const formatShare = (share) => (share === 0 ? "0 %" : `${Number((share * 100).toPrecision(2))} %`);

const formatPoints = (points) => `${points > 0 ? "+" : points < 0 ? "−" : ""}${Math.abs(points).toFixed(1)}`;

const GROUPS = { all: "all sign-ins", no_history: "no history", one_day: "history of one day", established: "longer history", no_context: "no context" };
const groupName = (group) => GROUPS[group] ?? group;

function draw(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text) element.textContent = text;
  return element;
}

/** Whether the interval does not overlap a factor of two around the promise. */
const isOff = ({ promised, realised }) => realised && (realised.low > promised * 2 || realised.high < promised / 2);

function createPlot(rows, width) {
  const height = rows.length * ROW + 24;
  const plot = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, class: "promises", "aria-hidden": "true" });
  const place = (share) => LABEL + (width - LABEL - 12) * Math.min(Math.max(1 + Math.log10(Math.max(share, 1e-9)) / DECADES, 0), 1);
  for (let decade = 0; decade <= DECADES; decade += 1) {
    const x = place(10 ** -decade);
    plot.append(draw("line", { class: "grid", x1: x, x2: x, y1: 0, y2: height - 20 }), draw("text", { x, y: height - 6, class: decade === 0 ? "end" : "middle" }, formatShare(10 ** -decade)));
  }
  rows.forEach(({ group, threshold }, at) => {
    const y = at * ROW + ROW / 2;
    plot.append(draw("text", { x: 0, y: y + 4 }, `${groupName(group)}: ${threshold.threshold}`));
    const x = place(threshold.promised);
    plot.append(draw("line", { class: "promised", x1: x, x2: x, y1: y - 7, y2: y + 7 }));
    if (!threshold.realised) {
      plot.append(draw("text", { x: x + 8, y: y + 4 }, "not observed"));
      return;
    }
    const { low, high, share } = threshold.realised;
    const kind = isOff(threshold) ? "off" : "kept";
    plot.append(draw("line", { class: `interval ${kind}`, x1: place(low), x2: place(high), y1: y, y2: y }));
    if (share > 0) plot.append(draw("circle", { class: kind, cx: place(share), cy: y, r: 4 }));
  });
  return plot;
}

function createTable(rows) {
  const heads = ["Group", "Threshold", "Sign-ins", "Promised", "Realised (95 %)"].map((text) => {
    const head = createElement("th", "", text);
    head.scope = "col";
    return head;
  });
  const lines = rows.map(({ group, signIns, threshold }) => {
    const { realised, promised, score } = threshold;
    const text = realised ? `${formatShare(realised.share)} (${formatShare(realised.low)} to ${formatShare(realised.high)})${isOff(threshold) ? ", off" : ""}` : "not observed";
    return createElement("tr", "", ...[groupName(group), `${threshold.threshold} ${score}`, formatCount(signIns), formatShare(promised), text].map((cell) => createElement("td", "", cell)));
  });
  return createElement("table", "short", createElement("thead", "", createElement("tr", "", ...heads)), createElement("tbody", "", ...lines));
}

function describe({ pool, scale, sign_ins: signIns, drift }) {
  const parts = [
    `${pool ? `Pool ${pool}: ` : ""}${formatCount(signIns)} successes counted. Scores are on the ${scale === "pool" ? "pool's own" : "shipped"} scale.`,
    `At the thresholds the pool's own scale differs from the shipped one by ${formatPoints(drift.from_shipped)} points`,
    drift.from_week_before == null ? "." : `, and from that of a week before by ${formatPoints(drift.from_week_before)}.`,
  ];
  return `${parts[0]} ${parts[1]}${parts[2]}`;
}

function showPool(pool) {
  const rows = pool.groups.flatMap(({ group, sign_ins: signIns, thresholds }) => thresholds.map((threshold) => ({ group, signIns, threshold })));
  const table = createElement("details", "", createElement("summary", "", "The numbers"), createScrollRegion(createTable(rows), "Promised and realised rates"));
  // The plot has what is observed, and all sign-ins.
  const drawn = rows.filter(({ group, threshold }) => group === "all" || threshold.realised);
  const plot = createElement("div", "chart-free");
  plot.append(createPlot(drawn, Math.max(byId("calibration").clientWidth, 420)));
  return [createElement("p", "", describe(pool)), plot, table];
}

/** Requests and shows the rates, at most every half minute. */
export async function updateCalibration() {
  const now = Date.now();
  if (now - requestedAt < INTERVAL_MILLIS) return;
  requestedAt = now;
  try {
    const { model, pools } = await request("activity/calibration");
    byId("calibration-model").textContent = `model of ${model}; line: promised, dot and bar: realised with its 95 % interval`;
    byId("calibration").replaceChildren(...(pools.length ? pools.flatMap(showPool) : [createElement("p", "empty", "No success was counted yet. A log has no counts.")]));
  } catch (error) {
    byId("calibration").replaceChildren(createElement("p", "empty", `The rates could not be read: ${error.message}.`));
  }
}
