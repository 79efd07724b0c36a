// The three graphs, on uPlot. Colours come from the style sheet, so that light and dark are told in one place.

const WINDOW = 300;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** Milliseconds for eyes: 0.04, 3.1, 250, 1.2 s. */
export function millis(value) {
  if (value == null) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(value >= 10000 ? 0 : 1)} s`;
  return `${value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

/** A graph that draws itself anew when its box or the colours change. */
class Graph {
  constructor(box, options) {
    this.box = box;
    this.options = options;
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(this.data, true));
  }

  size() {
    return { width: Math.max(this.box.clientWidth, 120), height: this.box.clientHeight };
  }

  draw(data, anew) {
    if (!data) return;
    this.data = data;
    if (this.plot && !anew) {
      this.plot.setData(data);
      return;
    }
    this.plot?.destroy();
    this.plot = new uPlot({ ...this.size(), ...this.options() }, data, this.box);
    // The graph's text stands beside it: what is drawn is told by the panel's label.
    this.plot.root.setAttribute("aria-hidden", "true");
  }
}

function axis(more) {
  return { stroke: color("soft"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif", ...more };
}

const timeAxis = () => axis({ size: 26, values: (_, splits) => splits.map((at) => clock.format(at * 1000)), space: 90, grid: { show: false } });

const common = () => ({ legend: { show: false }, cursor: { points: { size: 6 }, drag: { x: false, y: false } }, padding: [8, 10, 0, 0] });

/** Sign-ins a second, stacked: allow below, deny on top. */
export function rateChart(box) {
  const series = (name, fill) => ({ stroke: color(name), fill, width: 1.5, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) });
  const graph = new Graph(box, () => ({
    ...common(),
    scales: { x: { time: false }, y: { range: (_, __, high) => [0, Math.max(high, 1) * 1.08] } },
    axes: [timeAxis(), axis({ size: 46 })],
    series: [{}, series("deny"), series("review"), series("allow", color("allow-fill"))],
    bands: [{ series: [1, 2], fill: color("deny-fill") }, { series: [2, 3], fill: color("review-fill") }],
  }));
  return (points) => graph.draw([
    points.map((p) => p[0]),
    points.map((p) => p[1] + p[2] + p[3]),
    points.map((p) => p[1] + p[2]),
    points.map((p) => p[1]),
  ]);
}

/** Percentiles of the time to a verdict, with the budget as a line; logarithmic, because what matters spans microseconds to seconds. */
export function timeChart(box, budget) {
  const series = (name) => ({ stroke: color(name), width: 1.6, points: { show: false }, spanGaps: true });
  const graph = new Graph(box, () => ({
    ...common(),
    // From a power of ten: uPlot finds no end to the ticks of a logarithmic axis that begins just under one.
    scales: { x: { time: false }, y: { distr: 3, range: (_, low) => [10 ** Math.floor(Math.log10(Math.min(low || 0.1, 0.1))), budget * 1.6] } },
    axes: [timeAxis(), axis({ size: 64, values: (_, splits) => splits.map((v) => (v == null || Math.log10(v) % 1 ? "" : millis(v).replace(/\.0+(?= )/, ""))) })],
    series: [{}, series("p50"), series("p95"), series("p99")],
    hooks: { draw: [(plot) => line(plot, "y", budget, color("soft"), `budget ${millis(budget)}`)] },
  }));
  return (points) => graph.draw([points.map((p) => p[0]), ...[5, 6, 7].map((at) => points.map((p) => p[at]))]);
}

/** How many sign-ins had which score, in bins of 2.5, with the thresholds drawn in. */
export function scoreChart(box, thresholds) {
  const graph = new Graph(box, () => ({
    ...common(),
    scales: { x: { time: false, range: [0, 100] }, y: { distr: 4, range: (_, __, high) => [0, Math.max(high, 5) * 1.6] } },
    axes: [axis({ size: 26, values: (_, splits) => splits.map(String), incrs: [10, 20, 25], grid: { show: false } }), axis({ size: 46, values: (_, splits) => splits.map((v) => (v === 0 || (v > 0 && Math.log10(v) % 1 === 0) ? String(v) : "")) })],
    series: [{}, ...["allow", "review", "deny"].map((name) => ({ stroke: color(name), fill: color(name), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.86, 60], align: 1 }) }))],
    hooks: {
      draw: [(plot) => {
        const { review, deny, whatIf } = thresholds();
        line(plot, "x", review, color("review"), `review ${review}`);
        line(plot, "x", deny, color("deny"), `deny ${deny}`);
        if (whatIf !== deny) line(plot, "x", whatIf, color("ink"), `what if ${whatIf}`);
      }],
    },
  }));
  const draw = (scores) => {
    const { review, whatIf } = thresholds();
    const edges = Array.from({ length: 40 }, (_, bin) => bin * 2.5);
    const counts = edges.map((edge, bin) => sum(scores, edge * 2, bin === 39 ? 201 : edge * 2 + 5));
    const only = (keep) => counts.map((count, bin) => (keep(edges[bin]) && count ? count : null));
    graph.draw([edges, only((e) => e < review && e < whatIf), only((e) => e >= review && e < whatIf), only((e) => e >= whatIf)]);
  };
  return draw;
}

/** The sum of a part of a list. */
export function sum(list, from, to = list.length) {
  let total = 0;
  for (let at = Math.ceil(from); at < to; at += 1) total += list[at];
  return total;
}

/** The seconds that the graphs show, as a map that messages are folded into. */
export class Seconds {
  constructor() {
    this.points = new Map();
  }

  fold(points) {
    for (const point of points) this.points.set(point[0], point);
    const newest = Math.max(...this.points.keys());
    for (const at of this.points.keys()) {
      if (at <= newest - WINDOW) this.points.delete(at);
    }
  }

  list() {
    return [...this.points.values()].sort((a, b) => a[0] - b[0]);
  }
}

/** A threshold across a graph, with its name. */
function line(plot, scale, value, stroke, text) {
  const at = Math.round(plot.valToPos(value, scale, true));
  const { left, top, width, height } = plot.bbox;
  const { ctx } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.fillStyle = stroke;
  ctx.lineWidth = 1.5 * ratio;
  ctx.setLineDash([5 * ratio, 4 * ratio]);
  ctx.beginPath();
  if (scale === "y") {
    ctx.moveTo(left, at);
    ctx.lineTo(left + width, at);
  } else {
    ctx.moveTo(at, top);
    ctx.lineTo(at, top + height);
  }
  ctx.stroke();
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  if (scale === "y") {
    ctx.textAlign = "right";
    ctx.fillText(text, left + width - 4 * ratio, at - 5 * ratio);
  } else {
    const flip = at > left + width * 0.85;
    ctx.textAlign = flip ? "right" : "left";
    const offset = text.startsWith("what if") ? 26 : 12;
    ctx.fillText(text, at + (flip ? -5 : 5) * ratio, top + offset * ratio);
  }
  ctx.restore();
}
