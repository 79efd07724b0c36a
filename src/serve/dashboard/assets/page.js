// Wires the stream to the panels.

import { Seconds, rateChart, scoreChart, sum, timeChart } from "./charts.js";
import { Decisions } from "./decisions.js";
import { percent, showCauses, showParts, showReasons, showServices, summarise } from "./panels.js";
import { listen } from "./stream.js";

const by = (id) => document.getElementById(id);
const count = new Intl.NumberFormat();
const LINKS = { live: ["live", "good"], lost: ["no connection, trying again", "bad"] };

let settings = { deny_at: 80, review_at: 50, budget_ms: 2500, mode: "enforce", services: [], meanings: {} };
let charts;
let latest;
const seconds = new Seconds();
const decisions = new Decisions(() => settings);

function whatIf() {
  const threshold = Number(by("threshold").value);
  by("threshold-value").textContent = String(threshold);
  by("threshold").setAttribute("aria-valuetext", `deny from ${threshold}`);
  if (!latest) return;
  const { scores, denied } = latest;
  const all = sum(scores, 0);
  const stopped = sum(scores, threshold * 2);
  by("whatif").textContent = all
    ? `${count.format(stopped)} of the last hour's ${count.format(all)} sign-ins (${percent(stopped / all)}) score ${threshold} or more and would have been stopped. ${count.format(denied)} (${percent(denied / all)}) were judged deny.`
    : "No sign-in in the last hour.";
  charts?.score(scores);
}

function show(message) {
  latest = message;
  seconds.fold(message.seconds);
  const points = seconds.list();
  charts?.rate(points);
  charts?.time(points);
  summarise(message, settings);
  showParts(message, settings);
  showServices(message, settings);
  showCauses(message);
  showReasons(message, settings);
  whatIf();
}

by("threshold").addEventListener("input", whatIf);

listen({
  link(state) {
    const [text, kind] = LINKS[state];
    by("link").textContent = text;
    by("link").className = `chip ${kind}`;
  },
  settings(told) {
    const first = !charts;
    settings = told;
    by("mode").textContent = told.mode === "monitor" ? "monitor mode" : "enforcing";
    by("mode").className = `chip ${told.mode === "monitor" ? "warn" : "good"}`;
    by("source").textContent = `${told.source} · riskgate ${told.version} · model ${told.model}`;
    if (first) {
      by("threshold").value = String(told.deny_at);
      charts = {
        rate: rateChart(by("rate-chart")),
        time: timeChart(by("time-chart"), told.budget_ms),
        score: scoreChart(by("score-chart"), () => ({ review: settings.review_at, deny: settings.deny_at, whatIf: Number(by("threshold").value) })),
      };
    }
  },
  state(message) {
    decisions.replace(message.decisions);
    show(message);
  },
  tick(message) {
    if (message.decisions.length) decisions.add(message.decisions);
    show(message);
  },
});
