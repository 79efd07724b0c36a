// Sign-ins over time as stacked bars, with attack periods and marks.

import { byId, createElement, formatCode, formatCount, formatPeriod, formatTick, formatTime, linkTo, plural } from "./elements.js";
import { attackState } from "./location.js";

const NAMES = ["allow", "review", "challenge", "deny"];
const HEIGHT = 200;
const BOTTOM = 22;
const LEFT = 46;

function svg(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text != null) element.textContent = text;
  return element;
}

/** The top of the scale. One bar far above all others, such as the burst after a start, is cut instead of flattening the rest. */
export function scaleTop(totals) {
  const sorted = totals.filter((total) => total > 0).sort((a, b) => b - a);
  if (!sorted.length) return 1;
  const next = sorted[1] ?? sorted[0];
  return sorted.length > 4 && sorted[0] > 4 * next ? next * 1.5 : sorted[0];
}

/** A round step for about three lines. */
function step(top) {
  const rough = top / 3;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? power * 10;
}

/** Draws the chart of a summary. */
export function showTimeline(summary) {
  const box = byId("timeline");
  const width = Math.max(box.clientWidth, 240);
  const inner = width - LEFT - 4;
  const height = HEIGHT - BOTTOM;
  const { series, from, to, width: bucket } = summary;
  const attacks = visibleAttacks(summary);
  const totals = series.map(([, ...counts]) => counts[0] + counts[1] + counts[2] + counts[3]);
  const top = scaleTop(totals);
  const x = (at) => LEFT + (inner * (at - from)) / Math.max(to - from, 1);
  const y = (value) => height - ((height - 14) * Math.min(value, top)) / top;
  const chart = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true", class: "timeline" });
  for (let value = 0; value <= top; value += step(top)) {
    chart.append(svg("line", { x1: LEFT, x2: width - 4, y1: y(value), y2: y(value), class: "grid" }), svg("text", { x: LEFT - 6, y: y(value) + 4, class: "tick end" }, formatCount(value)));
  }
  for (const { from: start, to: end } of attacks) {
    const left = Math.max(x(start), LEFT);
    chart.append(svg("rect", { x: left, y: 0, width: Math.max(Math.min(x(end ?? to), width - 4) - left, 2), height, class: "attack" }));
  }
  const barWidth = Math.max((inner * bucket) / Math.max(to - from, 1) - 1, 1);
  series.forEach(([at, ...counts], index) => {
    let below = 0;
    NAMES.forEach((name, decision) => {
      if (!counts[decision]) return;
      const start = Math.min(below, top);
      below += counts[decision];
      const bar = svg("rect", { x: x(at), y: y(below), width: barWidth, height: Math.max(y(start) - y(below), 0.5), class: `fill-${name}` });
      bar.append(svg("title", {}, `${formatTime(at * 1000)}: ${formatCount(counts[decision])} ${name}`));
      chart.append(bar);
    });
    if (totals[index] > top) chart.append(svg("text", { x: x(at) + barWidth / 2, y: 11, class: "tick middle" }, `▲ ${formatCount(totals[index])}`));
  });
  const labels = Math.max(Math.floor(inner / 130), 2);
  for (let index = 0; index < labels; index += 1) {
    const at = from + ((to - from) * (index + 0.5)) / labels;
    chart.append(svg("text", { x: x(at), y: HEIGHT - 6, class: "tick middle" }, formatTick(at, bucket, to - from)));
  }
  summary.marks.forEach(([at], index) => {
    chart.append(svg("line", { x1: x(at), x2: x(at), y1: 0, y2: height, class: "mark" }), svg("text", { x: x(at) + 3, y: 11 + 12 * (index % 3), class: "tick" }, String(index + 1)));
  });
  box.replaceChildren(chart);
  const all = totals.reduce((sum, total) => sum + total, 0);
  box.setAttribute("aria-label", `${formatCount(all)} sign-ins by decision between ${formatTime(from * 1000)} and ${formatTime(to * 1000)}, ${plural(attacks.length, "attack")}`);
  showMarks(summary);
}

/** The attacks of which a part is in the chart. */
const visibleAttacks = ({ attacks, from, to }) => attacks.filter((attack) => attack.from < to && (attack.to ?? to) > from);

function showMarks(summary) {
  const attacks = visibleAttacks(summary).map((attack) => createElement("li", "attack-item", linkTo("", `Attack ${formatPeriod(attack.from, attack.to)}`, attackState(attack)),
    `: ${formatCode(attack.kind)}, ${plural(attack.attempts, "attempt")} on ${plural(attack.accounts, "account")}, ${formatCount(attack.got_in)} let in`));
  const marks = summary.marks.map(([at, text], index) => createElement("li", "", createElement("b", "", String(index + 1)), `${formatTime(at * 1000)} ${text}`));
  const list = byId("marks");
  list.hidden = !attacks.length && !marks.length;
  if (list.matches(":focus-within") && list.childElementCount === attacks.length + marks.length) return;
  list.replaceChildren(...attacks, ...marks);
}
