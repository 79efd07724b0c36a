// The panels that consist of text and bars.

import { formatMillis } from "./charts.js";
import { byId, createElement, formatCode, formatPercent, formatSigned } from "./elements.js";

const count = new Intl.NumberFormat();

function createBar(...fills) {
  const bar = createElement("span", "bar");
  bar.setAttribute("aria-hidden", "true");
  for (const [className, share] of fills) {
    const fill = createElement("i", className);
    fill.style.width = `${Math.min(Math.max(share, 0), 1) * 100}%`;
    bar.append(fill);
  }
  return bar;
}

function createRow(name, middle, text, title) {
  const element = createElement("div", "row", createElement("span", "name", name), middle, createElement("span", "figures-text", text));
  if (title) element.title = title;
  return element;
}

function showRows(id, rows, emptyText) {
  byId(id).replaceChildren(...(rows.length ? rows : [createElement("p", "empty", emptyText)]));
}

/** Shows the sentence in the header and the six figures. */
export function showSummary(message, settings) {
  const { verdicts, degraded, parts } = message;
  const total = verdicts.reduce((sum, n) => sum + n, 0);
  const p99 = parts.whole[2];
  byId("rate").textContent = total ? (total / 60 >= 10 ? (total / 60).toFixed(0) : (total / 60).toFixed(1)) : "0";
  byId("rate-note").textContent = `${count.format(message.decided)} since the start`;
  ["allowed", "reviewed", "challenged", "denied"].forEach((id, at) => {
    byId(id).textContent = total ? formatPercent(verdicts[at] / total) : "–";
    byId(`${id}-note`).textContent = `${count.format(verdicts[at])} in the last minute`;
  });
  byId("p99").textContent = formatMillis(p99);
  byId("p99-note").textContent = `of a budget of ${formatMillis(settings.budget_ms)}`;
  byId("degraded").textContent = total ? formatPercent(degraded / total) : "–";
  byId("degraded-note").textContent = `${count.format(degraded)} in the last minute`;
  byId("degraded-figure").classList.toggle("bad", total > 0 && degraded / total > 0.05);
  const failing = Object.entries(message.services).filter(([, state]) => state !== "closed").map(([service]) => service);
  const sentences = [];
  if (!total) sentences.push("No sign-ins in the last minute.");
  else {
    sentences.push(`${count.format(total)} sign-ins in the last minute: ${formatPercent(verdicts[3] / total)} denied, ${formatPercent(verdicts[2] / total)} challenged, ${formatPercent(verdicts[1] / total)} flagged, 99 of 100 decided within ${formatMillis(p99)}.`);
    if (failing.length) sentences.push(`${failing.join(", ")} ${failing.length > 1 ? "do" : "does"} not answer; sign-ins are decided without ${failing.length > 1 ? "them" : "it"}.`);
    else if (degraded) sentences.push(`${count.format(degraded)} decided with something missing.`);
    else sentences.push("Nothing is missing.");
  }
  if (settings.mode === "monitor") sentences.push("Monitor mode: no sign-in is denied.");
  const text = sentences.join(" ");
  if (byId("summary").textContent !== text) byId("summary").textContent = text;
}

const STAGES = ["whole", "evidence", "networks", "history", "judge"];
const STAGE_LABELS = { whole: "total", evidence: "enrichment", networks: "– networks", history: "– history", judge: "evaluation" };

/** The position of a time on a logarithmic scale from 10 microseconds (0) to the budget (1). */
const logPosition = (value, budget) => (value == null ? 0 : Math.log10(Math.max(value, 0.01) / 0.01) / Math.log10(budget / 0.01));

/** Shows p50, p95 and p99 of each stage and service against the budget. */
export function showParts(message, settings) {
  const names = [...STAGES, ...Object.keys(message.parts).filter((name) => !STAGES.includes(name))];
  const rows = names.filter((name) => message.parts[name]?.[3]).map((name) => {
    const [p50, p95, p99, samples] = message.parts[name];
    const shares = [["tail", p99], ["middle", p95], ["", p50]].map(([kind, value]) => [kind, logPosition(value, settings.budget_ms)]);
    const text = `${formatMillis(p50)} · ${formatMillis(p99)}`;
    return createRow(STAGE_LABELS[name] ?? `– ${name}`, createBar(...shares), text, `${name}: p50 ${formatMillis(p50)}, p95 ${formatMillis(p95)}, p99 ${formatMillis(p99)}, ${samples} samples`);
  });
  showRows("parts", rows, "No measurements in the last minute.");
}

const STATE_LABELS = { closed: ["answers", "good"], open: ["not called: breaker open", "bad"], failing: ["failing", "warn"] };
const TIER_LABELS = { memory: ["memory", "allow"], store: ["shared store", "allow"], asked: ["the service itself", ""] };

/** Shows the services with the state of their breaker, their outcomes, and the cache tiers. */
export function showServices(message, settings) {
  const names = [...new Set([...settings.services, ...Object.keys(message.services)])];
  const services = names.map((name) => {
    const [text, kind] = STATE_LABELS[message.services[name]] ?? ["not called yet", ""];
    const outcomes = Object.entries(message.outcomes[name] ?? {}).sort((a, b) => b[1] - a[1]);
    return createElement("div", "service",
      createElement("div", "top", createElement("strong", "", name), createElement("span", `chip ${kind}`, text)),
      createElement("div", "outcomes", outcomes.map(([outcome, n]) => `${formatCode(outcome)} ${count.format(n)}`).join(" · ") || "no requests in the last minute"));
  });
  showRows("services", services, "No external service is configured. Decisions use networks, history and time.");
  const tiers = Object.entries(message.caches).sort((a, b) => b[1] - a[1]);
  const total = tiers.reduce((all, [, n]) => all + n, 0);
  showRows("caches", tiers.map(([tier, n]) => createRow(TIER_LABELS[tier]?.[0] ?? tier, createBar([TIER_LABELS[tier]?.[1] ?? "", n / total]), formatPercent(n / total))), "No requests in the last minute.");
}

/** Shows the causes of degraded decisions. */
export function showCauses(message) {
  const causes = Object.entries(message.causes).sort((a, b) => b[1] - a[1]);
  const most = causes[0]?.[1] ?? 1;
  showRows("causes", causes.map(([cause, n]) => createRow(formatCode(cause), createBar(["deny", n / most]), count.format(n))), "All sources have answered.");
}

/** Lists the marks of the charts, each `[number, second, text]`. */
export function showAnnotations(annotations) {
  byId("annotations").hidden = !annotations.length;
  byId("annotations").replaceChildren(...annotations.map(([number, , text]) => createElement("li", "", createElement("b", "", String(number)), text)));
}

/** Shows the most frequent reasons. */
export function showReasons(message, settings) {
  const most = message.reasons[0]?.[1] ?? 1;
  const rows = message.reasons.map(([code, n, weight]) => createRow(
    formatCode(code), createBar([weight > 0.005 ? "deny" : weight < -0.005 ? "allow" : "", n / most]), `${count.format(n)} · ${formatSigned(weight)}`, settings.meanings[code]));
  showRows("reasons", rows, "No reasons in the last minute.");
}
