// Connects the event stream to the panels.

import { PointBuffer, createRateChart, createScoreChart, createTimeChart, sum } from "./charts.js";
import { DecisionTable } from "./decisions.js";
import { byId, formatPercent, showCauses, showParts, showReasons, showServices, showSummary } from "./panels.js";
import { subscribe } from "./stream.js";

const count = new Intl.NumberFormat();
const CONNECTION_LABELS = { live: ["live", "good"], lost: ["no connection, trying again", "bad"] };

let settings = { deny_at: 80, review_at: 50, budget_ms: 2500, mode: "enforce", services: [], meanings: {} };
let charts;
let latest;
const pointBuffer = new PointBuffer();
const decisionTable = new DecisionTable(() => settings);

function showWhatIf() {
  const threshold = Number(byId("threshold").value);
  byId("threshold-value").textContent = String(threshold);
  byId("threshold").setAttribute("aria-valuetext", `deny from ${threshold}`);
  if (!latest) return;
  const { scores, denied } = latest;
  const all = sum(scores, 0);
  const atLeast = sum(scores, threshold * 2);
  byId("whatif").textContent = all
    ? `${count.format(atLeast)} of the last hour's ${count.format(all)} sign-ins (${formatPercent(atLeast / all)}) have a score of ${threshold} or more and would have been denied. ${count.format(denied)} (${formatPercent(denied / all)}) were classified as deny.`
    : "No sign-ins in the last hour.";
  charts?.score(scores);
}

function show(message) {
  latest = message;
  pointBuffer.update(message.seconds);
  const points = pointBuffer.list();
  charts?.rate(points);
  charts?.time(points);
  showSummary(message, settings);
  showParts(message, settings);
  showServices(message, settings);
  showCauses(message);
  showReasons(message, settings);
  showWhatIf();
}

byId("threshold").addEventListener("input", showWhatIf);

subscribe({
  onConnection(state) {
    const [text, kind] = CONNECTION_LABELS[state];
    byId("link").textContent = text;
    byId("link").className = `chip ${kind}`;
  },
  settings(received) {
    const isFirst = !charts;
    settings = received;
    byId("mode").textContent = received.mode === "monitor" ? "monitor mode" : "enforcing";
    byId("mode").className = `chip ${received.mode === "monitor" ? "warn" : "good"}`;
    byId("source").textContent = `${received.source} · riskgate ${received.version} · model ${received.model}`;
    if (isFirst) {
      byId("threshold").value = String(received.deny_at);
      charts = {
        rate: createRateChart(byId("rate-chart")),
        time: createTimeChart(byId("time-chart"), received.budget_ms),
        score: createScoreChart(byId("score-chart"), () => ({ review: settings.review_at, deny: settings.deny_at, whatIf: Number(byId("threshold").value) })),
      };
    }
  },
  state(message) {
    decisionTable.replace(message.decisions);
    show(message);
  },
  tick(message) {
    if (message.decisions.length) decisionTable.add(message.decisions);
    show(message);
  },
});
