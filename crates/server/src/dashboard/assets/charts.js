// The three charts, drawn with uPlot. Colours come from the style sheet, which defines the light and the dark theme.

const WINDOW_SECONDS = 300;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZone: "UTC" });

/** Formats milliseconds for display: 0.04 ms, 3.1 ms, 250 ms, 1.2 s. */
export function formatMillis(value) {
  if (value == null) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(value >= 10000 ? 0 : 1)} s`;
  return `${value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

/** A chart that is drawn again when its container or the colours change. */
class Chart {
  constructor(container, options) {
    this.container = container;
    this.options = options;
    this.annotations = [];
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(container);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(this.data, true));
  }

  size() {
    return { width: Math.max(this.container.clientWidth, 120), height: this.container.clientHeight };
  }

  draw(data, recreate) {
    if (!data) return;
    this.data = data;
    if (this.plot && !recreate) {
      this.plot.setData(data);
      return;
    }
    this.plot?.destroy();
    this.plot = new uPlot({ ...this.size(), ...this.options() }, data, this.container);
    // The label of the panel describes the chart to screen readers.
    this.plot.root.setAttribute("aria-hidden", "true");
  }
}

function axis(overrides) {
  return { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif", ...overrides };
}

const timeAxis = () => axis({ size: 26, values: (_, splits) => splits.map((at) => timeFormat.format(at * 1000)), space: 90, grid: { show: false } });

const commonOptions = () => ({ legend: { show: false }, cursor: { points: { size: 6 }, drag: { x: false, y: false } }, padding: [8, 10, 0, 0] });

/** Sign-ins per second, stacked: allow at the bottom, deny on top. */
export function createRateChart(container) {
  const series = (name, fill) => ({ stroke: color(name), fill, width: 1.5, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) });
  const chart = new Chart(container, () => ({
    ...commonOptions(),
    scales: { x: { time: false }, y: { range: (_, __, high) => [0, Math.max(high, 1) * 1.08] } },
    axes: [timeAxis(), axis({ size: 46 })],
    series: [{}, series("deny"), series("challenge"), series("review"), series("allow", color("allow-fill"))],
    bands: [
      { series: [1, 2], fill: color("deny-fill") },
      { series: [2, 3], fill: color("challenge-fill") },
      { series: [3, 4], fill: color("review-fill") },
    ],
    hooks: { draw: [(plot) => drawAnnotations(plot, chart.annotations)] },
  }));
  return (points, annotations = []) => {
    chart.annotations = annotations;
    chart.draw([
      points.map((p) => p[0]),
      points.map((p) => p[1] + p[2] + p[3] + p[4]),
      points.map((p) => p[1] + p[2] + p[3]),
      points.map((p) => p[1] + p[2]),
      points.map((p) => p[1]),
    ]);
  };
}

/** Percentiles of the decision time, with the budget as a line. The scale is logarithmic, because times range from microseconds to seconds. */
export function createTimeChart(container, budget) {
  const series = (name) => ({ stroke: color(name), width: 1.6, points: { show: false }, spanGaps: true });
  const chart = new Chart(container, () => ({
    ...commonOptions(),
    // The axis starts at a power of ten. Otherwise uPlot generates ticks without end if the axis starts just below one.
    scales: { x: { time: false }, y: { distr: 3, range: (_, low) => [10 ** Math.floor(Math.log10(Math.min(low || 0.1, 0.1))), budget * 1.6] } },
    axes: [timeAxis(), axis({ size: 64, values: (_, splits) => splits.map((v) => (v == null || Math.log10(v) % 1 ? "" : formatMillis(v).replace(/\.0+(?= )/, ""))) })],
    series: [{}, series("p50"), series("p95"), series("p99")],
    hooks: { draw: [(plot) => drawThreshold(plot, "y", budget, color("muted"), `budget ${formatMillis(budget)}`), (plot) => drawAnnotations(plot, chart.annotations)] },
  }));
  return (points, annotations = []) => {
    chart.annotations = annotations;
    chart.draw([points.map((p) => p[0]), ...[6, 7, 8].map((at) => points.map((p) => p[at]))]);
  };
}

/** A histogram of scores in bins of 2.5, with the thresholds as lines. */
export function createScoreChart(container, thresholds) {
  const chart = new Chart(container, () => ({
    ...commonOptions(),
    scales: { x: { time: false, range: [0, 100] }, y: { distr: 4, range: (_, __, high) => [0, Math.max(high, 5) * 1.6] } },
    axes: [axis({ size: 26, values: (_, splits) => splits.map(String), incrs: [10, 20, 25], grid: { show: false } }), axis({ size: 46, values: (_, splits) => splits.map((v) => (v === 0 || (v > 0 && Math.log10(v) % 1 === 0) ? String(v) : "")) })],
    series: [{}, ...["allow", "review", "challenge", "deny"].map((name) => ({ stroke: color(name), fill: color(name), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.86, 60], align: 1 }) }))],
    hooks: {
      draw: [(plot) => {
        const { settings, others, before, whatIf } = thresholds();
        // The thresholds of other app clients, and those before the last change, without a colour.
        const drawn = new Set([settings.review_at, settings.challenge_at, settings.deny_at]);
        for (const [name, value] of [...others.map((group) => ["deny, some clients:", group.deny_at]), ...before.map((past) => ["deny before:", past.deny])]) {
          if (!drawn.has(value)) drawThreshold(plot, "x", value, color("muted"), `${name} ${value}`);
          drawn.add(value);
        }
        drawThreshold(plot, "x", settings.review_at, color("review"), `review ${settings.review_at}`);
        if (settings.challenge_at != null) drawThreshold(plot, "x", settings.challenge_at, color("challenge"), `challenge ${settings.challenge_at}`);
        drawThreshold(plot, "x", settings.deny_at, color("deny"), `deny ${settings.deny_at}`);
        if (whatIf.challenge < whatIf.deny && whatIf.challenge !== settings.challenge_at) drawThreshold(plot, "x", whatIf.challenge, color("ink"), `what if ${whatIf.challenge}`);
        if (whatIf.deny !== settings.deny_at) drawThreshold(plot, "x", whatIf.deny, color("ink"), `what if ${whatIf.deny}`);
      }],
    },
  }));
  const draw = (scores) => {
    const { settings, whatIf } = thresholds();
    const edges = Array.from({ length: 40 }, (_, bin) => bin * 2.5);
    const counts = edges.map((edge, bin) => sum(scores, edge * 2, bin === 39 ? 201 : edge * 2 + 5));
    const countsWhere = (matches) => counts.map((count, bin) => (matches(edges[bin]) && count ? count : null));
    const review = Math.min(settings.review_at, whatIf.challenge);
    chart.draw([
      edges,
      countsWhere((e) => e < review),
      countsWhere((e) => e >= review && e < whatIf.challenge),
      countsWhere((e) => e >= whatIf.challenge && e < whatIf.deny),
      countsWhere((e) => e >= whatIf.deny),
    ]);
  };
  return draw;
}

/** The sum of the elements from `from` to before `to`. */
export function sum(list, from, to = list.length) {
  let total = 0;
  for (let at = Math.ceil(from); at < to; at += 1) total += list[at];
  return total;
}

/** The points of the charts by second. Each message updates them. */
export class PointBuffer {
  constructor() {
    this.points = new Map();
  }

  update(points) {
    for (const point of points) this.points.set(point[0], point);
    const newest = Math.max(...this.points.keys());
    for (const at of this.points.keys()) {
      if (at <= newest - WINDOW_SECONDS) this.points.delete(at);
    }
  }

  list() {
    return [...this.points.values()].sort((a, b) => a[0] - b[0]);
  }
}

/** The marks within the time that the charts show, each `[number, second, text]`. */
export function visibleAnnotations(annotations, points) {
  return points.length ? annotations.filter(([, at]) => at >= points[0][0] && at <= points.at(-1)[0]) : [];
}

/** Draws a line with its number for each mark. The numbers are at the bottom, where no other label is. */
function drawAnnotations(plot, annotations) {
  const { left, top, height } = plot.bbox;
  const { ctx } = plot;
  const ratio = devicePixelRatio;
  const box = 13 * ratio;
  ctx.save();
  ctx.font = `${10 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.lineWidth = ratio;
  for (const [number, second] of annotations) {
    const at = Math.round(plot.valToPos(second, "x", true));
    ctx.strokeStyle = color("muted");
    ctx.beginPath();
    ctx.moveTo(at, top);
    ctx.lineTo(at, top + height);
    ctx.stroke();
    ctx.fillStyle = color("ink");
    const middle = Math.max(at, left + box / 2);
    ctx.fillRect(middle - box / 2, top + height - box, box, box);
    ctx.fillStyle = color("panel");
    ctx.fillText(String(number), middle, top + height - box / 2 + ratio);
  }
  ctx.restore();
}

/** Draws a labelled threshold line across a chart. */
function drawThreshold(plot, scale, value, stroke, text) {
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
