// The panels that are words and bars.

import { millis } from "./charts.js";

/** An element with a class and children; text only ever becomes text. */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child != null));
  return element;
}

/** A reason, cause or outcome for eyes. */
export const words = (code) => String(code).replaceAll("_", " ");

export const percent = (share) => (share == null || Number.isNaN(share) ? "–" : `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`);

const count = new Intl.NumberFormat();

const by = (id) => document.getElementById(id);

function bar(...fills) {
  const box = make("span", "bar");
  box.setAttribute("aria-hidden", "true");
  for (const [className, share] of fills) {
    const fill = make("i", className);
    fill.style.width = `${Math.min(Math.max(share, 0), 1) * 100}%`;
    box.append(fill);
  }
  return box;
}

function row(name, middle, text, title) {
  const element = make("div", "row", make("span", "name", name), middle, make("span", "figures-text", text));
  if (title) element.title = title;
  return element;
}

function fill(id, rows, empty) {
  by(id).replaceChildren(...(rows.length ? rows : [make("p", "empty", empty)]));
}

/** The header's sentence and the six figures. */
export function summarise(message, settings) {
  const { verdicts, degraded, parts } = message;
  const total = verdicts[0] + verdicts[1] + verdicts[2];
  const p99 = parts.whole[2];
  by("rate").textContent = total ? (total / 60 >= 10 ? (total / 60).toFixed(0) : (total / 60).toFixed(1)) : "0";
  by("rate-note").textContent = `${count.format(message.decided)} since the start`;
  ["allowed", "reviewed", "denied"].forEach((id, at) => {
    by(id).textContent = total ? percent(verdicts[at] / total) : "–";
    by(`${id}-note`).textContent = `${count.format(verdicts[at])} in the last minute`;
  });
  by("p99").textContent = millis(p99);
  by("p99-note").textContent = `of a budget of ${millis(settings.budget_ms)}`;
  by("degraded").textContent = total ? percent(degraded / total) : "–";
  by("degraded-note").textContent = `${count.format(degraded)} in the last minute`;
  by("degraded-figure").classList.toggle("bad", total > 0 && degraded / total > 0.05);
  const failing = Object.entries(message.services).filter(([, state]) => state !== "closed").map(([service]) => service);
  const sentence = [];
  if (!total) sentence.push("No sign-in in the last minute.");
  else {
    sentence.push(`${count.format(total)} sign-ins in the last minute: ${percent(verdicts[2] / total)} denied, ${percent(verdicts[1] / total)} flagged, 99 of 100 decided within ${millis(p99)}.`);
    if (failing.length) sentence.push(`${failing.join(", ")} ${failing.length > 1 ? "do" : "does"} not answer; sign-ins are decided without.`);
    else if (degraded) sentence.push(`${count.format(degraded)} decided with something missing.`);
    else sentence.push("Nothing is missing.");
  }
  if (settings.mode === "monitor") sentence.push("Monitor mode: nobody is kept out.");
  const text = sentence.join(" ");
  if (by("summary").textContent !== text) by("summary").textContent = text;
}

const STAGES = ["whole", "evidence", "networks", "history", "judge"];
const STAGE_WORDS = { whole: "the whole way", evidence: "gathering evidence", networks: "– networks", history: "– history", judge: "judging" };

/** A bar on a logarithmic scale that ends at the budget: 10 us is its left edge. */
const reach = (value, budget) => (value == null ? 0 : Math.log10(Math.max(value, 0.01) / 0.01) / Math.log10(budget / 0.01));

/** Each stage and service: p50, p95 and p99 against the budget. */
export function showParts(message, settings) {
  const names = [...STAGES, ...Object.keys(message.parts).filter((name) => !STAGES.includes(name))];
  const rows = names.filter((name) => message.parts[name]?.[3]).map((name) => {
    const [p50, p95, p99, seen] = message.parts[name];
    const shares = [["tail", p99], ["middle", p95], ["", p50]].map(([kind, value]) => [kind, reach(value, settings.budget_ms)]);
    const text = `${millis(p50)} · ${millis(p99)}`;
    return row(STAGE_WORDS[name] ?? `– ${name}`, bar(...shares), text, `${name}: p50 ${millis(p50)}, p95 ${millis(p95)}, p99 ${millis(p99)}, ${seen} times`);
  });
  fill("parts", rows, "Nothing was timed in the last minute.");
}

const STATES = { closed: ["answers", "good"], open: ["not asked: breaker open", "bad"], failing: ["failing", "warn"] };
const TIERS = { memory: ["memory", "allow"], store: ["shared store", "allow"], asked: ["the service itself", ""] };

/** Services with the state of their breaker, what they answered, and from where. */
export function showServices(message, settings) {
  const names = [...new Set([...settings.services, ...Object.keys(message.services)])];
  const services = names.map((name) => {
    const [text, kind] = STATES[message.services[name]] ?? ["not asked yet", ""];
    const outcomes = Object.entries(message.outcomes[name] ?? {}).sort((a, b) => b[1] - a[1]);
    return make("div", "service",
      make("div", "top", make("strong", "", name), make("span", `chip ${kind}`, text)),
      make("div", "outcomes", outcomes.map(([outcome, n]) => `${words(outcome)} ${count.format(n)}`).join(" · ") || "no question in the last minute"));
  });
  fill("services", services, "No outside service is configured: networks, history and time decide.");
  const tiers = Object.entries(message.caches).sort((a, b) => b[1] - a[1]);
  const total = tiers.reduce((all, [, n]) => all + n, 0);
  fill("caches", tiers.map(([tier, n]) => row(TIERS[tier]?.[0] ?? tier, bar([TIERS[tier]?.[1] ?? "", n / total]), percent(n / total))), "No question in the last minute.");
}

/** What was missing. */
export function showCauses(message) {
  const causes = Object.entries(message.causes).sort((a, b) => b[1] - a[1]);
  const most = causes[0]?.[1] ?? 1;
  fill("causes", causes.map(([cause, n]) => row(words(cause), bar(["deny", n / most]), count.format(n))), "Everything that was asked has answered.");
}

/** The reasons that were given most often. */
export function showReasons(message, settings) {
  const most = message.reasons[0]?.[1] ?? 1;
  const rows = message.reasons.map(([code, n, weight]) => row(
    words(code), bar([weight > 0.005 ? "deny" : weight < -0.005 ? "allow" : "", n / most]), `${count.format(n)} · ${signed(weight)}`, settings.meanings[code]));
  fill("reasons", rows, "No reason in the last minute.");
}

/** A weight with its sign. */
export const signed = (weight) => `${weight > 0 ? "+" : weight < 0 ? "−" : "±"}${Math.abs(weight).toFixed(2)}`;
